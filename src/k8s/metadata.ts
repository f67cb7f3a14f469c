/**
 * @module
 * `metadata` of any object: name, namespace, uid and labels.
 */

import type { FieldReader } from './field.ts';
import { isDnsLabel, isDnsSubdomain, isLabelKey, isLabelValue } from './name.ts';
import type { Labels } from './object.ts';
import { quote } from './problem.ts';

const labelsMax = 1000;

/** All of ObjectMeta: what does not concern policy is accepted and ignored. */
const metadataFields = [
  'name',
  'namespace',
  'labels',
  'uid',
  'annotations',
  'creationTimestamp',
  'deletionGracePeriodSeconds',
  'deletionTimestamp',
  'finalizers',
  'generateName',
  'generation',
  'managedFields',
  'ownerReferences',
  'resourceVersion',
  'selfLink',
];

export interface Metadata {
  /** Empty for cluster-scoped kinds. */
  readonly namespace: string;
  readonly name: string;
  readonly uid: string | undefined;
  readonly labels: Labels;
}

/** Undefined, and problems, if the object cannot be told from others. */
export function parseMetadata(object: FieldReader, isNamespaced: boolean): Metadata | undefined {
  if (!object.require('metadata')) return undefined;
  const metadata = object.object('metadata', metadataFields);
  if (metadata === undefined) return undefined;
  const before = metadata.problems.count;
  const name = metadata.require('name') ? metadata.text('name') : undefined;
  const namespace = metadata.text('namespace');
  const uid = metadata.text('uid');
  const labels = parseLabelMap(metadata, 'labels');
  if (name !== undefined && !isDnsSubdomain(name)) {
    metadata.refuse('name', `not a name: ${quote(name)}`);
  }
  if (namespace !== undefined && !isNamespaced) {
    metadata.refuse('namespace', 'must be absent: the kind belongs to the whole cluster');
  } else if (namespace !== undefined && !isDnsLabel(namespace)) {
    metadata.refuse('namespace', `not a namespace: ${quote(namespace)}`);
  }
  if (uid !== undefined && !/^[A-Za-z0-9-]{0,64}$/.test(uid)) {
    metadata.refuse('uid', `not a uid: ${quote(uid)}`);
  }
  if (metadata.problems.count > before || name === undefined) return undefined;
  return { name, namespace: isNamespaced ? (namespace ?? 'default') : '', uid, labels };
}

/** A map of labels; absent is empty. Only what Kubernetes would take. */
export function parseLabelMap(reader: FieldReader, name: string): Labels {
  const entries =
    reader.has(name) && reader.fields[name] !== null ? reader.textMap(name, labelsMax) : [];
  const labels: Record<string, string> = {};
  for (const [key, value] of entries ?? []) {
    const place = reader.at(name).key(key);
    if (!isLabelKey(key)) reader.problems.add(place, `not a label key: ${quote(key)}`);
    else if (!isLabelValue(value)) {
      reader.problems.add(place, `not a label value: ${quote(value)}`);
    } else labels[key] = value;
  }
  return labels;
}
