/**
 * @module What is known about a pod → its identity labels and its named ports. A pod's own labels
 * are those of its Pod object, or, as long as there is none, what the request says (`k8s:app=web`,
 * `app=web`). The identity feature then decides what they become; nothing with another source gets
 * through.
 */
import type { PodObject } from '../../k8s/object.ts';
import { parseLabel } from '../identity/table.ts';
import type { Refusal } from '../ipam/table.ts';

export type OwnLabels = Readonly<Record<string, string>>;

/** What the identity feature makes of a pod. */
export type IdentityLabels = (pod: {
  readonly labels: OwnLabels;
  readonly namespace: string;
  readonly namespaceLabels: OwnLabels;
  readonly serviceAccount?: string;
}) => {
  readonly labels: readonly string[];
  readonly refused: readonly { readonly key: string; readonly reason: string }[];
};

/** The objects that a pod's labels come from. */
export interface PodObjects {
  pod(namespace: string, name: string): PodObject | undefined;
  /** Undefined for a namespace of which there is no object. */
  namespaceLabels(namespace: string): OwnLabels | undefined;
}

/** What an endpoint's row says of its pod. */
export interface PodFacts {
  /** Sorted identity labels. */
  readonly labels: readonly string[];
  readonly ports: readonly PodObject['ports'][number][];
}

export interface PodName {
  readonly namespace: string;
  readonly podName: string;
}

/** The key by which every namespace can be selected, object or not. */
const namespaceNameKey = 'kubernetes.io/metadata.name';

export class LabelSource {
  readonly #identityLabels: IdentityLabels;
  readonly #objects: PodObjects;

  constructor(identityLabels: IdentityLabels, objects: PodObjects) {
    this.#identityLabels = identityLabels;
    this.#objects = objects;
  }

  /** The pod's own labels as a request gives them; refused with the name of the first that cannot be. */
  own(texts: readonly string[], { namespace }: PodName): OwnLabels | Refusal {
    const own: Record<string, string> = Object.create(null);
    for (const text of texts) {
      const { source, key, value } = parseLabel(text);
      if (source !== 'k8s' && source !== 'unspec') {
        return invalid(text, `a pod cannot have a label of source ${JSON.stringify(source)}`);
      }
      if (own[key] !== undefined && own[key] !== value) return invalid(text, 'given twice');
      own[key] = value;
    }
    const { refused } = this.#identityLabels({ labels: own, namespace, namespaceLabels: {} });
    const first = refused[0];
    return first === undefined ? own : invalid(first.key, first.reason);
  }

  /** Labels that cannot be are left out here: the Kubernetes API is not asked back. */
  facts(own: OwnLabels, { namespace, podName }: PodName): PodFacts {
    const pod = podName === '' ? undefined : this.#objects.pod(namespace, podName);
    const { serviceAccount } = pod ?? {};
    const { labels } = this.#identityLabels({
      labels: pod?.labels ?? own,
      namespace,
      namespaceLabels: {
        ...this.#objects.namespaceLabels(namespace),
        [namespaceNameKey]: namespace,
      },
      ...(serviceAccount === undefined ? {} : { serviceAccount }),
    });
    return { labels, ports: pod?.ports ?? [] };
  }
}

function invalid(label: string, reason: string) {
  return { refused: 'invalid', message: `labels: ${JSON.stringify(label)}: ${reason}` } as const;
}
