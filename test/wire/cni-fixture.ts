/**
 * @module One node for CNI tests: a network namespace with the router's addresses, an agent fixture
 * that removes links as the real one does, and pods.
 */
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import type { EndpointRow } from '../../src/daemon/endpoint/table.ts';
import { requireAddress } from '../../src/net/address.ts';
import { ifIndex } from '../../src/net/if-index.ts';
import { addInterfaceAddress } from '../../src/net/netlink/interface-address.ts';
import { deleteLink, dumpLinks, type Link, setLink } from '../../src/net/netlink/link.ts';
import { NetlinkSocket } from '../../src/net/netlink/socket.ts';
import { createNetns, deleteNetns, type Netns, netnsPath, withNetns } from '../../src/net/netns.ts';
import { AgentFixture, type AgentFixtureOptions } from './agent-fixture.ts';

/** The plugin from its source, as a program of its own. */
const plugin = join(import.meta.dir, '../../src/cmd/cni.ts');
const program = `const { runCni } = await import(${JSON.stringify(plugin)});
process.exitCode = await runCni(process.env);`;

export interface CniCall {
  readonly command: string;
  readonly containerId?: string;
  readonly netns?: string;
  readonly ifname?: string;
  readonly podName?: string;
  readonly conf?: object | string;
  readonly environment?: Readonly<Record<string, string>>;
}

export interface CniAnswer {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
  // biome-ignore lint/suspicious/noExplicitAny: tests look at fields of foreign JSON
  readonly json: any;
  readonly elapsedMs: number;
}

/** A node; dispose it to leave nothing behind. */
export class CniNode implements AsyncDisposable {
  readonly agent: AgentFixture;
  readonly netns: Netns;
  readonly name = `cn${randomBytes(4).toString('hex')}`;
  readonly #pods: string[] = [];
  #isOpen = true;

  constructor(options: AgentFixtureOptions = {}) {
    this.netns = createNetns(this.name);
    this.agent = new AgentFixture({
      // After the answer, as the agent does: it takes the kernel some 16 ms.
      detach: (row, agent) =>
        setTimeout(() => {
          if (!this.#isOpen) return;
          this.removeLink(row);
          agent.reflector.onDetached(row.id);
        }, 20),
      ...options,
    });
    this.inNode((socket) => {
      const lo = ifIndex(1);
      socket.batch([setLink('lo', { up: true })]);
      for (const router of [this.agent.ipam.router(4), this.agent.ipam.router(6)]) {
        if (router === undefined) continue;
        socket.request(addInterfaceAddress(lo, requireAddress(router), undefined, { nodad: true }));
      }
    });
  }

  inNode<T>(body: (socket: NetlinkSocket) => T): T {
    return withNetns(this.netns.fd, () => {
      using socket = NetlinkSocket.open();
      return body(socket) as T extends PromiseLike<unknown> ? never : T;
    }) as T;
  }

  removeLink(row: EndpointRow): void {
    this.inNode((socket) => socket.request(deleteLink(row.ifindex)));
  }

  /** The pods' links on the node. */
  links(): readonly Link[] {
    return this.inNode((socket) => dumpLinks(socket)).filter((link) => link.name.startsWith('lxc'));
  }

  /** Makes a pod's namespace and returns its path. */
  pod(name: string): string {
    const full = `${this.name}-${name}`;
    createNetns(full)[Symbol.dispose]();
    this.#pods.push(full);
    return netnsPath(full);
  }

  deletePod(path: string): void {
    deleteNetns(path.slice(path.lastIndexOf('/') + 1));
  }

  conf(version = '1.0.0', more: object = {}): object {
    return {
      cniVersion: version,
      name: 'cilium',
      type: 'cilium-cni',
      'cilium-sock': this.agent.socketPath,
      'state-dir': this.agent.directory,
      ...more,
    };
  }

  /** Runs the plugin in the node's namespace, as a runtime does. */
  async call(call: CniCall): Promise<CniAnswer> {
    const conf = call.conf ?? this.conf();
    const name = call.podName ?? 'web-0';
    const started = performance.now();
    const child = Bun.spawn(['nsenter', `--net=${netnsPath(this.name)}`, 'bun', '-e', program], {
      stdin: Buffer.from(typeof conf === 'string' ? conf : JSON.stringify(conf)),
      stdout: 'pipe',
      stderr: 'pipe',
      env: {
        PATH: process.env['PATH'] ?? '',
        CNI_COMMAND: call.command,
        CNI_CONTAINERID: call.containerId ?? '',
        CNI_NETNS: call.netns ?? '',
        CNI_IFNAME: call.ifname ?? 'eth0',
        CNI_PATH: '/opt/cni/bin',
        CNI_ARGS: `IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=${name}`,
        ...call.environment,
      },
    });
    const [stdout, stderr, exitCode] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
      child.exited,
    ]);
    let json: unknown;
    try {
      json = JSON.parse(stdout);
    } catch {
      json = undefined;
    }
    return { exitCode, stdout, stderr, json, elapsedMs: performance.now() - started };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isOpen = false;
    await this.agent.close();
    for (const pod of this.#pods) deleteNetns(pod);
    this.netns[Symbol.dispose]();
    deleteNetns(this.name);
  }
}
