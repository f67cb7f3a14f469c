/**
 * @module `/endpoint` and `/endpoint/{id}`: the attachments of pods. Creating is what the CNI plugin
 * waits for: the answer comes when the endpoint's packets are judged.
 */
import { type EndpointOptions, endpointModel } from '../endpoint/model.ts';
import { isObject, parseEndpointPatch, parseEndpointRequest } from '../endpoint/request.ts';
import { type EndpointSelector, parseEndpointSelector } from '../endpoint/selector.ts';
import type { EndpointRow } from '../endpoint/table.ts';
import { isRefusal, type Refusal } from '../ipam/table.ts';
import { badBody, RequestRejected, readLabels, requireBody } from './body.ts';
import type { RestContext } from './context.ts';
import { type Reply, reply, replyEmpty, replyRefusal } from './reply.ts';
import type { Call, Route } from './router.ts';

/** How long a new endpoint may take to be ready. */
const buildTimeoutMs = 30_000;

/** The endpoint that the path names. */
export function endpointOf(call: Call): EndpointRow | Refusal {
  const row = call.context.reflector.find(selectorOf(call));
  return row ?? { refused: 'not-found', message: 'endpoint not found' };
}

/** The selector in the path. */
export function selectorOf(call: Call): EndpointSelector {
  const selector = parseEndpointSelector(call.parameters[0] ?? '');
  if (isRefusal(selector)) throw new RequestRejected(replyRefusal(selector));
  return selector;
}

/** An endpoint's options: the agent's, apart from those that only the agent has. */
export function endpointOptions(context: RestContext): EndpointOptions {
  const { PolicyTracing: _, ...options } = context.runtimeOptions();
  return options;
}

function getEndpoint(call: Call): Reply {
  const row = endpointOf(call);
  if (isRefusal(row)) return replyRefusal(row);
  const { context } = call;
  const compiled = row.identity === 0 ? undefined : context.endpointPolicy(row, row.policyRevision);
  return reply(endpointModel(row, endpointOptions(context), compiled));
}

function listEndpoints({ context, request }: Call): Reply {
  const labels = readLabels(request);
  const rows = [...context.endpoints.all()].filter((row) =>
    labels.every((label) => row.labels.includes(label)),
  );
  if (labels.length > 0 && rows.length === 0) return replyEmpty(404);
  const options = endpointOptions(context);
  return reply(rows.map((row) => endpointModel(row, options)));
}

async function putEndpoint(call: Call): Promise<Reply> {
  const { context, request } = call;
  const selector = selectorOf(call);
  const body = parseEndpointRequest(requireBody(request, 'endpoint'));
  if (isRefusal(body)) return replyRefusal(body);
  const mismatch = checkPath(selector, body.id);
  if (mismatch !== undefined) return replyRefusal(mismatch);
  const id = selector.by === 'id' && selector.id !== 0 ? selector.id : body.id;
  const row = context.reflector.create({ ...body, id });
  if (isRefusal(row)) return replyRefusal(row);
  const built = body.syncBuild ? await waitOrUndo(context, row, request.signal) : row;
  if (isRefusal(built)) return replyRefusal(built);
  return reply(endpointModel(built, endpointOptions(context)), 201);
}

function checkPath(selector: EndpointSelector, bodyId: number): Refusal | undefined {
  if (selector.by === 'nothing') {
    return { refused: 'invalid', message: 'endpoint id: cannot be used to create an endpoint' };
  }
  if (selector.by === 'id' && selector.id !== 0 && bodyId !== 0 && selector.id !== bodyId) {
    return { refused: 'invalid', message: `id: ${bodyId} differs from the path's ${selector.id}` };
  }
  return undefined;
}

/** A plugin that is told no, or that was killed while it waited, leaves nothing behind. */
async function waitOrUndo(
  context: RestContext,
  row: EndpointRow,
  gone: AbortSignal,
): Promise<EndpointRow | Refusal> {
  const timeout = AbortSignal.timeout(buildTimeoutMs);
  const built = await context.reflector.waitReady(row.id, AbortSignal.any([gone, timeout]));
  if (isRefusal(built)) context.reflector.delete({ by: 'id', id: row.id });
  return built;
}

function patchEndpoint(call: Call): Reply {
  const selector = selectorOf(call);
  const patch = parseEndpointPatch(requireBody(call.request, 'endpoint'));
  if (isRefusal(patch)) return replyRefusal(patch);
  const row = call.context.reflector.patch(selector, patch);
  return isRefusal(row) ? replyRefusal(row) : replyEmpty();
}

function deleteEndpoint(call: Call): Reply {
  const row = call.context.reflector.delete(selectorOf(call));
  return isRefusal(row) ? replyRefusal(row) : replyEmpty();
}

function deleteEndpoints({ context, request }: Call): Reply {
  const body = requireBody(request, 'endpoint');
  if (!isObject(body)) throw badBody('endpoint', 'endpoint: has to be an object');
  const id = body['container-id'];
  if (id !== undefined && typeof id !== 'string') {
    throw badBody('endpoint', 'container-id: has to be a string');
  }
  if (id === undefined || id === '') return reply('invalid container id', 400);
  const rows = context.reflector.deleteContainer(id);
  return rows.length === 0 ? reply('endpoints not found', 404) : replyEmpty();
}

export const endpointRoutes: readonly Route[] = [
  { method: 'GET', path: '/endpoint', operation: 'GetEndpoint', run: listEndpoints },
  { method: 'DELETE', path: '/endpoint', operation: 'DeleteEndpoint', run: deleteEndpoints },
  { method: 'GET', path: '/endpoint/{}', operation: 'GetEndpointID', run: getEndpoint },
  { method: 'PUT', path: '/endpoint/{}', operation: 'PutEndpointID', run: putEndpoint },
  { method: 'PATCH', path: '/endpoint/{}', operation: 'PatchEndpointID', run: patchEndpoint },
  { method: 'DELETE', path: '/endpoint/{}', operation: 'DeleteEndpointID', run: deleteEndpoint },
];
