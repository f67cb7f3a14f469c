/**
 * @module From a request to its operation: path, method, access, media types, then the operation of
 * the right file of this folder. Whatever arrives gets an answer and changes nothing unless it was
 * understood as a whole.
 */
import { absentRoutes } from './absent.ts';
import { RequestRejected } from './body.ts';
import { configRoutes } from './config.ts';
import type { RestContext } from './context.ts';
import { debugInfoRoutes } from './debuginfo.ts';
import { endpointRoutes } from './endpoint.ts';
import { endpointPartRoutes } from './endpoint-part.ts';
import { healthzRoutes } from './healthz.ts';
import { identityRoutes } from './identity.ts';
import { ipRoutes } from './ip.ts';
import { ipamRoutes } from './ipam.ts';
import { mapRoutes } from './map.ts';
import { nodeRoutes } from './node.ts';
import { policyRoutes } from './policy.ts';
import { policyExportRoutes } from './policy-export.ts';
import { type Reply, reply, replyInvalid } from './reply.ts';
import { type ApiRequest, type Route, Router, segmentsOf } from './router.ts';
import { statedbRoutes } from './statedb.ts';

const routes: readonly Route[] = [
  ...healthzRoutes,
  ...configRoutes,
  ...endpointRoutes,
  ...endpointPartRoutes,
  ...ipamRoutes,
  ...identityRoutes,
  ...policyRoutes,
  ...policyExportRoutes,
  ...mapRoutes,
  ...ipRoutes,
  ...nodeRoutes,
  ...debugInfoRoutes,
  ...statedbRoutes,
  ...absentRoutes,
];

/** The names that `enable-cilium-api-server-access` can list. */
export const apiOperations: readonly string[] = routes.map((route) => route.operation);

/** Where unexpected errors of operations go. */
export type ErrorSink = (message: string, fields: Record<string, unknown>) => void;

/** Answers one request; the server without a socket. Never throws. */
export function restAnswer(
  context: RestContext,
  onError: ErrorSink,
): (request: ApiRequest) => Promise<Reply> {
  const router = new Router(routes);
  return async (request) => {
    try {
      return await answer(router, context, request);
    } catch (error) {
      if (error instanceof RequestRejected) return error.reply;
      const message = error instanceof Error ? error.message : String(error);
      onError('answer request', { method: request.method, path: request.target, error: message });
      return reply(message, 500);
    }
  };
}

function answer(router: Router, context: RestContext, request: ApiRequest): Reply | Promise<Reply> {
  const url = parseTarget(request.target);
  if (url === undefined) return replyInvalid(400, 'the request target is no path');
  const [version, ...segments] = segmentsOf(url.pathname);
  const match = version === 'v1' ? router.find(segments) : undefined;
  if (match === undefined) return replyInvalid(404, `path ${url.pathname} was not found`);
  const route = match.methods.get(request.method);
  if (route === undefined) return notAllowed(request.method, [...match.methods.keys()]);
  if (!isEnabled(route.operation, context.settings.apiAccess)) {
    const hint = 'This request was denied by enable-cilium-api-server-access';
    return replyInvalid(403, `${hint}: ${route.operation}`);
  }
  const rejection = checkMedia(request);
  if (rejection !== undefined) return rejection;
  return route.run({ context, request, url, parameters: match.parameters });
}

/** The host is the client's invention: it connected to a socket. */
function parseTarget(target: string): URL | undefined {
  return target.startsWith('/') ? (URL.parse(`http://localhost${target}`) ?? undefined) : undefined;
}

function notAllowed(method: string, allowed: readonly string[]): Reply {
  const list = allowed.toSorted().join(',');
  const message = `method ${method} is not allowed, but [${list}] are`;
  return replyInvalid(405, message, 405, { allow: list });
}

function isEnabled(operation: string, access: readonly string[]): boolean {
  return access.some((name) =>
    name.endsWith('*') ? operation.startsWith(name.slice(0, -1)) : name === operation,
  );
}

/** Only JSON is spoken. A body without a type is taken for JSON. */
function checkMedia({ headers, body }: ApiRequest): Reply | undefined {
  const type = mediaType(headers['content-type']);
  if (body !== '' && type !== '' && type !== 'application/json') {
    const message = `unsupported media type ${JSON.stringify(type)}, only [application/json] are allowed`;
    return replyInvalid(415, message);
  }
  const accepted = headers['accept'] ?? '';
  if (accepted === '') return undefined;
  const matches = accepted
    .split(',')
    .some((one) => ['*/*', 'application/*', 'application/json'].includes(mediaType(one)));
  if (matches) return undefined;
  const message = 'unsupported media type requested, only [application/json] are available';
  return replyInvalid(406, message);
}

function mediaType(text: string | undefined): string {
  return text?.split(';')[0]?.trim().toLowerCase() ?? '';
}
