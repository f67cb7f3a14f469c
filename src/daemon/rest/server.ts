/**
 * @module The agent's REST server on its unix socket. Input: HTTP/1.1 from root and its group, each
 * request read to its end within a bound; output: what `answer.ts` says. Node's server and not
 * Bun's: that one drops the body of a GET, in which clients send label filters.
 */
import { chmodSync, lstatSync, mkdirSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { dirname } from 'node:path';
import { type ErrorSink, restAnswer } from './answer.ts';
import { bodyBytesMax } from './body.ts';
import type { RestContext } from './context.ts';
import { type Reply, replyInvalid } from './reply.ts';
import type { ApiRequest } from './router.ts';

/** How long a client may take to send its request. */
const requestTimeoutMs = 10_000;
/** Connections at once; a plugin call needs one. More wait in the socket's backlog. */
const connectionsMax = 1024;

/** A running server. */
export interface RestServer {
  readonly socketPath: string;
  /** Stops accepting, lets running requests end, and removes the socket. */
  stop(): Promise<void>;
}

/**
 * Listens on the socket. A socket file that nobody listens on any more is replaced; one that answers
 * belongs to a running agent and is an error.
 */
export async function startRestServer(
  socketPath: string,
  context: RestContext,
  onError: ErrorSink,
): Promise<RestServer> {
  mkdirSync(dirname(socketPath), { recursive: true, mode: 0o755 });
  await checkSocketFree(socketPath);
  rmSync(socketPath, { force: true });
  const answer = restAnswer(context, onError);
  const server = createServer((message, response) => {
    void serve(message, response, answer);
  });
  server.requestTimeout = requestTimeoutMs;
  server.headersTimeout = requestTimeoutMs;
  server.maxConnections = connectionsMax;
  await listen(server, socketPath);
  // Connecting needs the right to write, which nobody but root has until here.
  chmodSync(socketPath, 0o660);
  return {
    socketPath,
    async stop() {
      await close(server);
      rmSync(socketPath, { force: true });
    },
  };
}

async function serve(
  message: IncomingMessage,
  response: ServerResponse,
  answer: (request: ApiRequest) => Promise<Reply>,
): Promise<void> {
  const gone = new AbortController();
  response.on('close', () => gone.abort());
  message.on('error', () => gone.abort());
  response.on('error', () => gone.abort());
  const body = await readAll(message);
  if (body === undefined) {
    send(response, replyInvalid(413, `the body is larger than ${bodyBytesMax} bytes`));
    return;
  }
  const headers: Record<string, string | undefined> = Object.create(null);
  for (const [name, value] of Object.entries(message.headers)) {
    headers[name] = Array.isArray(value) ? value.join(',') : value;
  }
  const { method = '', url = '' } = message;
  send(response, await answer({ method, target: url, headers, body, signal: gone.signal }));
}

/** The whole body, or `undefined` if it is too large. What was cut short is what came. */
async function readAll(message: IncomingMessage): Promise<string | undefined> {
  const chunks: Buffer[] = [];
  let length = 0;
  try {
    for await (const chunk of message) {
      length += chunk.length;
      // Read to the end even so, or the client would never read the answer.
      if (length <= bodyBytesMax) chunks.push(chunk);
    }
  } catch {
    // The client went away: nobody hears the answer, and an incomplete body must not be acted on.
    return undefined;
  }
  return length > bodyBytesMax || !message.complete
    ? undefined
    : Buffer.concat(chunks).toString('utf8');
}

function send(response: ServerResponse, { status, headers, body }: Reply): void {
  if (response.destroyed) return;
  response.writeHead(status, { ...headers, 'content-length': Buffer.byteLength(body) });
  response.end(body);
}

function listen(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, () => {
      server.off('error', reject);
      resolve();
    });
  });
}

function close(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeIdleConnections();
  });
}

/** Throws if another agent answers on the socket, or if what is there is none. */
export async function checkSocketFree(path: string): Promise<void> {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return;
  if (!stat.isSocket()) throw new Error(`listen on ${path}: there is something that is no socket`);
  if (!(await isAnswered(path))) return;
  throw new Error(
    `listen on ${path}: another agent is listening there: ` +
      'stop it, or give this one its own --socket-path, --state-dir and --bpf-root',
  );
}

async function isAnswered(path: string): Promise<boolean> {
  try {
    const socket = await Bun.connect({ unix: path, socket: { data() {} } });
    socket.end();
    return true;
  } catch {
    return false;
  }
}
