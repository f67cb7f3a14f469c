/**
 * @module The yardstick: two namespaces with a veth pair each and nothing between them but a program
 * that redirects to the other's peer. Addressed as the plugin does it.
 */
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ConfigLayout } from '../../src/bpf/libbpf/layout.ts';
import { BpfLink } from '../../src/bpf/libbpf/link.ts';
import { BpfObject } from '../../src/bpf/libbpf/object.ts';
import type { BpfProgram } from '../../src/bpf/libbpf/program.ts';
import { requireAddress } from '../../src/net/address.ts';
import { randomMac } from '../../src/net/mac.ts';
import { addInterfaceAddress } from '../../src/net/netlink/interface-address.ts';
import { createVeth, getLink, setLink } from '../../src/net/netlink/link.ts';
import { replaceNeighbor } from '../../src/net/netlink/neighbor.ts';
import { addRoute } from '../../src/net/netlink/route.ts';
import { NetlinkSocket } from '../../src/net/netlink/socket.ts';
import { createNetns, deleteNetns, netnsPath, withNetns } from '../../src/net/netns.ts';
import { hostPrefix, requirePrefix } from '../../src/net/prefix.ts';

const object = join(import.meta.dir, '../../dist/bpf/test/bare_redirect.o');
const router = '10.78.0.1';
/** As the plugin makes them: it matters to queueing. */
const txQueueLength = 1000;

const peerConfig: ConfigLayout<{ peer: number }> = {
  size: 4,
  encode: ({ peer }, view) => view.setUint32(0, peer ?? 0, true),
};

const alive = new Set<BarePair>();

/** For a run that is interrupted. */
export function disposePairs(): void {
  for (const pair of alive) pair[Symbol.dispose]();
}

export class BarePair implements Disposable {
  readonly name = `bare${randomBytes(3).toString('hex')}`;
  readonly ends: readonly { readonly netns: string; readonly ipv4: string }[];
  readonly programs: readonly BpfProgram[];
  readonly #open: Disposable[] = [];

  constructor() {
    alive.add(this);
    using host = createNetns(this.name);
    const indexes = [0, 1].map((end) => this.#addEnd(host.fd, end));
    this.programs = withNetns(host.fd, () =>
      indexes.map((index, end) => this.#attach(index, indexes[1 - end] ?? 0)),
    );
    this.ends = [0, 1].map((end) => ({
      netns: netnsPath(`${this.name}-${end}`),
      ipv4: `10.78.0.${10 + end}`,
    }));
  }

  /** Runs and nanoseconds of both programs; counted while kernel.bpf_stats_enabled is set. */
  costs(): { runs: number; ns: number } {
    const facts = this.programs.map((program) => program.query());
    return {
      runs: facts.reduce((sum, { runs }) => sum + runs, 0),
      ns: facts.reduce((sum, { runTimeNs }) => sum + runTimeNs, 0),
    };
  }

  #attach(ifindex: number, peer: number): BpfProgram {
    const opened = BpfObject.open('bare_redirect', readFileSync(object));
    this.#open.push(opened);
    opened.configure(peerConfig, { peer });
    opened.load();
    const program = opened.program('bare_redirect');
    this.#open.push(BpfLink.attachTcx(program, ifindex, 'ingress'));
    return program;
  }

  #addEnd(hostFd: number, end: number): number {
    using pod = createNetns(`${this.name}-${end}`);
    const hostMac = randomMac();
    const index = withNetns(hostFd, () => {
      using socket = NetlinkSocket.open();
      const name = `bare${end}`;
      socket.request(
        createVeth(
          { name, mac: hostMac, txQueueLength, up: true },
          { name: 'eth0', mac: randomMac(), txQueueLength, netnsFd: pod.fd },
        ),
      );
      return getLink(socket, name)?.index ?? 0;
    });
    withNetns(pod.fd, () => {
      using socket = NetlinkSocket.open();
      const device = getLink(socket, 'eth0')?.index;
      if (device === undefined) throw new Error('the veth pair has one end');
      const via = requireAddress(router);
      socket.batch([
        setLink('lo', { up: true }),
        setLink(device, { up: true }),
        addInterfaceAddress(device, requireAddress(`10.78.0.${10 + end}`)),
        replaceNeighbor(device, via, hostMac),
        addRoute({ destination: hostPrefix(via), device }),
        addRoute({ destination: requirePrefix('0.0.0.0/0'), via, device }),
      ]);
    });
    return index;
  }

  [Symbol.dispose](): void {
    if (!alive.delete(this)) return;
    for (const opened of this.#open.reverse()) opened[Symbol.dispose]();
    for (const name of [`${this.name}-0`, `${this.name}-1`, this.name]) deleteNetns(name);
  }
}
