/**
 * @module
 * Tables `cluster-objects`, `endpoints` → table `remote-pods`: pods of other nodes with the identity
 * of their labels, which this agent numbers for itself. Recomputes from keys and current rows.
 */

import type { PodObject } from '../../k8s/object.ts';
import type { Table } from '../../kv/table.ts';
import { requireAddress } from '../../net/address.ts';
import { formatPrefix, hostPrefix } from '../../net/prefix.ts';
import type { EndpointId, EndpointRow } from '../endpoint/table.ts';
import { type IdentityId, labelsKey } from '../identity/table.ts';
import { formatPorts } from '../ports.ts';
import { type ClusterObjectRow, clusterObjectKey, type RemotePodRow } from './table.ts';

/** Holds identities for label sets. */
export interface IdentityHolder {
  allocate(
    labels: readonly string[],
  ): { kind: 'allocated'; id: IdentityId } | { kind: 'exhausted'; message: string };
  release(id: IdentityId): void;
}

export interface RemotePodOptions {
  readonly objects: Table<ClusterObjectRow>;
  readonly endpoints: Table<EndpointRow, EndpointId>;
  readonly remotePods: Table<RemotePodRow>;
  readonly identities: IdentityHolder;
  /** The identity labels of a pod. */
  readonly labelsOf: (pod: PodObject) => readonly string[];
  readonly nodeName: string;
  /** There is no number left for the labels of a pod: nobody knows it then. */
  readonly onError: (error: unknown) => void;
}

interface Held {
  readonly identity: IdentityId;
  readonly labels: string;
}

export class RemotePodController implements Disposable {
  readonly #options: RemotePodOptions;
  readonly #held = new Map<string, Held>();
  readonly #objects;
  readonly #endpoints;
  readonly #local = new Map<EndpointId, string>();
  readonly #subscriptions: Disposable[];

  constructor(options: RemotePodOptions) {
    this.#options = options;
    this.#objects = options.objects.reader('remote pods');
    this.#endpoints = options.endpoints.reader('remote pods');
    const compute = () => this.compute();
    this.#subscriptions = [
      options.objects.subscribe(compute),
      options.endpoints.subscribe(compute),
    ];
  }

  [Symbol.dispose](): void {
    for (const subscription of this.#subscriptions) subscription[Symbol.dispose]();
    this.#objects.close();
    this.#endpoints.close();
  }

  /** Brings the rows up to date with everything that changed. */
  compute(): void {
    const touched = new Set<string>();
    for (const { key } of this.#objects.next()) {
      const [kind, namespace = '', name = ''] = String(key).split('/');
      if (kind === 'Pod') touched.add(`${namespace}/${name}`);
      if (kind !== 'Namespace') continue;
      for (const { object } of this.#options.objects.by('namespace', name)) {
        if (object.kind === 'Pod') touched.add(`${object.namespace}/${object.name}`);
      }
    }
    for (const { key, row } of this.#endpoints.next()) {
      const id = key as EndpointId;
      const pod = row === undefined ? undefined : `${row.namespace}/${row.podName}`;
      if (this.#local.get(id) === pod) continue;
      touched.add(this.#local.get(id) ?? '').add(pod ?? '');
      if (pod === undefined) this.#local.delete(id);
      else this.#local.set(id, pod);
    }
    for (const key of touched) this.#settle(key);
  }

  #settle(key: string): void {
    const pod = this.#remotePod(key);
    const identity = pod === undefined ? undefined : this.#hold(key, this.#options.labelsOf(pod));
    if (pod === undefined || identity === undefined) {
      this.#options.remotePods.delete(key);
      this.#release(key);
      return;
    }
    const { namespace, name, addresses, ports } = pod;
    this.#options.remotePods.upsert({
      namespace,
      name,
      identity,
      prefixes: addresses.map((address) => formatPrefix(hostPrefix(requireAddress(address)))),
      ports: formatPorts(ports),
    });
  }

  #remotePod(key: string): PodObject | undefined {
    const [namespace = '', name = ''] = key.split('/');
    const object = this.#options.objects.get(clusterObjectKey('Pod', namespace, name))?.object;
    if (object?.kind !== 'Pod' || object.hostNetwork || object.ended) return undefined;
    const { nodeName } = object;
    if (nodeName === undefined || nodeName === this.#options.nodeName) return undefined;
    return this.#options.endpoints.by('podName', key).length > 0 ? undefined : object;
  }

  #hold(key: string, labels: readonly string[]): IdentityId | undefined {
    const text = labelsKey(labels);
    const held = this.#held.get(key);
    if (held?.labels === text) return held.identity;
    const allocation = this.#options.identities.allocate(labels);
    if (allocation.kind === 'exhausted') {
      this.#options.onError(new Error(`pod ${key}: ${allocation.message}`));
      return undefined;
    }
    this.#release(key);
    this.#held.set(key, { identity: allocation.id, labels: text });
    return allocation.id;
  }

  #release(key: string): void {
    const held = this.#held.get(key);
    if (held === undefined) return;
    this.#held.delete(key);
    this.#options.identities.release(held.identity);
  }
}
