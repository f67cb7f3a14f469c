/**
 * @module The two small programs that run inside pods: an HTTP server that says who it is and who
 * asked, and a client for machines without curl.
 */

/** Serves on all addresses of both families until the process is stopped. */
export function serveHttp(port: number, name: string): void {
  Bun.serve({
    port,
    hostname: '::',
    fetch(request, server) {
      const client = server.requestIP(request)?.address.replace(/^::ffff:/, '') ?? 'nobody';
      const path = new URL(request.url).pathname;
      return new Response(`hello from ${name}, ${client} asked for ${path}\n`);
    },
  });
}

/** What came of a request. */
export type Got =
  | { readonly ok: true; readonly status: number; readonly body: string; readonly ms: number }
  | { readonly ok: false; readonly reason: string };

/** Fetches one URL over a connection of its own. Never throws. */
export async function getUrl(url: string, timeoutMs: number): Promise<Got> {
  const started = performance.now();
  try {
    const response = await fetch(url, {
      signal: AbortSignal.timeout(timeoutMs),
      keepalive: false,
      redirect: 'manual',
      proxy: '',
    });
    const body = await response.text();
    return { ok: true, status: response.status, body, ms: performance.now() - started };
  } catch (error) {
    return { ok: false, reason: reasonOf(error, timeoutMs) };
  }
}

function reasonOf(error: unknown, timeoutMs: number): string {
  if (!(error instanceof Error)) return String(error);
  if (error.name === 'TimeoutError') return `no answer within ${timeoutMs} ms`;
  const { code } = error as NodeJS.ErrnoException;
  return code === 'ConnectionRefused' ? 'connection refused' : error.message;
}
