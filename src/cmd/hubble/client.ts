/**
 * @module
 * The connection of a hubble command to its server. Streams hand over bytes: who prints
 * JSON never builds the messages.
 */

import { connect } from 'node:net';
import {
  Client,
  type ClientReadableStream,
  credentials,
  Metadata,
  type ServiceError,
  status,
} from '@grpc/grpc-js';
import { HealthClient } from '../../api/gen/grpc/health/v1/health.ts';
import {
  GetAgentEventsRequest,
  GetFlowsRequest,
  type GetNamespacesResponse,
  type GetNodesResponse,
  ObserverClient,
  type ServerStatusResponse,
} from '../../api/gen/observer/observer.ts';
import type { ServerAddress } from './server-address.ts';

/** The server cannot be reached, with what the system says about it. */
export class UnreachableError extends Error {
  override readonly name = 'UnreachableError';
}

/** The server answered that it will not. */
export class RefusedError extends Error {
  override readonly name = 'RefusedError';
  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}

const asBytes = (buffer: Buffer): Uint8Array => buffer;

export class HubbleClient implements Disposable {
  readonly #address: ServerAddress;
  readonly #raw: Client;
  readonly #observer: ObserverClient;
  readonly #health: HealthClient;
  readonly #connectMs: number;
  readonly #requestMs: number;

  constructor(address: ServerAddress, connectMs: number, requestMs: number) {
    const options = { 'grpc.max_receive_message_length': 64 * 1024 * 1024 };
    const plain = credentials.createInsecure();
    this.#address = address;
    this.#raw = new Client(address.target, plain, options);
    this.#observer = new ObserverClient(address.target, plain, {
      channelOverride: this.#raw.getChannel(),
    });
    this.#health = new HealthClient(address.target, plain, {
      channelOverride: this.#raw.getChannel(),
    });
    this.#connectMs = connectMs;
    this.#requestMs = requestMs;
  }

  /** Throws UnreachableError with the system's own words. */
  async connected(): Promise<void> {
    const { socketPath, shown } = this.#address;
    if (socketPath !== undefined) {
      const problem = await probeSocket(socketPath);
      if (problem !== undefined) throw new UnreachableError(`connect to ${shown}: ${problem}`);
    }
    const { promise, resolve } = Promise.withResolvers<Error | undefined>();
    this.#raw.waitForReady(Date.now() + this.#connectMs, resolve);
    const error = await promise;
    if (error === undefined || error === null) return;
    throw new UnreachableError(`connect to ${shown}: no answer within ${this.#connectMs} ms`);
  }

  flows(request: GetFlowsRequest): ClientReadableStream<Uint8Array> {
    return this.#raw.makeServerStreamRequest(
      '/observer.Observer/GetFlows',
      (one: GetFlowsRequest) => Buffer.from(GetFlowsRequest.encode(one).finish()),
      asBytes,
      request,
    );
  }

  agentEvents(request: GetAgentEventsRequest): ClientReadableStream<Uint8Array> {
    return this.#raw.makeServerStreamRequest(
      '/observer.Observer/GetAgentEvents',
      (one: GetAgentEventsRequest) => Buffer.from(GetAgentEventsRequest.encode(one).finish()),
      asBytes,
      request,
    );
  }

  async serverStatus(): Promise<ServerStatusResponse> {
    return await this.#unary((deadline, done) => {
      this.#observer.serverStatus({}, ...noMetadata(deadline), done);
    });
  }

  async nodes(): Promise<GetNodesResponse> {
    return await this.#unary((deadline, done) => {
      this.#observer.getNodes({}, ...noMetadata(deadline), done);
    });
  }

  async namespaces(): Promise<GetNamespacesResponse> {
    return await this.#unary((deadline, done) => {
      this.#observer.getNamespaces({}, ...noMetadata(deadline), done);
    });
  }

  /** True if the server says that it serves. */
  async healthy(): Promise<boolean> {
    const answer = await this.#unary<{ status: number }>((deadline, done) => {
      this.#health.check({ service: '' }, ...noMetadata(deadline), done);
    });
    return answer.status === 1;
  }

  [Symbol.dispose](): void {
    this.#raw.close();
  }

  #unary<Answer>(
    call: (deadline: number, done: (error: ServiceError | null, answer?: Answer) => void) => void,
  ): Promise<Answer> {
    const { promise, resolve, reject } = Promise.withResolvers<Answer>();
    call(Date.now() + this.#requestMs, (error, answer) => {
      if (error !== null || answer === undefined) reject(callError(error));
      else resolve(answer);
    });
    return promise;
  }
}

function noMetadata(deadline: number): [Metadata, { deadline: number }] {
  return [new Metadata(), { deadline }];
}

/** A failed call as one of our two errors. */
export function callError(error: ServiceError | null): UnreachableError | RefusedError {
  if (error === null) return new RefusedError(status.INTERNAL, 'the server gave no answer');
  const name = status[error.code] ?? String(error.code);
  if (error.code === status.UNAVAILABLE || error.code === status.DEADLINE_EXCEEDED) {
    return new UnreachableError(`${name}: ${error.details}`);
  }
  return new RefusedError(error.code, `${name}: ${error.details}`);
}

/** Why a unix socket cannot be connected to, or undefined. grpc-js keeps that to itself. */
async function probeSocket(path: string): Promise<string | undefined> {
  const { promise, resolve } = Promise.withResolvers<string | undefined>();
  const socket = connect(path);
  socket.once('connect', () => resolve(undefined));
  socket.once('error', (error: Error & { code?: string }) => {
    const words: Readonly<Record<string, string>> = {
      ENOENT: 'no such socket; is the agent running?',
      ECONNREFUSED: 'nobody listens; is the agent running?',
      EACCES: 'permission denied; root and the group of the socket may',
    };
    resolve(words[error.code ?? ''] ?? error.message);
  });
  const problem = await promise;
  socket.destroy();
  return problem;
}
