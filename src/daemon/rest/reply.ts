/**
 * @module Answers as clients of the API expect them: JSON with a newline, errors as a JSON string
 * from operations and as `{code, message}` from the layer that checks requests.
 */
import type { Refusal } from '../ipam/table.ts';

/** An answer, before it is HTTP. */
export interface Reply {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

const jsonHeaders = { 'content-type': 'application/json' };

/** A body. */
export function reply(body: unknown, status = 200): Reply {
  return { status, headers: jsonHeaders, body: `${JSON.stringify(body)}\n` };
}

/** No body. */
export function replyEmpty(status = 200): Reply {
  return { status, headers: {}, body: '' };
}

/** The layer in front of the operations refuses: unknown path, method, media type, parameter. */
export function replyInvalid(
  status: number,
  message: string,
  code = status,
  headers: Readonly<Record<string, string>> = {},
): Reply {
  const body = JSON.stringify({ code, message });
  return { status, headers: { ...jsonHeaders, ...headers }, body };
}

const statusOf: Readonly<Record<Refusal['refused'], number>> = {
  invalid: 400,
  conflict: 409,
  'not-found': 404,
  exhausted: 500,
  failed: 500,
  timeout: 500,
};

/** An operation refuses. What was not found has no body, as upstream. */
export function replyRefusal(refusal: Refusal, status = statusOf[refusal.refused]): Reply {
  return refusal.refused === 'not-found' && status === 404
    ? replyEmpty(404)
    : reply(refusal.message, status);
}
