/**
 * @module REST requests → rows of table `endpoints`. Checks a request as a whole before anything
 * changes, claims its addresses, writes it to disk, and inserts the row in state
 * `waiting-for-identity`; controllers and the endpoint reconciler take it from there. Deleting
 * removes the row at once and gives the addresses back when the datapath has forgotten them.
 */
import type { Table } from '../../kv/table.ts';
import type { Refusal } from '../ipam/table.ts';
import { isRefusal } from '../ipam/table.ts';
import { formatPorts } from '../ports.ts';
import type { LabelSource, OwnLabels } from './label-source.ts';
import type { EndpointStore } from './persist.ts';
import type { EndpointPatch, EndpointRequest } from './request.ts';
import { type EndpointSelector, findEndpoint } from './selector.ts';
import {
  attachmentKey,
  type EndpointId,
  type EndpointLogEntry,
  type EndpointRow,
  endpointId,
} from './table.ts';

/** What the reflector needs of IPAM. */
export interface AddressClaims {
  /** Why `claim` would be refused. */
  checkClaim(address: string, expirationUuid: string | undefined): Refusal | undefined;
  claim(address: string, owner: string, expirationUuid: string | undefined): Refusal | undefined;
  release(address: string): Refusal | undefined;
}

export interface EndpointReflectorOptions {
  readonly endpoints: Table<EndpointRow, EndpointId>;
  readonly addresses: AddressClaims;
  readonly store: EndpointStore;
  readonly labels: LabelSource;
}

/** Where requests about endpoints arrive. Synchronous, so each is all or nothing. */
export class EndpointReflector {
  readonly #endpoints: Table<EndpointRow, EndpointId>;
  readonly #addresses: AddressClaims;
  readonly #store: EndpointStore;
  readonly #labels: LabelSource;
  /** Deleted endpoints that the datapath may still know: their ids and addresses are not reused. */
  readonly #detaching = new Map<EndpointId, EndpointRow>();
  #lastId = Math.floor(Math.random() * 0xffff);

  constructor(options: EndpointReflectorOptions) {
    this.#endpoints = options.endpoints;
    this.#addresses = options.addresses;
    this.#store = options.store;
    this.#labels = options.labels;
  }

  /** Endpoints whose row is gone while `onDetached` has not been called yet. */
  get detaching(): number {
    return this.#detaching.size;
  }

  /** The endpoint that a selector names. */
  find(selector: EndpointSelector): EndpointRow | undefined {
    return findEndpoint(this.#endpoints, selector);
  }

  /**
   * Creates an endpoint. The same request for the same attachment again returns the row that is
   * there; one that differs is a conflict. On a refusal nothing has changed.
   */
  create(request: EndpointRequest): EndpointRow | Refusal {
    const same = this.#sameAttachment(request);
    if (same !== undefined) return same;
    const own = this.#labels.own(request.labels, request);
    if (isRefusal(own)) return own;
    const refusal = this.#checkAddresses(request) ?? this.#checkInterface(request);
    if (refusal !== undefined) return refusal;
    const id = this.#allocateId(request.id);
    if (typeof id !== 'number') return id;
    const row = { ...newRow(id, request, own), ...this.#facts(own, request) };
    // Who waits gets it written once, when it is ready: of one cut short nobody was told.
    const refused = request.syncBuild ? undefined : this.#saveNew(row);
    if (refused !== undefined) return refused;
    this.#claim(request);
    this.#endpoints.upsert(row);
    return row;
  }

  #saveNew(row: EndpointRow): Refusal | undefined {
    try {
      this.#store.save(row);
      return undefined;
    } catch (error) {
      this.#store.remove(row.id);
      return unwritten(row.id, error);
    }
  }

  /** Inserts the rows that were found at start. Their addresses are IPAM's own business. */
  restore(rows: readonly EndpointRow[]): void {
    for (const row of rows) this.#endpoints.upsert(row);
  }

  /**
   * Waits until the endpoint's packets are judged: state `ready`, on disk. Refused when its
   * reconciler reports an error, when it is deleted meanwhile, or when the signal aborts.
   */
  waitReady(id: EndpointId, signal: AbortSignal): Promise<EndpointRow | Refusal> {
    const outcome = this.#outcome(id, signal);
    if (outcome !== undefined) return Promise.resolve(outcome);
    return new Promise((resolve) => {
      const settle = () => {
        const settled = this.#outcome(id, signal);
        if (settled === undefined) return;
        subscription[Symbol.dispose]();
        signal.removeEventListener('abort', settle);
        resolve(settled);
      };
      const subscription = this.#endpoints.subscribe(settle);
      signal.addEventListener('abort', settle);
    });
  }

  #outcome(id: EndpointId, signal: AbortSignal): EndpointRow | Refusal | undefined {
    const row = this.#endpoints.get(id);
    if (row === undefined) {
      return { refused: 'failed', message: `endpoint ${id} was deleted while it was being built` };
    }
    if (row.status.kind === 'error') {
      return { refused: 'failed', message: `build endpoint ${id}: ${row.status.message}` };
    }
    if (row.state === 'ready' && row.status.kind === 'done') return this.#saveReady(row);
    if (!signal.aborted) return undefined;
    return { refused: 'timeout', message: `endpoint ${id} is not ready in time (${row.state})` };
  }

