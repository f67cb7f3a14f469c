/**
 * @module
 * Deletes the host side of interfaces whose endpoint is gone. One deletion costs the kernel 16 ms,
 * a group of them hardly more, so they are collected for a moment and go together.
 */
import { deleteLinkGroup, dumpLinks, getLink, setLink } from '../../net/netlink/link.ts';
import { NetlinkSocket } from '../../net/netlink/socket.ts';
import type { EndpointRow } from './table.ts';

/** Any number that nobody else uses; "cil" in ASCII. */
const removalGroup = 0x63696c;
const collectMs = 20;

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

export class LinkRemover implements Disposable {
  readonly #rows = new Map<string, EndpointRow>();
  readonly #onError: (error: unknown) => void;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(onError: (error: unknown) => void) {
    this.#onError = onError;
  }

  /** Interfaces that wait for their end. */
  get waiting(): number {
    return this.#rows.size;
  }

  remove(row: EndpointRow): void {
    this.#rows.set(row.interfaceName, row);
    this.#timer ??= setTimeout(() => this.flush(), collectMs);
  }

  /** Deletes what waits, now. */
  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#rows.size === 0) return;
    const rows = [...this.#rows.values()];
    this.#rows.clear();
    try {
      using socket = NetlinkSocket.open();
      for (const row of rows) {
        const link = getLink(socket, row.interfaceName);
        // Gone with its namespace, or the name belongs to a successor already.
        if (link === undefined || link.index !== row.ifindex) continue;
        socket.request(setLink(link.index, { group: removalGroup }));
      }
      socket.request(deleteLinkGroup(removalGroup));
    } catch (error) {
      this.#onError(error);
    }
  }

  [Symbol.dispose](): void {
    this.flush();
  }
}
