/**
 * @module
 * Tables `endpoints`, `remote-pods`, `node-addresses`, `cluster-objects` and `address-sets` → table
 * `ipcache`: addresses of pods whose policy is in the kernel, of this node and of others, the pod ranges (where
 * nothing but endpoints lives), the blocks that policies name, and the world. Several of them may
 * claim a prefix; the one that knows best has it.
 */
import { pending } from '../../kv/status.ts';
import type { Key, Table, TableView } from '../../kv/table.ts';
import { requireAddress } from '../../net/address.ts';
import {
  formatPrefix,
  hostPrefix,
  type Prefix,
  prefixCovers,
  requirePrefix,
} from '../../net/prefix.ts';
import type { ClusterObjectRow, RemotePodRow } from '../cluster/table.ts';
import type { EndpointId, EndpointRow } from '../endpoint/table.ts';
import {
  type IdentityId,
  identityHost,
  identityRemoteNode,
  identityUnknown,
  worldIdentity,
} from '../identity/table.ts';
import type { NodeAddressRow } from '../node/table.ts';
import type { AddressSetRow } from '../policy/table.ts';
import { type IpcacheRow, type IpcacheSource, ipcacheSources } from './table.ts';

export interface IpcacheInputs {
  readonly endpoints: Table<EndpointRow, EndpointId>;
  readonly addresses: TableView<NodeAddressRow>;
  readonly objects: Table<ClusterObjectRow>;
  readonly blocks: Table<AddressSetRow>;
  readonly remotePods: Table<RemotePodRow>;
  /** Tells of changes in what `isKnownPeer` says. */
  readonly peers: { subscribe(listener: () => void): Disposable };
  /** Whether packets from and to this identity at the prefix are judged rightly. */
  readonly isKnownPeer: (identity: IdentityId, prefix: string) => boolean;
  /** Of blocks that policies name. */
  readonly identities: BlockIdentities;
  /** Its Node object speaks of this node. */
  readonly nodeName: string;
  /** The ranges that pods of this node get. */
  readonly ranges: readonly Prefix[];
  readonly families: readonly (4 | 6)[];
}

/** Numbers that stand for blocks of addresses. */
export interface BlockIdentities {
  /** Undefined if all numbers are in use. */
  allocate(prefix: Prefix): IdentityId | undefined;
  release(prefix: Prefix): void;
}

type Claim = Omit<IpcacheRow, 'status' | 'prefix' | 'source'>;

const nobody = { namespace: '', podName: '', host: false, unroutable: false } as const;

