/**
 * @module Labels as a request gives them (`k8s:app=web`, `app=web`) → labels of the pod as its owner
 * may set them. The identity feature then decides what they become; here nothing with another
 * source gets through.
 */
import { parseLabel } from '../identity/table.ts';
import type { LabelSource } from './reflector.ts';

/** What the identity feature makes of a pod. */
export type IdentityLabels = (pod: {
  readonly labels: Readonly<Record<string, string>>;
  readonly namespace: string;
}) => {
  readonly labels: readonly string[];
  readonly refused: readonly { readonly key: string; readonly reason: string }[];
};

/** A label source that refuses a request with the name of the first label that cannot be. */
export function podLabelSource(identityLabels: IdentityLabels): LabelSource {
  return ({ labels, namespace }) => {
    const own: Record<string, string> = Object.create(null);
    for (const text of labels) {
      const { source, key, value } = parseLabel(text);
      if (source !== 'k8s' && source !== 'unspec') {
        return invalid(text, `a pod cannot have a label of source ${JSON.stringify(source)}`);
      }
      if (own[key] !== undefined && own[key] !== value) return invalid(text, 'given twice');
      own[key] = value;
    }
    const result = identityLabels({ labels: own, namespace });
    const refused = result.refused[0];
    return refused === undefined ? result.labels : invalid(refused.key, refused.reason);
  };
}

function invalid(label: string, reason: string) {
  return { refused: 'invalid', message: `labels: ${JSON.stringify(label)}: ${reason}` } as const;
}