  /** An endpoint that the next agent would not know of is none: the plugin is told, and takes it back. */
  #saveReady(row: EndpointRow): EndpointRow | Refusal {
    try {
      this.#store.save(row);
      return row;
    } catch (error) {
      this.#detach(row);
      return unwritten(row.id, error);
    }
  }

  /** Changes what can change while an endpoint lives: its labels. */
  patch(selector: EndpointSelector, patch: EndpointPatch): EndpointRow | Refusal {
    const row = this.find(selector);
    if (row === undefined) return notFound;
    if (patch.labels === undefined) return row;
    const own = this.#labels.own(patch.labels, row);
    if (isRefusal(own)) return own;
    const isSame = JSON.stringify(own) === JSON.stringify(row.ownLabels);
    return isSame ? row : this.#relabel({ ...row, ownLabels: own });
  }

  /** Whether policy is only audited at the endpoint. */
  setAudit(id: EndpointId, audit: boolean): void {
    const row = this.#endpoints.get(id);
    if (row === undefined || row.audit === audit) return;
    this.#endpoints.upsert({ ...row, audit, status: { kind: 'pending' } });
  }

  /** What is known about the pods of a namespace, or about one of them, may be something else. */
  relabel(namespace: string, podName?: string): void {
    const rows =
      podName === undefined
        ? [...this.#endpoints.all()].filter((row) => row.namespace === namespace)
        : this.#endpoints.by('podName', `${namespace}/${podName}`);
    for (const row of rows) this.#relabel(row);
  }

  #relabel(row: EndpointRow): EndpointRow {
    const { labels, ports } = this.#facts(row.ownLabels, row);
    const isSame = labels.join() === row.labels.join();
    if (isSame && ports === row.ports) return row;
    const changed: EndpointRow = isSame
      ? { ...row, ports }
      : {
          ...row,
          labels,
          ports,
          state: 'waiting-for-identity',
          status: { kind: 'pending' },
          log: appendLog(row.log, 'Updated security labels', 'waiting-for-identity'),
        };
    this.#endpoints.upsert(changed);
    return changed;
  }

  #facts(own: OwnLabels, pod: { readonly namespace: string; readonly podName: string }) {
    const { labels, ports } = this.#labels.facts(own, pod);
    return { labels, ports: formatPorts(ports) };
  }

  /** Deletes the endpoint that a selector names. */
  delete(selector: EndpointSelector): EndpointRow | Refusal {
    const row = this.find(selector);
    if (row === undefined) return notFound;
    this.#detach(row);
    return row;
  }

  /** Deletes every endpoint of a container. */
  deleteContainer(containerId: string): readonly EndpointRow[] {
    const rows = this.#endpoints.by('containerId', containerId);
    for (const row of rows) this.#detach(row);
    return rows;
  }

  #detach(row: EndpointRow): void {
    this.#detaching.set(row.id, row);
    this.#endpoints.delete(row.id);
    this.#store.remove(row.id);
  }

  /**
   * The endpoint reconciler calls this when maps and interface of a deleted endpoint are gone: only
   * now may its addresses and its number come back. May be called twice.
   */
  onDetached(id: EndpointId): void {
    const row = this.#detaching.get(id);
    this.#detaching.delete(id);
    for (const address of [row?.ipv4, row?.ipv6]) {
      // A container that was added again with an address of its own choice keeps it.
      if (address === undefined || this.#endpoints.by('ip', address).length > 0) continue;
      this.#addresses.release(address);
    }
  }

  #sameAttachment(request: EndpointRequest): EndpointRow | Refusal | undefined {
    const key = attachmentKey(request.containerId, request.containerInterfaceName);
    const row = this.#endpoints.by('attachment', key)[0];
    if (row === undefined) return undefined;
    const isSame =
      row.ifindex === request.ifindex &&
      row.mac === request.mac &&
      row.ipv4 === request.ipv4 &&
      row.ipv6 === request.ipv6;
    if (isSame) return row;
    return {
      refused: 'invalid',
      message: `endpoint for CNI attachment ID ${key} already exists`,
    };
  }

  #checkAddresses(request: EndpointRequest): Refusal | undefined {
    for (const [family, address, uuid] of addressesOf(request)) {
      if (this.holderOf(address) !== undefined) {
        return { refused: 'invalid', message: `IP ${family}:${address} is already in use` };
      }
      const refusal = this.#addresses.checkClaim(address, uuid);
      if (refusal !== undefined) return refusal;
    }
    return undefined;
  }

  /** The endpoint that has the address, or had it while the datapath may still know it. */
  holderOf(address: string): EndpointRow | undefined {
    const row = this.#endpoints.by('ip', address)[0];
    if (row !== undefined) return row;
    for (const gone of this.#detaching.values()) {
      if (gone.ipv4 === address || gone.ipv6 === address) return gone;
    }
    return undefined;
  }

  #checkInterface(request: EndpointRequest): Refusal | undefined {
    const other = this.#endpoints.by('ifindex', request.ifindex)[0];
    if (other === undefined) return undefined;
    return {
      refused: 'conflict',
      message: `interface-index: ${request.ifindex} belongs to endpoint ${other.id}`,
    };
  }

  #claim(request: EndpointRequest): void {
    const owner = `${request.namespace}/${request.podName}`;
    for (const [, address, uuid] of addressesOf(request)) {
      this.#addresses.claim(address, owner, uuid);
    }
  }

  /** In order from a random start, so that a number comes back as late as possible. */
  #allocateId(wanted: number): EndpointId | Refusal {
    if (wanted !== 0) {
      const id = endpointId(wanted);
      if (!this.#isTaken(id)) return id;
      return { refused: 'conflict', message: `endpoint ID ${id} already exists` };
    }
    for (let tries = 0; tries < 0xffff; tries++) {
      this.#lastId = (this.#lastId % 0xffff) + 1;
      const id = endpointId(this.#lastId);
      if (!this.#isTaken(id)) return id;
    }
    return { refused: 'exhausted', message: 'all 65535 endpoint ids are in use' };
  }

  #isTaken(id: EndpointId): boolean {
    return this.#endpoints.get(id) !== undefined || this.#detaching.has(id);
  }
}

