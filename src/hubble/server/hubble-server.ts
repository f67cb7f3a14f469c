/**
 * @module
 * The gRPC server of one node: Observer, Peer, health and reflection on a unix
 * socket and, if asked for, on a TCP port.
 */
import { chmodSync, mkdirSync, rmSync, statSync } from 'node:fs';
import { connect } from 'node:net';
import { dirname } from 'node:path';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import { HealthService } from '../../api/gen/grpc/health/v1/health.ts';
import { PeerService } from '../../api/gen/peer/peer.ts';
import type { Observer } from '../observer/observer.ts';
import { healthImplementation } from './health-service.ts';
import { HubbleServerError } from './listen-address.ts';
import { observerDefinition, observerImplementation } from './observer-service.ts';
import { peerImplementation } from './peer-service.ts';
import { reflectionDefinitions, reflectionImplementation } from './reflection-service.ts';

/** Who is in the group of the socket's owner may look, nobody else. */
const socketMode = 0o660;
const probeTimeoutMs = 500;

export interface HubbleServerOptions {
  readonly socketPath: string;
  /** `host:port`, plaintext; undefined for none. */
  readonly listenAddress?: string | undefined;
}

export class HubbleServer {
  readonly #server = new Server({ 'grpc.max_receive_message_length': 4 * 1024 * 1024 });
  readonly #socketPath: string;
  /** The TCP port that was bound, 0 for none. */
  port = 0;

  private constructor(observer: Observer, options: HubbleServerOptions) {
    this.#socketPath = options.socketPath;
    const peerAddress = options.listenAddress ?? `unix://${options.socketPath}`;
    const server = this.#server;
    server.addService(observerDefinition, observerImplementation(observer));
    server.addService(PeerService, peerImplementation(observer.nodeName, peerAddress));
    server.addService(HealthService, healthImplementation());
    const services = ['observer.Observer', 'peer.Peer', 'grpc.health.v1.Health'];
    for (const definition of reflectionDefinitions) {
      server.addService(definition, reflectionImplementation(services));
    }
  }

  /** Resolves when clients can connect. Throws HubbleServerError if the socket is another server's. */
  static async start(observer: Observer, options: HubbleServerOptions): Promise<HubbleServer> {
    const server = new HubbleServer(observer, options);
    await freeSocket(options.socketPath);
    await server.#bind(`unix:${options.socketPath}`);
    chmodSync(options.socketPath, socketMode);
    if (options.listenAddress !== undefined)
      server.port = await server.#bind(options.listenAddress);
    return server;
  }

  async #bind(address: string): Promise<number> {
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    this.#server.bindAsync(address, ServerCredentials.createInsecure(), (error, port) => {
      if (error === null) resolve(port);
      else reject(new HubbleServerError(`listen on ${address}`, { cause: error }));
    });
    return await promise;
  }

  /** Ends all streams at once and removes the socket. */
  stop(): void {
    this.#server.forceShutdown();
    rmSync(this.#socketPath, { force: true });
  }
}

/** Removes a socket that nobody listens on any more. */
async function freeSocket(path: string): Promise<void> {
  mkdirSync(dirname(path), { recursive: true });
  const found = statSync(path, { throwIfNoEntry: false });
  if (found === undefined) return;
  if (!found.isSocket()) throw new HubbleServerError(`listen on ${path}: it is not a socket`);
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const socket = connect(path);
  socket.once('connect', () => resolve(true));
  socket.once('error', () => resolve(false));
  socket.setTimeout(probeTimeoutMs, () => resolve(true));
  const alive = await promise;
  socket.destroy();
  if (alive) throw new HubbleServerError(`listen on ${path}: another server answers there`);
  rmSync(path, { force: true });
}
