/**
 * @module Policies as objects, for tests that write them.
 */

export interface PolicySpec {
  readonly endpointSelector: object;
  readonly ingress?: readonly object[];
  readonly egress?: readonly object[];
  readonly [field: string]: unknown;
}

/** A CiliumNetworkPolicy. */
export function policy(name: string, spec: PolicySpec): object {
  return {
    apiVersion: 'cilium.io/v2',
    kind: 'CiliumNetworkPolicy',
    metadata: { name, namespace: 'default' },
    spec,
  };
}

export function app(...names: readonly string[]): object {
  if (names.length === 1) return { matchLabels: { app: names[0] } };
  return { matchExpressions: [{ key: 'app', operator: 'In', values: names }] };
}

/** `toPorts` by `TCP/80`, `UDP/53`, `ANY/80`, `TCP/8000-8080`. */
export function ports(...texts: readonly string[]): object[] {
  return [
    {
      ports: texts.map((text) => {
        const [protocol, range = ''] = text.split('/');
        const [port, endPort] = range.split('-');
        return endPort === undefined
          ? { port, protocol }
          : { port, protocol, endPort: Number(endPort) };
      }),
    },
  ];
}
