/**
 * @module
 * `/healthz` over HTTP on the loopback for the kubelet's probes (`agent-health-port`): 200 while the
 * agent does its work, 500 when it does not. A port that another agent has is a warning, no failure.
 */
import type { StatusModel } from './rest/context.ts';

export interface HealthProbeOptions {
  /** 0: none. */
  readonly port: number;
  readonly status: () => StatusModel;
  readonly problem: (error: unknown) => void;
}

/** A part of the agent, for its lifecycle. */
export function healthProbe({ port, status, problem }: HealthProbeOptions) {
  const servers: Bun.Server<undefined>[] = [];
  const answer = (request: Request): Response => {
    if (new URL(request.url).pathname !== '/healthz') return new Response(null, { status: 404 });
    const { cilium, ...rest } = status();
    const brief = request.headers.get('brief') === 'true';
    const body = brief ? { cilium } : { cilium, ...rest };
    return Response.json(body, { status: cilium.state === 'Failure' ? 500 : 200 });
  };
  return {
    name: 'health probe',
    start() {
      if (port === 0) return;
      for (const hostname of ['127.0.0.1', '::1']) {
        try {
          // Bun shares a port by itself; a probe must not be answered by somebody else's agent.
          servers.push(Bun.serve({ hostname, port, reusePort: false, fetch: answer }));
        } catch (error) {
          // Without IPv6 there is no ::1, which is nobody's problem.
          if (hostname === '127.0.0.1') problem(error);
        }
      }
    },
    async stop() {
      for (const server of servers.splice(0)) await server.stop(true);
    },
  };
}
