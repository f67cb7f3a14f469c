/**
 * @module
 * A row of table `endpoints` with what a test does not care about filled in.
 */

import { done } from '../kv/status.ts';
import { ifIndex } from '../net/if-index.ts';
import { type EndpointRow, endpointId } from './endpoint/table.ts';
import { type IdentityId, identityId } from './identity/table.ts';

type Given = Partial<Omit<EndpointRow, 'id' | 'identity'>> & {
  readonly id: number;
  readonly identity?: IdentityId | number;
};

export function endpointRow({ id, identity = 0, ...given }: Given): EndpointRow {
  return {
    containerId: `container-${id}`,
    containerInterfaceName: 'eth0',
    netnsPath: '',
    podName: `pod-${id}`,
    namespace: 'ns',
    podUid: '',
    labels: [],
    ownLabels: {},
    ports: '',
    audit: false,
    policyId: 0,
    ifindex: ifIndex(id + 10),
    interfaceName: `lxc${id}`,
    mac: '02:00:00:00:00:01',
    hostMac: '02:00:00:00:00:02',
    ipv4: undefined,
    ipv6: undefined,
    state: 'waiting-to-regenerate',
    policyRevision: 0,
    ingressEnforced: false,
    egressEnforced: false,
    createdAt: '2026-01-01T00:00:00.000Z',
    status: done,
    log: [],
    ...given,
    id: endpointId(id),
    identity: identity === 0 ? 0 : identityId(identity),
  };
}
