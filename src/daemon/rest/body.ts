/**
 * @module Request bodies and parameters, checked before an operation sees them.
 */
import { type Reply, replyInvalid } from './reply.ts';
import type { ApiRequest } from './router.ts';

/** Largest body; an endpoint with every label that is accepted stays below. */
export const bodyBytesMax = 1024 * 1024;

/** Stops a request with a ready answer. Thrown by the checks below, caught by the server only. */
export class RequestRejected extends Error {
  readonly reply: Reply;

  constructor(reply: Reply) {
    super('request rejected');
    this.reply = reply;
  }
}

/**
 * The JSON body, or `undefined` if there is none. A body that is no JSON is rejected; `name` is what
 * the error calls it.
 */
export function readBody(request: ApiRequest, name: string): unknown {
  if (request.body === '') return undefined;
  try {
    return JSON.parse(request.body);
  } catch (error) {
    throw badBody(name, error instanceof Error ? error.message : String(error));
  }
}

/** The JSON body of an operation that cannot do without. */
export function requireBody(request: ApiRequest, name: string): unknown {
  const body = readBody(request, name);
  if (body !== undefined) return body;
  throw new RequestRejected(replyInvalid(422, `${name} in body is required`, 602));
}

/** A body that is optional and a list of labels. */
export function readLabels(request: ApiRequest): readonly string[] {
  const body = readBody(request, 'labels');
  if (body === undefined || body === null) return [];
  if (Array.isArray(body) && body.every((label) => typeof label === 'string')) return body;
  throw badBody('labels', 'labels: has to be a list of strings');
}

/** The body is JSON and not what it should be. */
export function badBody(name: string, reason: string): RequestRejected {
  const message = `parsing ${name} body from "" failed, because ${reason}`;
  return new RequestRejected(replyInvalid(400, message));
}

/** A boolean header or query parameter; absent is false. */
export function booleanParameter(
  value: string | null | undefined,
  name: string,
  where: string,
): boolean {
  if (value === undefined || value === null || value === '') return false;
  if (/^(true|1|yes|on|t|y)$/i.test(value)) return true;
  if (/^(false|0|no|off|f|n)$/i.test(value)) return false;
  const message = `${name} in ${where} must be of type boolean: ${JSON.stringify(value)}`;
  throw new RequestRejected(replyInvalid(422, message, 601));
}
