/**
 * @module
 * All that an agent judges by, as one value that fits into JSON (`GET /v1/policy/export`), and back:
 * `cilium policy` compiles it exactly as the agent has, wherever it runs.
 */

import type { ClusterObject } from '../../../k8s/object.ts';
import { type ClusterObjectRow, nodeLabelTexts } from '../../cluster/table.ts';
import type { EndpointRow } from '../../endpoint/table.ts';
import {
  type IdentityId,
  type IdentityRow,
  identityUnknown,
  isLocalScope,
} from '../../identity/table.ts';
import type { IpcacheRow } from '../../ipcache/table.ts';
import { formatPorts } from '../../ports.ts';
import type { PolicyConfig } from '../compile/compiler.ts';
import type { PolicyRuleRow } from '../table.ts';
import { hostName, type OfflineModel, type OfflinePod } from './offline-model.ts';

const formVersion = 3;

export interface PolicyExport {
  /** Of this form; another one is not understood. */
  readonly version: typeof formVersion;
  readonly revision: number;
  readonly cluster: string;
  readonly nodeName: string;
  readonly config: PolicyConfig;
  /** Policy is only audited, at every endpoint of the node and at the node itself. */
  readonly audit: boolean;
  readonly rules: readonly PolicyRuleRow[];
  readonly objects: readonly ClusterObject[];
  readonly identities: readonly { readonly id: IdentityId; readonly labels: readonly string[] }[];
  readonly endpoints: readonly ExportedEndpoint[];
  readonly ipcache: readonly ExportedPlace[];
  /** Labels of the node while the host firewall protects it. */
  readonly nodeLabels?: readonly string[];
  readonly hostSources: readonly string[];
  /** What of the files of policies is not as it is meant. */
  readonly problem?: string;
}

export interface ExportedEndpoint {
  readonly namespace: string;
  readonly name: string;
  readonly identity: IdentityId | 0;
  readonly labels: readonly string[];
  readonly ports: string;
  /** Policy is only audited here, whatever is so elsewhere. */
  readonly audit: boolean;
  readonly ipv4?: string;
  readonly ipv6?: string;
}

export interface ExportedPlace {
  readonly prefix: string;
  readonly identity: IdentityId;
  readonly namespace: string;
  readonly podName: string;
}

export interface ExportSources {
  readonly cluster: string;
  readonly nodeName: string;
  readonly hostFirewall: boolean;
  readonly revision: number;
  readonly config: PolicyConfig;
  readonly audit: boolean;
  readonly rules: Iterable<PolicyRuleRow>;
  readonly objects: Iterable<ClusterObjectRow>;
  readonly identities: Iterable<IdentityRow>;
  readonly endpoints: Iterable<EndpointRow>;
  readonly ipcache: Iterable<IpcacheRow>;
  /** Addresses by which the node speaks to its pods. */
  readonly hostSources: readonly string[];
  readonly problem: string | undefined;
}

export function policyExport(sources: ExportSources): PolicyExport {
  const { revision, cluster, nodeName, config, audit, hostFirewall, hostSources } = sources;
  const objects = [...sources.objects].map((row) => row.object);
  const node = objects.find((one) => one.kind === 'Node' && one.name === nodeName);
  return {
    version: formVersion,
    revision,
    cluster,
    nodeName,
    config,
    audit,
    rules: [...sources.rules],
    objects,
    identities: [...sources.identities].map(({ id, labels: texts }) => ({ id, labels: texts })),
    endpoints: [...sources.endpoints].map((row) => ({
      namespace: row.namespace,
      name: row.podName,
      identity: row.identity,
      labels: row.labels,
      ports: row.ports,
      audit: row.audit,
      ...(row.ipv4 === undefined ? {} : { ipv4: row.ipv4 }),
      ...(row.ipv6 === undefined ? {} : { ipv6: row.ipv6 }),
    })),
    ipcache: [...sources.ipcache].map(({ prefix, identity, namespace, podName }) => ({
      prefix,
      identity,
      namespace,
      podName,
    })),
    ...(hostFirewall ? { nodeLabels: nodeLabelTexts(node) } : {}),
    hostSources,
    ...(sources.problem === undefined ? {} : { problem: sources.problem }),
  };
}

/** Throws a TypeError on what no agent of this version exports. */
export function exportedModel(found: PolicyExport): OfflineModel {
  if (
    found.version !== formVersion ||
    !Array.isArray(found.rules) ||
    !Array.isArray(found.ipcache)
  ) {
    throw new TypeError('the agent is of another version: it exports its policy in another form');
  }
  const here = new Set<string>();
  const audited = new Set<string>(found.audit ? [hostName] : []);
  const pods = found.endpoints.flatMap((each): OfflinePod[] => {
    const addresses = [each.ipv4, each.ipv6].filter((one) => one !== undefined);
    for (const address of addresses) here.add(address);
    if (each.identity === 0) return [];
    const { namespace, identity, ports } = each;
    const name = each.name === '' ? (addresses[0] ?? '') : `${namespace}/${each.name}`;
    if (found.audit || each.audit) audited.add(name);
    return [{ namespace, name, identity, ports, addresses }];
  });
  const places = found.ipcache.filter(
    ({ identity, prefix }) =>
      identity !== identityUnknown && !isLocalScope(identity) && !here.has(addressOf(prefix)),
  );
  return {
    config: found.config,
    cluster: found.cluster,
    rules: found.rules,
    objects: found.objects,
    identities: found.identities,
    places,
    pods: [...pods, ...otherPods(found, here)],
    hostPods: found.objects.flatMap((one) =>
      one.kind === 'Pod' && one.hostNetwork && !one.ended
        ? [{ name: `${one.namespace}/${one.name}`, addresses: one.addresses }]
        : [],
    ),
    nodeLabels: found.nodeLabels,
    hostSources: found.hostSources,
    audited,
  };
}

/** Pods of other nodes: their addresses are in the ipcache, their named ports in the objects. */
function otherPods(found: PolicyExport, here: ReadonlySet<string>): OfflinePod[] {
  const ports = new Map<string, string>();
  for (const one of found.objects) {
    if (one.kind === 'Pod') ports.set(`${one.namespace}/${one.name}`, formatPorts(one.ports));
  }
  const pods = new Map<string, OfflinePod>();
  for (const { prefix, identity, namespace, podName } of found.ipcache) {
    const address = addressOf(prefix);
    if (podName === '' || identity === identityUnknown || here.has(address)) continue;
    const name = `${namespace}/${podName}`;
    const before = pods.get(name);
    pods.set(name, {
      namespace,
      name,
      identity,
      ports: ports.get(name) ?? '',
      addresses: [...(before?.addresses ?? []), address],
    });
  }
  return [...pods.values()];
}

function addressOf(prefix: string): string {
  return prefix.slice(0, prefix.lastIndexOf('/'));
}
