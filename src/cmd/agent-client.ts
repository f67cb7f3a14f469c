/**
 * @module Client of the agent's REST API on its unix socket, for the commands. What an answer holds is
 * not checked here: a printer reads the fields that it knows and survives those that are missing.
 */
import { statSync } from 'node:fs';
import { request as httpRequest } from 'node:http';
import type { Flag } from './flags.ts';

export const hostFlag: Flag = {
  name: 'host',
  short: 'H',
  kind: 'string',
  help: "path or URI of the agent's socket (default /var/run/cilium/cilium.sock, or the sandbox's)",
};

/** Nobody answers on the socket. */
export class AgentDownError extends Error {
  readonly socketPath: string;
  constructor(url: string, socketPath: string, reason: string) {
    super(
      `Get "${url}": dial unix ${socketPath}: connect: ${reason}\nIs the agent running? 'cilium up' starts one here; --host or CILIUM_SOCK name another one.`,
    );
    this.name = 'AgentDownError';
    this.socketPath = socketPath;
  }
}

/** The agent answered with a status that is not success. */
export class AgentStatusError extends Error {
  readonly status: number;
  constructor(method: string, route: string, status: number, answer: string, body: string) {
    const suffix = body === '' ? '' : ` ${body}`;
    super(`[${method} ${route}][${status}] ${answer}${suffix}`);
    this.name = 'AgentStatusError';
    this.status = status;
  }
}

/** One request; `route` and `answer` are the names that upstream's client uses in its errors. */
export interface AgentRequest {
  readonly path: string;
  readonly method?: string;
  readonly body?: unknown;
  readonly route?: string;
  readonly answer?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly timeoutMs?: number;
}

const defaultTimeoutMs = 30_000;

export class AgentClient {
  readonly #socketPath: string;

  constructor(socketPath: string) {
    this.#socketPath = socketPath;
  }

  /** The answer's JSON. Throws `AgentDownError`, `AgentStatusError`. */
  async get<T = unknown>(path: string, request: Omit<AgentRequest, 'path'> = {}): Promise<T> {
    const response = await this.send({ ...request, path });
    return (await response.json()) as T;
  }

  async send(request: AgentRequest): Promise<Response> {
    const method = request.method ?? 'GET';
    const url = `http://localhost/v1${request.path}`;
    this.#checkSocket(url);
    const response = await this.#fetch(url, method, request);
    if (response.ok) return response;
    const body = (await response.text()).trim();
    const route = request.route ?? request.path;
    throw new AgentStatusError(method, route, response.status, request.answer ?? '', body);
  }

  /** Bun does not say why a unix socket could not be connected, so the usual reason is looked up. */
  #checkSocket(url: string): void {
    try {
      statSync(this.#socketPath);
    } catch {
      throw new AgentDownError(url, this.#socketPath, 'no such file or directory');
    }
  }

  async #fetch(url: string, method: string, request: AgentRequest): Promise<Response> {
    const timeoutMs = request.timeoutMs ?? defaultTimeoutMs;
    const headers = { ...(request.headers ?? {}) } as Record<string, string>;
    if (request.body !== undefined) headers['content-type'] = 'application/json';
    const body = request.body === undefined ? undefined : JSON.stringify(request.body);
    const signal = AbortSignal.timeout(timeoutMs);
    try {
      return await this.#exchange(url, { method, headers, signal }, body);
    } catch (error) {
      if (signal.aborted) {
        throw new Error(`${method} "${url}": no answer within ${timeoutMs / 1000} s`, {
          cause: error,
        });
      }
      throw new AgentDownError(url, this.#socketPath, refusal(error));
    }
  }

  /** Not `fetch`, which refuses the body of a GET; filters of labels are sent in it. */
  #exchange(
    url: string,
    options: { method: string; headers: Record<string, string>; signal: AbortSignal },
    body: string | undefined,
  ): Promise<Response> {
    return new Promise((resolve, reject) => {
      const { pathname, search } = new URL(url);
      const length = { 'content-length': String(Buffer.byteLength(body ?? '')) };
      const outgoing = httpRequest(
        {
          ...options,
          socketPath: this.#socketPath,
          path: `${pathname}${search}`,
          headers: { ...options.headers, ...(body === undefined ? {} : length) },
        },
        (incoming) => {
          const chunks: Buffer[] = [];
          incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
          incoming.on('error', reject);
          incoming.on('end', () => {
            const status = incoming.statusCode ?? 500;
            const isEmpty = status === 204 || status === 304;
            resolve(new Response(isEmpty ? null : Buffer.concat(chunks), { status }));
          });
        },
      );
      outgoing.on('error', reject);
      outgoing.end(body);
    });
  }
}

function refusal(error: unknown): string {
  const code = error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined;
  if (code === 'EACCES' || code === 'EPERM') return 'permission denied';
  return code === 'ECONNRESET' ? 'connection reset by peer' : 'connection refused';
}
