/**
 * @module
 * Table `identities`: the security identities known on this node, reserved ones included, and the
 * text of labels (`source:key=value`), which every reader of the table needs. Written by the
 * identity allocator.
 */

import { Table } from '../../kv/table.ts';

/** A security identity: the number that stands for one set of labels. */
export type IdentityId = number & { readonly __identity: unique symbol };

export interface IdentityRow {
  readonly id: IdentityId;
  /** Sorted `source:key=value`. */
  readonly labels: readonly string[];
  readonly reserved: boolean;
  /** Endpoints that hold it; reserved identities live without any. */
  readonly refCount: number;
}

export interface Label {
  readonly source: string;
  readonly key: string;
  readonly value: string;
}

/** Identities that pods get. Below are reserved and well-known ones. */
export const identityMin = 256;
export const identityMax = 65535;

const id = (value: number) => value as IdentityId;

export const identityUnknown = id(0);
export const identityHost = id(1);
export const identityWorld = id(2);
export const identityUnmanaged = id(3);
export const identityHealth = id(4);
export const identityInit = id(5);
export const identityRemoteNode = id(6);
export const identityKubeApiserver = id(7);
export const identityIngress = id(8);
export const identityWorldIpv4 = id(9);
export const identityWorldIpv6 = id(10);

export const labelHost = 'reserved:host';
export const labelInit = 'reserved:init';

/** Fixed identities and their labels, by ascending number. */
export const reservedIdentities: readonly { id: IdentityId; labels: readonly string[] }[] = [
  { id: identityHost, labels: [labelHost] },
  { id: identityWorld, labels: ['reserved:world'] },
  { id: identityUnmanaged, labels: ['reserved:unmanaged'] },
  { id: identityHealth, labels: ['reserved:health'] },
  { id: identityInit, labels: [labelInit] },
  { id: identityRemoteNode, labels: ['reserved:remote-node'] },
  { id: identityKubeApiserver, labels: ['reserved:kube-apiserver', 'reserved:remote-node'] },
  { id: identityIngress, labels: ['reserved:ingress'] },
  { id: identityWorldIpv4, labels: ['reserved:world-ipv4'] },
  { id: identityWorldIpv6, labels: ['reserved:world-ipv6'] },
];

/** The world as seen by one family: told apart only where the node has both. */
export function worldIdentity(family: 4 | 6, dualStack: boolean): IdentityId {
  if (!dualStack) return identityWorld;
  return family === 4 ? identityWorldIpv4 : identityWorldIpv6;
}

/** Identities of address blocks: known on this node only, and only shown (scope byte 1). */
export const localIdentityMin = 0x01000001;
export const localIdentityMax = 0x01ffffff;

export function isLocalScope(identity: IdentityId): boolean {
  return identity >= localIdentityMin && identity <= localIdentityMax;
}

/** Takes a number from outside. Throws on what no identity can be. */
export function identityId(value: number): IdentityId {
  if (!Number.isInteger(value) || value < 0 || value > 0xffffffff) {
    throw new RangeError(`identity out of range: ${value}`);
  }
  return value as IdentityId;
}

/** Keys by which identities name their namespace, and what begins the others of the system. */
export const namespaceKey = 'io.kubernetes.pod.namespace';
export const ciliumPrefix = 'io.cilium.k8s.';

/** True for a key by which identities name namespace, cluster and service account. */
export function isSystemLabel(key: string): boolean {
  if (key === namespaceKey || key.startsWith(`${namespaceKey}.`)) return true;
  return key.startsWith(ciliumPrefix);
}

/** Reads `source:key=value`; without a source it is `unspec`. Never throws. */
export function parseLabel(text: string): Label {
  const equals = text.indexOf('=');
  const name = equals < 0 ? text : text.slice(0, equals);
  const value = equals < 0 ? '' : text.slice(equals + 1);
  const colon = name.indexOf(':');
  if (colon <= 0) return { source: 'unspec', key: name.slice(colon + 1), value };
  return { source: name.slice(0, colon), key: name.slice(colon + 1), value };
}

/** The text of a label; without a value there is no `=` either. */
export function formatLabel(label: Label): string {
  const name = `${label.source}:${label.key}`;
  return label.value === '' ? name : `${name}=${label.value}`;
}

/** Sorted by text, each once: the form in which label sets are compared and hashed. */
export function sortLabels(labels: Iterable<string>): string[] {
  return [...new Set(labels)].sort();
}

/** The key of the `labels` index. */
export function labelsKey(labels: readonly string[]): string {
  return labels.join(',');
}

export function identities(): Table<IdentityRow, IdentityId> {
  return new Table<IdentityRow, IdentityId>({
    name: 'identities',
    key: (row) => row.id,
    indexes: { labels: (row) => [labelsKey(row.labels)] },
    columns: [
      { name: 'id', value: (row) => String(row.id) },
      { name: 'labels', value: (row) => row.labels.join(' ') },
      { name: 'reserved', value: (row) => String(row.reserved) },
      { name: 'references', value: (row) => String(row.refCount) },
    ],
  });
}
