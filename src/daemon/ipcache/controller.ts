/**
 * @module
 * Tables `endpoints` and `node-addresses` → table `ipcache`: addresses of pods whose policy is in
 * the kernel, addresses of this node, the pod ranges (where nothing but endpoints lives), and the
 * world. Recomputes from keys and current rows.
 */
import { pending } from '../../kv/status.ts';
import type { Table, TableView } from '../../kv/table.ts';
import { requireAddress } from '../../net/address.ts';
import { formatPrefix, hostPrefix, type Prefix } from '../../net/prefix.ts';
import type { EndpointId, EndpointRow } from '../endpoint/table.ts';
import { identityHost, identityUnknown, worldIdentity } from '../identity/table.ts';
import type { NodeAddressRow } from '../node/table.ts';
import type { IpcacheRow } from './table.ts';

export interface IpcacheSources {
  readonly endpoints: Table<EndpointRow, EndpointId>;
  readonly addresses: TableView<NodeAddressRow>;
  /** The ranges that pods of this node get. */
  readonly ranges: readonly Prefix[];
  readonly families: readonly (4 | 6)[];
}

type Entry = Omit<IpcacheRow, 'status'>;

const anonymous = { namespace: '', podName: '', host: false, unroutable: false } as const;

export class IpcacheController implements Disposable {
  readonly #table: Table<IpcacheRow>;
  readonly #sources: IpcacheSources;
  readonly #reader;
  /** Prefixes written for an endpoint. */
  readonly #ofEndpoint = new Map<EndpointId, readonly string[]>();
  readonly #ofNode = new Set<string>();
  readonly #subscriptions: Disposable[];

  constructor(table: Table<IpcacheRow>, sources: IpcacheSources) {
    this.#table = table;
    this.#sources = sources;
    this.#reader = sources.endpoints.reader('ipcache controller');
    this.#writeFixed();
    this.#computeNode();
    this.#subscriptions = [
      sources.endpoints.subscribe(() => this.compute()),
      sources.addresses.subscribe(() => this.#computeNode()),
    ];
  }

  [Symbol.dispose](): void {
    for (const subscription of this.#subscriptions) subscription[Symbol.dispose]();
    this.#reader.close();
  }

  compute(): void {
    for (const { key } of this.#reader.next()) {
      const id = key as EndpointId;
      this.#settle(id, this.#sources.endpoints.get(id));
    }
  }

  #writeFixed(): void {
    for (const family of this.#sources.families) {
      this.#put({
        ...anonymous,
        prefix: family === 4 ? '0.0.0.0/0' : '::/0',
        identity: worldIdentity(family, this.#sources.families.length === 2),
        source: 'world',
      });
    }
    for (const range of this.#sources.ranges) {
      this.#put({
        ...anonymous,
        prefix: formatPrefix(range),
        identity: identityUnknown,
        source: 'agent-local',
        unroutable: true,
      });
    }
  }

  #computeNode(): void {
    const now = new Set<string>();
    for (const { address } of this.#sources.addresses.all()) {
      const prefix = formatPrefix(hostPrefix(requireAddress(address)));
      now.add(prefix);
      this.#put({ ...anonymous, prefix, identity: identityHost, source: 'host', host: true });
    }
    for (const prefix of this.#ofNode) if (!now.has(prefix)) this.#table.delete(prefix);
    this.#ofNode.clear();
    for (const prefix of now) this.#ofNode.add(prefix);
  }

  #settle(id: EndpointId, row: EndpointRow | undefined): void {
    const before = this.#ofEndpoint.get(id) ?? [];
    // An identity is announced after its class and policy are in force.
    const after =
      row === undefined || row.identity === 0 || row.policyId === 0
        ? []
        : [row.ipv4, row.ipv6]
            .filter((text) => text !== undefined)
            .map((text) => formatPrefix(hostPrefix(requireAddress(text))));
    for (const prefix of before) {
      if (!after.includes(prefix) && this.#ownerOf(prefix) === undefined)
        this.#table.delete(prefix);
    }
    if (after.length === 0 || row === undefined || row.identity === 0) {
      this.#ofEndpoint.delete(id);
      return;
    }
    const { identity, namespace, podName } = row;
    for (const prefix of after) {
      this.#put({ ...anonymous, prefix, identity, source: 'local', namespace, podName });
    }
    this.#ofEndpoint.set(id, after);
  }

  /** Another endpoint that has taken over the address. */
  #ownerOf(prefix: string): EndpointRow | undefined {
    const address = prefix.slice(0, prefix.lastIndexOf('/'));
    return this.#sources.endpoints.by('ip', address)[0];
  }

  #put(entry: Entry): void {
    const before = this.#table.get(entry.prefix);
    if (
      before !== undefined &&
      before.identity === entry.identity &&
      before.host === entry.host &&
      before.unroutable === entry.unroutable &&
      before.podName === entry.podName &&
      before.namespace === entry.namespace
    ) {
      return;
    }
    this.#table.upsert({ ...entry, status: pending });
  }
}
