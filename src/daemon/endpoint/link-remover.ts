/**
 * @module
 * Deletes the host side of interfaces whose endpoint is gone. One deletion costs the kernel 16 ms,
 * a group of them hardly more, so they are set down at once, which nothing passes, and then collected
 * for a moment and deleted together. Touches interfaces with this agent's own alias alone.
 */
import { withShortGracePeriods } from '../../bpf/loader/grace-period.ts';
import { backoffMs } from '../../kv/retry-queue.ts';
import type { IfIndex } from '../../net/if-index.ts';
import { isKernelError } from '../../net/kernel-error.ts';
import {
  deleteLink,
  deleteLinkGroup,
  dumpLinks,
  getLink,
  type Link,
  setLink,
} from '../../net/netlink/link.ts';
import { NetlinkSocket } from '../../net/netlink/socket.ts';
import { linkAlias } from './link-alias.ts';
import type { EndpointRow } from './table.ts';

/** Any number that nobody else uses; "cil" in ASCII. */
const removalGroup = 0x63696c;
const collectMs = 100;
/** What could not be deleted is tried again, later and later. */
const backoff = { minMs: collectMs, maxMs: 10_000 };

/** Which interfaces are an agent's own, and which of them it must leave alone. */
export interface LinkOwnership {
  readonly stateDirectory: string;
  /** Interfaces of endpoints whose state cannot be read; `all` if not even their names can. */
  readonly spared: ReadonlySet<string> | 'all';
}

/** What a sweep did, by the interfaces' names. */
export interface Sweep {
  readonly deleted: readonly string[];
  /** Would have been deleted, but may belong to an endpoint whose state cannot be read. */
  readonly spared: readonly string[];
}

/**
 * Deletes host sides that no endpoint has, left by a plugin that was killed. Before the agent
 * listens, so that none can belong to a plugin that is at work.
 */
export function sweepLinks(known: ReadonlySet<string>, ownership: LinkOwnership): Sweep {
  using socket = NetlinkSocket.open();
  const alias = linkAlias(ownership.stateDirectory);
  const links = dumpLinks(socket).filter((link) => link.kind === 'veth');
  for (const link of links) {
    // Of a plugin that set none yet. Its name and number are in our state.
    if (known.has(link.name) && link.alias === '') setAlias(socket, link, alias);
  }
  const lost = links.filter((link) => link.alias === alias && !known.has(link.name));
  const doomed = lost.filter(({ name }) => !isSpared(ownership, name));
  for (const link of doomed) {
    socket.request(setLink(link.index, { group: removalGroup, up: false }));
  }
  if (doomed.length > 0) socket.request(deleteLinkGroup(removalGroup));
  const names = (list: readonly Link[]) => list.map((link) => link.name);
  return {
    deleted: names(doomed),
    spared: names(lost.filter(({ name }) => isSpared(ownership, name))),
  };
}

function isSpared({ spared }: LinkOwnership, name: string): boolean {
  return spared === 'all' || spared.has(name);
}

function setAlias(socket: NetlinkSocket, link: Link, alias: string): void {
  try {
    socket.request(setLink(link.index, { alias }));
  } catch (error) {
    // Its namespace was deleted this instant.
    if (!isKernelError(error, 'ENODEV')) throw error;
  }
}

/** An interface on its way out, and what waits for its end. */
interface Leaving {
  readonly ifindex: IfIndex;
  readonly name: string;
  readonly gone: () => void;
}

export interface LinkRemoverOptions extends LinkOwnership {
  readonly onError: (error: unknown) => void;
  /** Interfaces that could not be deleted; undefined when all are. For health. */
  readonly onTrouble?: (message: string | undefined) => void;
}

