/**
 * @module
 * Deletes the host side of interfaces whose endpoint is gone. One deletion costs the kernel 16 ms,
 * a group of them hardly more, so they are collected for a moment and go together.
 */
import { withShortGracePeriods } from '../../bpf/loader/grace-period.ts';
import { isKernelError } from '../../net/kernel-error.ts';
import { deleteLinkGroup, dumpLinks, getLink, setLink } from '../../net/netlink/link.ts';
import { NetlinkSocket } from '../../net/netlink/socket.ts';
import type { EndpointRow } from './table.ts';

/** Any number that nobody else uses; "cil" in ASCII. */
const removalGroup = 0x63696c;
const collectMs = 100;

/** What the CNI plugin calls the host side: a prefix and the beginning of a hash. */
const podInterface = /^lxc[0-9a-f]{12}$/;

/**
 * Deletes host sides that no endpoint has, left by a plugin that was killed. Before the agent
 * listens, so that none can belong to a plugin that is at work. Returns their names.
 */
export function sweepPodLinks(known: ReadonlySet<string>): string[] {
  using socket = NetlinkSocket.open();
  const lost = dumpLinks(socket).filter(
    ({ name, kind }) => kind === 'veth' && podInterface.test(name) && !known.has(name),
  );
  for (const link of lost) socket.request(setLink(link.index, { group: removalGroup }));
  if (lost.length > 0) socket.request(deleteLinkGroup(removalGroup));
  return lost.map((link) => link.name);
}

/** An interface on its way out, and what keeps its programs on it until then. */
interface Leaving {
  readonly row: EndpointRow;
  readonly held: readonly Disposable[];
}

export class LinkRemover implements Disposable {
  readonly #leaving = new Map<string, Leaving>();
  readonly #onError: (error: unknown) => void;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(onError: (error: unknown) => void) {
    this.#onError = onError;
  }

  /** Interfaces that wait for their end. */
  get waiting(): number {
    return this.#leaving.size;
  }

  /** `held` is disposed once the interface is gone: without programs it would pass everything. */
  remove(row: EndpointRow, held: readonly Disposable[] = []): void {
    // The same name again can only be the same interface: what was held for it goes on being held.
    const before = this.#leaving.get(row.interfaceName)?.held ?? [];
    this.#leaving.set(row.interfaceName, { row, held: [...before, ...held] });
    this.#timer ??= setTimeout(() => this.flush(), collectMs);
  }

  /** Deletes what waits, now. */
  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#leaving.size === 0) return;
    const leaving = [...this.#leaving.values()];
    this.#leaving.clear();
    try {
      using socket = NetlinkSocket.open();
      // The kernel takes the programs off the device, and waits for each.
      withShortGracePeriods(() => {
        for (const { row } of leaving) markForRemoval(socket, row);
        socket.request(deleteLinkGroup(removalGroup));
      });
    } catch (error) {
      this.#onError(error);
    }
    for (const { held } of leaving) for (const link of held) link[Symbol.dispose]();
  }

  [Symbol.dispose](): void {
    this.flush();
  }
}

function markForRemoval(socket: NetlinkSocket, row: EndpointRow): void {
  const link = getLink(socket, row.interfaceName);
  // Gone with its namespace, or the name belongs to a successor already.
  if (link === undefined || link.index !== row.ifindex) return;
  try {
    socket.request(setLink(link.index, { group: removalGroup }));
  } catch (error) {
    // Its namespace was deleted this instant.
    if (!isKernelError(error, 'ENODEV')) throw error;
  }
}