/** The error names the file and the reason, such as ENOSPC. */
function unwritten(id: EndpointId, error: unknown): Refusal {
  return { refused: 'failed', message: `write the state of endpoint ${id}: ${String(error)}` };
}

const notFound: Refusal = { refused: 'not-found', message: 'endpoint not found' };

type FamilyAddress = readonly [family: string, address: string, uuid: string | undefined];

function addressesOf(request: EndpointRequest): readonly FamilyAddress[] {
  const found: FamilyAddress[] = [];
  if (request.ipv4 !== undefined) found.push(['ipv4', request.ipv4, request.ipv4ExpirationUuid]);
  if (request.ipv6 !== undefined) found.push(['ipv6', request.ipv6, request.ipv6ExpirationUuid]);
  return found;
}

/** Entries of an endpoint's log; older ones are forgotten. */
const logMax = 32;

/** The log with one more entry at its end. */
export function appendLog(
  log: readonly EndpointLogEntry[],
  message: string,
  state: EndpointRow['state'],
  code: EndpointLogEntry['code'] = 'OK',
): readonly EndpointLogEntry[] {
  const entry = { timestamp: new Date().toISOString(), code, message, state };
  return [...log.slice(1 - logMax), entry];
}

function newRow(id: EndpointId, request: EndpointRequest, ownLabels: OwnLabels): EndpointRow {
  const state = 'waiting-for-identity';
  return {
    id,
    containerId: request.containerId,
    containerInterfaceName: request.containerInterfaceName,
    netnsPath: request.netnsPath,
    podName: request.podName,
    namespace: request.namespace,
    podUid: request.podUid,
    labels: [],
    ownLabels,
    ports: '',
    audit: false,
    identity: 0,
    policyId: 0,
    ifindex: request.ifindex,
    interfaceName: request.interfaceName,
    mac: request.mac,
    hostMac: request.hostMac,
    ipv4: request.ipv4,
    ipv6: request.ipv6,
    state,
    policyRevision: 0,
    ingressEnforced: false,
    egressEnforced: false,
    createdAt: new Date().toISOString(),
    status: { kind: 'pending' },
    log: appendLog([], 'Endpoint created', state),
  };
}