export class LinkRemover implements Disposable {
  readonly #options: LinkRemoverOptions;
  readonly #alias: string;
  readonly #leaving = new Map<IfIndex, Leaving>();
  #failures = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(options: LinkRemoverOptions) {
    this.#options = options;
    this.#alias = linkAlias(options.stateDirectory);
  }

  /** Interfaces that wait for their end. */
  get waiting(): number {
    return this.#leaving.size;
  }

  /**
   * Sets the host side down, so that nothing passes it whatever happens from now on, and deletes it a
   * moment later. `gone` is called once it is: until then its programs have to stay.
   */
  remove(row: Pick<EndpointRow, 'ifindex' | 'interfaceName'>, gone: () => void): void {
    using socket = NetlinkSocket.open();
    const { ifindex, interfaceName: name } = row;
    try {
      withShortGracePeriods(() => socket.request(setLink(ifindex, { up: false })));
    } catch (error) {
      // Gone with its namespace.
      if (!isKernelError(error, 'ENODEV')) throw error;
    }
    this.#leave({ ifindex, name, gone });
  }

  /**
   * Removes an interface by its number alone, one of an endpoint that nothing is known of. False if
   * it is not this agent's, or is spared: then it stays, and so must its programs.
   */
  discard(ifindex: IfIndex, gone: () => void): boolean {
    if (this.#leaving.has(ifindex)) return true;
    using socket = NetlinkSocket.open();
    const link = getLink(socket, ifindex);
    if (link === undefined) gone();
    else if (link.alias !== this.#alias || isSpared(this.#options, link.name)) return false;
    else this.remove({ ifindex, interfaceName: link.name }, gone);
    return true;
  }

  #leave(leaving: Leaving): void {
    // The same number again can only be the same interface.
    this.#leaving.set(leaving.ifindex, leaving);
    this.#timer ??= setTimeout(() => this.flush(), collectMs);
  }

  /** Deletes what waits, now. What cannot be deleted waits on, down and with its programs. */
  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#leaving.size === 0) return;
    try {
      using socket = NetlinkSocket.open();
      this.#delete(socket);
    } catch (error) {
      this.#fail(error);
      return;
    }
    const hadTrouble = this.#failures > 0;
    this.#failures = 0;
    if (hadTrouble) this.#options.onTrouble?.(undefined);
  }

  #delete(socket: NetlinkSocket): void {
    // The kernel takes the programs off the device, and waits for each.
    const failure = withShortGracePeriods(() =>
      this.#failures === 0 ? this.#deleteGroup(socket) : this.#deleteEach(socket),
    );
    for (const leaving of [...this.#leaving.values()]) {
      if (isThere(socket, leaving)) continue;
      leaving.gone();
      this.#leaving.delete(leaving.ifindex);
    }
    if (this.#leaving.size > 0) throw failure?.error ?? new Error('the kernel deleted nothing');
  }

  #deleteGroup(socket: NetlinkSocket): Failure | undefined {
    const marked = firstFailure(this.#leaving.values(), (leaving) => {
      if (isThere(socket, leaving)) mark(socket, leaving.ifindex);
    });
    return (
      firstFailure([removalGroup], (group) => socket.request(deleteLinkGroup(group))) ?? marked
    );
  }

  /** One that refuses keeps the others of its group. */
  #deleteEach(socket: NetlinkSocket): Failure | undefined {
    return firstFailure(this.#leaving.values(), (leaving) => {
      if (isThere(socket, leaving)) socket.request(deleteLink(leaving.ifindex));
    });
  }

  #fail(error: unknown): void {
    this.#failures++;
    this.#timer = setTimeout(() => this.flush(), backoffMs(backoff, this.#failures));
    const names = [...this.#leaving.values()].map((leaving) => leaving.name).join(', ');
    if (this.#failures === 1) this.#options.onError(error);
    this.#options.onTrouble?.(`delete interfaces ${names}: ${String(error)}; they are down`);
  }

  /** What still waits stays pinned and down, for the next agent. */
  [Symbol.dispose](): void {
    this.flush();
    clearTimeout(this.#timer);
  }
}

interface Failure {
  readonly error: unknown;
}

function firstFailure<T>(list: Iterable<T>, work: (item: T) => void): Failure | undefined {
  let failure: Failure | undefined;
  for (const item of list) {
    try {
      work(item);
    } catch (error) {
      failure ??= { error };
    }
  }
  return failure;
}

/** False also if the number belongs to another interface meanwhile. */
function isThere(socket: NetlinkSocket, { ifindex, name }: Leaving): boolean {
  return getLink(socket, ifindex)?.name === name;
}

function mark(socket: NetlinkSocket, ifindex: IfIndex): void {
  try {
    socket.request(setLink(ifindex, { group: removalGroup }));
  } catch (error) {
    // Its namespace was deleted this instant.
    if (!isKernelError(error, 'ENODEV')) throw error;
  }
}
