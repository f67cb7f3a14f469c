/**
 * @module
 * From what a person wrote on a pod to the labels of its identity. This is a trust boundary: pod
 * labels come from whoever may create a pod, so they always get the source `k8s` and can never
 * become a reserved, namespace, cluster or service account label. Those come from the caller.
 */

import { isLabelKey, isLabelValue } from '../../k8s/name.ts';
import {
  ciliumPrefix,
  formatLabel,
  isSystemLabel,
  type Label,
  namespaceKey,
  parseLabel,
  sortLabels,
} from './table.ts';

/** Label texts that were left out of an identity, and why. */
export interface RefusedLabel {
  readonly key: string;
  readonly reason: string;
}

/** What is known about a pod from places that its owner cannot write to, and its own labels. */
export interface PodLabels {
  readonly labels: Readonly<Record<string, string>>;
  readonly namespace: string;
  readonly namespaceLabels?: Readonly<Record<string, string>>;
  readonly serviceAccount?: string;
  readonly cluster: string;
}

interface Pattern {
  readonly drop: boolean;
  readonly source: string | undefined;
  readonly regex: RegExp;
}

/** Decides which labels tell identities apart. Make it once, from the option `labels`. */
export interface LabelFilter {
  readonly patterns: readonly Pattern[];
  /** With a positive pattern of the user's, what no pattern names is dropped. */
  readonly whitelist: boolean;
}

const labelsPerPodMax = 256;

const keptByDefault = [
  'reserved:.*',
  'io\\.kubernetes\\.pod\\.namespace',
  'io\\.cilium\\.k8s\\.namespace\\.labels',
  'app\\.kubernetes\\.io',
  'io\\.cilium\\.k8s\\.policy\\.cluster',
  'io\\.cilium\\.k8s\\.policy\\.serviceaccount',
];

const droppedByDefault = [
  'io\\.kubernetes',
  'kubernetes\\.io',
  'statefulset\\.kubernetes\\.io/pod-name',
  'apps\\.kubernetes\\.io/pod-index',
  'batch\\.kubernetes\\.io/job-completion-index',
  'batch\\.kubernetes\\.io/controller-uid',
  '.*beta\\.kubernetes\\.io',
  'k8s\\.io',
  'pod-template-generation',
  'pod-template-hash',
  'controller-revision-hash',
  'controller-uid',
  'annotation.*',
  'etcd_node',
];

/**
 * The default patterns and those of the option `labels`: `[!][source:]regex`, matched from the
 * beginning of the key. Throws a SyntaxError that names a pattern that cannot be read.
 */
export function labelFilter(userPatterns: readonly string[] = []): LabelFilter {
  const texts = [
    ...keptByDefault,
    ...droppedByDefault.map((text) => `!${text}`),
    ...userPatterns.filter((text) => text.trim() !== ''),
  ];
  return {
    patterns: texts.map(parsePattern),
    whitelist: userPatterns.some((text) => text.trim() !== '' && !text.trim().startsWith('!')),
  };
}

/**
 * True if the label takes part in identities. Where patterns contradict each other the one that
 * matches more of the key decides, so `!app.kubernetes.io/instance` wins over `app.kubernetes.io`.
 */
export function keepsLabel(filter: LabelFilter, label: Label): boolean {
  let kept = -1;
  let dropped = -1;
  for (const pattern of filter.patterns) {
    if (pattern.source !== undefined && pattern.source !== label.source) continue;
    const length = pattern.regex.exec(label.key)?.[0].length;
    if (length === undefined) continue;
    if (pattern.drop) dropped = Math.max(dropped, length);
    else kept = Math.max(kept, length);
  }
  if (kept < 0 && dropped < 0) return !filter.whitelist;
  return kept >= 0 && kept >= dropped;
}

/**
 * The identity labels of a pod, sorted, and the pod labels that were refused because no
 * Kubernetes object could carry them or because they would pass for labels of the system.
 */
export function podIdentityLabels(
  pod: PodLabels,
  filter: LabelFilter,
): { readonly labels: readonly string[]; readonly refused: readonly RefusedLabel[] } {
  const refused: RefusedLabel[] = [];
  const labels: Label[] = [];
  for (const [key, value] of Object.entries(pod.labels)) {
    const reason =
      labels.length >= labelsPerPodMax
        ? `more than ${labelsPerPodMax} labels`
        : refusal(key, value);
    if (reason === undefined) labels.push({ source: 'k8s', key, value });
    else refused.push({ key, reason });
  }
  labels.push({ source: 'k8s', key: namespaceKey, value: pod.namespace });
  labels.push({ source: 'k8s', key: `${ciliumPrefix}policy.cluster`, value: pod.cluster });
  if (pod.serviceAccount !== undefined && pod.serviceAccount !== '') {
    const key = `${ciliumPrefix}policy.serviceaccount`;
    labels.push({ source: 'k8s', key, value: pod.serviceAccount });
  }
  for (const [key, value] of Object.entries(pod.namespaceLabels ?? {})) {
    if (!isLabelKey(key) || !isLabelValue(value)) continue;
    labels.push({ source: 'k8s', key: `${ciliumPrefix}namespace.labels.${key}`, value });
  }
  const kept = labels.filter((label) => keepsLabel(filter, label)).map(formatLabel);
  return { labels: sortLabels(kept), refused };
}

function refusal(key: string, value: unknown): string | undefined {
  if (!isLabelKey(key)) return 'not a label key';
  if (typeof value !== 'string' || !isLabelValue(value)) return 'not a label value';
  return isSystemLabel(key) ? 'set by the system only' : undefined;
}

function parsePattern(text: string): Pattern {
  const trimmed = text.trim();
  const drop = trimmed.startsWith('!');
  const rest = drop ? trimmed.slice(1) : trimmed;
  const { source, key } = parseLabel(rest);
  const sourced = source !== 'unspec' && /^[a-z0-9]+$/.test(source);
  try {
    const regex = new RegExp(`^(?:${sourced ? key : rest})`);
    return { drop, source: sourced ? source : undefined, regex };
  } catch (cause) {
    throw new SyntaxError(`parse label pattern ${JSON.stringify(text)}`, { cause });
  }
}
