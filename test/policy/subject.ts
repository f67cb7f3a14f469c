/**
 * @module The compiler under test, asked in the oracle's words: documents as text through the parser,
 * a cluster without a kernel, verdicts with the names of rules.
 */
import { labelFilter, podIdentityLabels } from '../../src/daemon/identity/labels.ts';
import { OfflineCluster, type SideVerdict } from '../../src/daemon/policy/explain/offline.ts';
import { manifestModel } from '../../src/daemon/policy/explain/offline-model.ts';
import { parseDocuments } from '../../src/daemon/policy/parse/parse.ts';
import { formatProblem } from '../../src/k8s/problem.ts';
import type { Cluster, Direction, Protocol, Query } from '../oracle/documents.ts';

const protocolNumbers: Readonly<Record<Protocol, number>> = {
  TCP: 6,
  UDP: 17,
  SCTP: 132,
  ICMP: 1,
  ICMPv6: 58,
};
const implicitLabel = 'reserved:io.cilium.policy.derived-from=';
/** Reasons that the oracle names as well; the rest are "nothing says anything". */
const namedReasons = ['allow-localhost-ingress', 'enable-policy-always'];

const filter = labelFilter([]);

/** Throws if the parser refuses a document. */
export function compile(cluster: Cluster, hostFirewall = false): OfflineCluster {
  const { config, objects } = cluster;
  const text = JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects });
  const parsed = parseDocuments(text, { cluster: config.cluster });
  if (parsed.kind === 'refused') throw new Error(parsed.problems.map(formatProblem).join('\n'));
  const model = manifestModel(parsed.policies, parsed.objects, {
    ...config,
    hostFirewall,
    entriesMax: 0,
    identityLabels: (pod) => podIdentityLabels(pod, filter).labels,
  });
  // The oracle looks at every pod as if it ran on the local node.
  const pods = model.pods.map((pod) => ({ ...pod, nodeName: undefined }));
  return new OfflineCluster({ ...model, pods });
}

export function compiledVerdict(cluster: OfflineCluster, query: Query) {
  const [from, to] = [query.from, query.to].map((name) => cluster.end(name, query.family));
  if (from === undefined || to === undefined) throw new Error(`no such end in ${query}`);
  const { allowed, egress, ingress } = cluster.judge(
    from,
    to,
    protocolNumbers[query.protocol],
    query.port,
  );
  return { allowed, egress: side(egress, 'egress'), ingress: side(ingress, 'ingress') };
}

function side(verdict: SideVerdict | undefined, direction: Direction) {
  if (verdict === undefined) return undefined;
  const { enforced, allowed, isDefault } = verdict;
  const rules = verdict.policies.flatMap(({ kind, namespace, name, ruleIndex, items, labels }) => {
    if (name === '') return implicit(labels);
    const rule = `${kind}/${namespace}/${name}#${ruleIndex}`;
    return isDefault ? [`${rule}:${direction}`] : items.map((item) => `${rule}:${item}`);
  });
  return { enforced, allowed, rules: rules.sort() };
}

function implicit(labels: readonly string[]): string[] {
  const reason = labels[0]?.slice(implicitLabel.length) ?? '';
  return namedReasons.includes(reason) ? [`implicit:${reason}`] : [];
}
