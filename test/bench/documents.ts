/** @module Policy documents that benchmarks write. */

export interface Allow {
  readonly name: string;
  /** The value of `app` of the pods that it is about. */
  readonly app: string;
  readonly direction: 'ingress' | 'egress';
  /** The value of `app` of the peers; `undefined` for every pod. */
  readonly peer: string | undefined;
  readonly ports: readonly { readonly port: number; readonly protocol: 'TCP' | 'UDP' }[];
}

export function allowPolicy({ name, app, direction, peer, ports }: Allow): string {
  const selector = peer === undefined ? {} : { matchLabels: { app: peer } };
  const peers = direction === 'ingress' ? 'fromEndpoints' : 'toEndpoints';
  const toPorts =
    ports.length === 0
      ? {}
      : {
          toPorts: [
            { ports: ports.map(({ port, protocol }) => ({ port: String(port), protocol })) },
          ],
        };
  return `${JSON.stringify({
    apiVersion: 'cilium.io/v2',
    kind: 'CiliumNetworkPolicy',
    metadata: { name, namespace: 'default' },
    spec: {
      endpointSelector: { matchLabels: { app } },
      [direction]: [{ [peers]: [selector], ...toPorts }],
    },
  })}\n`;
}
