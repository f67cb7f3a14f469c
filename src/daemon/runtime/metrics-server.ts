/**
 * @module
 * Serves `/metrics` on the address of `prometheus-serve-addr`.
 */

import { ConfigError } from './config-error.ts';
import { type ListenAddress, parseListenAddress } from './config-parse.ts';
import { registry } from './metrics.ts';

/** A text format endpoint until `stop`. `port` is the one in use, also if 0 was asked for. */
export class MetricsServer {
  readonly #server: Bun.Server<undefined>;

  /** Throws ConfigError if the address cannot be had. */
  constructor(address: string, option = 'prometheus-serve-addr') {
    try {
      this.#server = listen(parseListenAddress(address));
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause);
      throw new ConfigError(option, `listen on ${address}: ${why}`, { cause });
    }
  }

  get port(): number {
    return this.#server.port ?? 0;
  }

  async stop(): Promise<void> {
    await this.#server.stop(true);
  }
}

function listen(address: ListenAddress): Bun.Server<undefined> {
  // Bun shares a port by itself; two agents that answer in turns would be worse than an error.
  const options = { port: address.port, reusePort: false, development: false, fetch: answer };
  const serve = (hostname: string) => Bun.serve({ ...options, hostname });
  if (address.hostname !== undefined) return serve(address.hostname);
  try {
    return serve('::');
  } catch (cause) {
    // A kernel without IPv6 still has IPv4; an address in use is in use in both.
    if (cause instanceof Error && 'code' in cause && cause.code === 'EADDRINUSE') throw cause;
    return serve('0.0.0.0');
  }
}

async function answer(request: Request): Promise<Response> {
  if (new URL(request.url).pathname !== '/metrics') {
    return new Response('404 page not found\n', { status: 404 });
  }
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    return new Response('method not allowed\n', { status: 405, headers: { Allow: 'GET, HEAD' } });
  }
  const text = await registry.metrics();
  return new Response(request.method === 'HEAD' ? null : text, {
    headers: { 'Content-Type': registry.contentType },
  });
}