export class IpcacheController implements Disposable {
  readonly #table: Table<IpcacheRow>;
  readonly #inputs: IpcacheInputs;
  readonly #objects;
  readonly #endpoints;
  readonly #blocks;
  readonly #remotePods;
  readonly #ofRemotePod = new Map<Key, readonly string[]>();
  /** Remote pods whose peers are not known to the programs yet. */
  readonly #waiting = new Set<Key>();
  readonly #announced = Promise.withResolvers<void>();
  /** Remote pods and endpoints that `announced` waits for; undefined before it is asked. */
  #awaited: Set<Key> | undefined;
  /** Of the remote pods that have an address, the latest last: it may be the next one's already. */
  readonly #remoteClaims = new Map<string, Map<Key, Claim>>();
  readonly #claims = new Map<string, Map<IpcacheSource, Claim>>();
  /** What the sources claim that always say all that they claim. */
  readonly #claimedBy: Record<'host' | 'directory', ReadonlySet<string>> = {
    host: new Set(),
    directory: new Set(),
  };
  /** Prefixes written for an endpoint. */
  readonly #ofEndpoint = new Map<EndpointId, readonly string[]>();
  readonly #subscriptions: Disposable[];

  constructor(table: Table<IpcacheRow>, inputs: IpcacheInputs) {
    this.#table = table;
    this.#inputs = inputs;
    this.#objects = inputs.objects.reader('ipcache controller');
    this.#endpoints = inputs.endpoints.reader('ipcache controller');
    this.#blocks = inputs.blocks.reader('ipcache controller');
    this.#remotePods = inputs.remotePods.reader('ipcache controller');
    this.#claimFixed();
    this.#computeNode();
    this.#readObjects();
    this.#subscriptions = [
      inputs.endpoints.subscribe(() => this.compute()),
      inputs.addresses.subscribe(() => this.#computeNode()),
      inputs.objects.subscribe(() => this.#readObjects()),
      inputs.blocks.subscribe(() => this.#computeBlocks()),
      inputs.remotePods.subscribe(() => this.#computeRemotePods()),
      inputs.peers.subscribe(() => this.#waiting.size > 0 && this.#computeRemotePods()),
    ];
  }

  [Symbol.dispose](): void {
    for (const subscription of this.#subscriptions) subscription[Symbol.dispose]();
    this.#objects.close();
    this.#endpoints.close();
    this.#blocks.close();
    this.#remotePods.close();
  }

  /**
   * Resolves once all pods of now are known by their addresses. To be called when the sources have
   * delivered everything.
   */
  announced(): Promise<void> {
    this.#computeRemotePods();
    this.compute();
    this.#awaited ??= new Set([...this.#waiting, ...this.#unannounced()]);
    this.#tellAnnounced();
    return this.#announced.promise;
  }

  /** Endpoints whose policy the programs have not got yet, and which they knew by no other. */
  *#unannounced(): IterableIterator<EndpointId> {
    for (const { id, identity, policyId, ipv4, ipv6 } of this.#inputs.endpoints.all()) {
      const hasAddress = ipv4 !== undefined || ipv6 !== undefined;
      if (hasAddress && identity !== 0 && policyId === 0 && !this.#ofEndpoint.has(id)) yield id;
    }
  }

  #tellAnnounced(): void {
    if (this.#awaited?.size === 0) this.#announced.resolve();
  }

  compute(): void {
    for (const { key } of this.#endpoints.next()) {
      const id = key as EndpointId;
      const row = this.#inputs.endpoints.get(id);
      this.#settle(id, row);
      if (row === undefined || this.#ofEndpoint.has(id)) this.#awaited?.delete(id);
    }
    this.#tellAnnounced();
  }

  #claimFixed(): void {
    const { families, ranges } = this.#inputs;
    for (const family of families) {
      const identity = worldIdentity(family, families.length === 2);
      this.#claim(family === 4 ? '0.0.0.0/0' : '::/0', 'world', { ...nobody, identity });
    }
    for (const range of ranges) {
      const claim = { ...nobody, identity: identityUnknown, unroutable: true };
      this.#claim(formatPrefix(range), 'agent-local', claim);
    }
  }

  #computeNode(): void {
    const claims = [...this.#inputs.addresses.all()].map(({ address }) => hostText(address));
    this.#replace('host', claims, { ...nobody, identity: identityHost, host: true });
  }

  #readObjects(): void {
    const isOfNode = this.#objects.next().some(({ key }) => String(key).startsWith('Node/'));
    if (isOfNode) this.#computeNodes();
  }

  /** Other nodes, by their objects. */
  #computeNodes(): void {
    const prefixes: string[] = [];
    for (const { object } of this.#inputs.objects.by('kind', 'Node')) {
      if (object.kind !== 'Node' || object.name === this.#inputs.nodeName) continue;
      prefixes.push(...object.addresses.map(hostText));
    }
    this.#replace('directory', prefixes, { ...nobody, identity: identityRemoteNode });
  }

  /** Pods of other nodes, once programs know what they are as peers. */
  #computeRemotePods(): void {
    const touched = new Set<Key>(this.#waiting);
    for (const { key } of this.#remotePods.next()) touched.add(key);
    for (const key of touched) {
      const row = this.#inputs.remotePods.get(String(key));
      const isKnown = row?.prefixes.every((one) => this.#inputs.isKnownPeer(row.identity, one));
      if (isKnown === false) {
        this.#waiting.add(key);
        continue;
      }
      this.#waiting.delete(key);
      this.#awaited?.delete(key);
      const after = row?.prefixes ?? [];
      for (const prefix of this.#ofRemotePod.get(key) ?? []) {
        if (!after.includes(prefix)) this.#withdrawRemote(prefix, key);
      }
      if (row === undefined) {
        this.#ofRemotePod.delete(key);
        continue;
      }
      this.#ofRemotePod.set(key, after);
      const { identity, namespace, name: podName } = row;
      for (const prefix of after) {
        this.#claimRemote(prefix, key, { ...nobody, identity, namespace, podName });
      }
    }
    this.#tellAnnounced();
  }

  #claimRemote(prefix: string, pod: Key, claim: Claim): void {
    const claims = this.#remoteClaims.get(prefix) ?? new Map<Key, Claim>();
    this.#remoteClaims.set(prefix, claims.set(pod, claim));
    this.#claim(prefix, 'remote', [...claims.values()].at(-1) ?? claim);
  }

  #withdrawRemote(prefix: string, pod: Key): void {
    const claims = this.#remoteClaims.get(prefix);
    claims?.delete(pod);
    const latest = [...(claims?.values() ?? [])].at(-1);
    if (latest !== undefined) this.#claim(prefix, 'remote', latest);
    else {
      this.#remoteClaims.delete(prefix);
      this.#withdraw(prefix, 'remote');
    }
  }

  /** Blocks that policies name, where they are not pods' anyway. */
  #computeBlocks(): void {
    for (const { key, row } of this.#blocks.next()) {
      const prefix = requirePrefix(String(key));
      const isNamed = row?.labels.includes(`cidr:${row.prefix}`) === true;
      const identity = isNamed && this.#isOutside(prefix) ? this.#identity(prefix) : undefined;
      if (identity !== undefined) this.#claim(String(key), 'generated', { ...nobody, identity });
      else {
        this.#withdraw(String(key), 'generated');
        this.#inputs.identities.release(prefix);
      }
    }
  }

  #isOutside(prefix: Prefix): boolean {
    // Of length 0 it is the world itself.
    return prefix.length > 0 && !this.#inputs.ranges.some((range) => prefixCovers(range, prefix));
  }

  #identity(prefix: Prefix): IdentityId | undefined {
    return this.#inputs.identities.allocate(prefix);
  }

  #settle(id: EndpointId, row: EndpointRow | undefined): void {
    const before = this.#ofEndpoint.get(id) ?? [];
    const addresses = [row?.ipv4, row?.ipv6].filter((text) => text !== undefined).map(hostText);
    // An identity is announced after its class and policy are in force; until then it is the old one.
    const announced = row === undefined || row.policyId === 0 ? 0 : row.identity;
    const after =
      announced !== 0 ? addresses : before.filter((prefix) => addresses.includes(prefix));
    if (after.length === 0) this.#ofEndpoint.delete(id);
    else this.#ofEndpoint.set(id, after);
    for (const prefix of before) {
      if (!after.includes(prefix) && !this.#isTakenOver(prefix)) this.#withdraw(prefix, 'local');
    }
    if (row === undefined || announced === 0) return;
    const { namespace, podName } = row;
    for (const prefix of after) {
      this.#claim(prefix, 'local', { ...nobody, identity: announced, namespace, podName });
    }
  }

  /** Another endpoint has been announced at the address. */
  #isTakenOver(prefix: string): boolean {
    const address = prefix.slice(0, prefix.lastIndexOf('/'));
    const all = this.#inputs.endpoints.by('ip', address);
    return all.some(({ id }) => this.#ofEndpoint.get(id)?.includes(prefix) === true);
  }

  /** Makes these all that the source claims. */
  #replace(source: 'host' | 'directory', prefixes: readonly string[], claim: Claim): void {
    const wanted = new Set(prefixes);
    for (const prefix of this.#claimedBy[source].difference(wanted)) this.#withdraw(prefix, source);
    for (const prefix of wanted) this.#claim(prefix, source, claim);
    this.#claimedBy[source] = wanted;
  }

  #claim(prefix: string, source: IpcacheSource, claim: Claim): void {
    const claims = this.#claims.get(prefix) ?? new Map<IpcacheSource, Claim>();
    this.#claims.set(prefix, claims.set(source, claim));
    this.#write(prefix, claims);
  }

  #withdraw(prefix: string, source: IpcacheSource): void {
    const claims = this.#claims.get(prefix);
    if (claims?.delete(source) === true) this.#write(prefix, claims);
  }

  #write(prefix: string, claims: ReadonlyMap<IpcacheSource, Claim>): void {
    const source = ipcacheSources.find((one) => claims.has(one));
    const claim = source && claims.get(source);
    if (source === undefined || claim === undefined) {
      this.#claims.delete(prefix);
      this.#table.delete(prefix);
      return;
    }
    const before = this.#table.get(prefix);
    if (before !== undefined && before.source === source && sameClaim(before, claim)) return;
    this.#table.upsert({ ...claim, prefix, source, status: pending });
  }
}

function hostText(address: string): string {
  return formatPrefix(hostPrefix(requireAddress(address)));
}

function sameClaim(a: Claim, b: Claim): boolean {
  return (
    a.identity === b.identity &&
    a.host === b.host &&
    a.unroutable === b.unroutable &&
    a.podName === b.podName &&
    a.namespace === b.namespace
  );
}
