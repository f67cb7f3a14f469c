/**
 * @module One node for benchmarks: a network namespace, the built agent in it, and pods attached by
 * the built plugin. Disposing it leaves nothing behind.
 */
import { randomBytes } from 'node:crypto';
import { copyFileSync, mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { unmount } from '../../src/net/libc.ts';
import { setLink } from '../../src/net/netlink/link.ts';
import { NetlinkSocket } from '../../src/net/netlink/socket.ts';
import { createNetns, deleteNetns, type Netns, netnsPath, withNetns } from '../../src/net/netns.ts';

const built = join(import.meta.dir, '../../dist/cilium');

export interface Pod {
  readonly name: string;
  readonly containerId: string;
  readonly netns: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly ipv4: string;
  readonly ipv6: string;
}

/** A call of the plugin, from the start of the process to its end. */
export interface CniCall {
  readonly elapsedMs: number;
  readonly exitCode: number;
  readonly output: string;
}

const alive = new Set<BenchNode>();

/** For a run that is interrupted. */
export async function disposeNodes(): Promise<void> {
  for (const node of alive) await node[Symbol.asyncDispose]();
}

export class BenchNode implements AsyncDisposable {
  readonly name = `bench${randomBytes(3).toString('hex')}`;
  readonly folder = mkdtempSync(join(tmpdir(), 'cilium-bench-'));
  readonly policies = join(this.folder, 'policies');
  readonly bpfRoot = join(this.folder, 'bpf');
  readonly socket = join(this.folder, 'cilium.sock');
  readonly hubbleSocket = join(this.folder, 'hubble.sock');
  readonly executable = join(this.folder, 'cilium');
  readonly netns: Netns;
  #agent: ReturnType<typeof Bun.spawn> | undefined;
  readonly #namespaces = new Set<string>();
  #flags: readonly string[] = [];

  constructor() {
    // A copy, because the build may go on beside the benchmark.
    copyFileSync(built, this.executable);
    symlinkSync('cilium', join(this.folder, 'cilium-cni'));
    mkdirSync(this.policies);
    this.netns = createNetns(this.name);
    this.#namespaces.add(this.name);
    this.#raiseLoopback(this.netns);
    alive.add(this);
  }

  /** A node whose agent serves. */
  static async start(...flags: string[]): Promise<BenchNode> {
    const node = new BenchNode();
    node.#flags = flags;
    await node.startAgent();
    return node;
  }

  get agentPid(): number {
    return this.#agent?.pid ?? 0;
  }

  /** Ends when the agent answers. Returns the milliseconds from the start of its process. */
  async startAgent(prefix: readonly string[] = []): Promise<number> {
    const started = performance.now();
    this.spawnAgent(prefix);
    await this.until(async () => (await this.get('/healthz')) !== undefined, 5);
    return performance.now() - started;
  }

  spawnAgent(prefix: readonly string[] = []): void {
    this.#agent = Bun.spawn(
      [
        ...['nsenter', `--net=${netnsPath(this.name)}`, ...prefix, this.executable, 'agent'],
        ...['--enable-k8s=false', '--state-dir', join(this.folder, 'state')],
        ...['--socket-path', this.socket, '--bpf-root', this.bpfRoot],
        ...['--static-cnp-path', this.policies, '--hubble-socket-path', this.hubbleSocket],
        ...['--ipv4-range', '10.77.0.0/20', '--ipv6-range', 'fd00:77::/112', ...this.#flags],
      ],
      { stdout: 'ignore', stderr: Bun.file(join(this.folder, 'agent.log')), stdin: 'ignore' },
    );
  }

  async stopAgent(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    this.#agent?.kill(signal);
    await this.#agent?.exited;
    rmSync(this.socket, { force: true });
    this.#agent = undefined;
  }

  /** Polls until the condition holds; an agent that ended is an error at once. */
  async until(condition: () => boolean | Promise<boolean>, everyMs = 1): Promise<void> {
    const deadline = performance.now() + 30_000;
    while (!(await condition())) {
      if (this.#agent !== undefined && this.#agent.exitCode !== null) {
        throw new Error(`the agent ended:\n${await this.log()}`);
      }
      if (performance.now() > deadline) throw new Error(`waited in vain:\n${await this.log()}`);
      await Bun.sleep(everyMs);
    }
  }

  log(): Promise<string> {
    return Bun.file(join(this.folder, 'agent.log')).text();
  }

  /** An answer of the agent's REST API; undefined while nobody answers. */
  // biome-ignore lint/suspicious/noExplicitAny: benchmarks look at fields of foreign JSON
  async get(path: string): Promise<any> {
    try {
      const answer = await fetch(`http://localhost/v1${path}`, { unix: this.socket });
      return answer.ok ? await answer.json() : undefined;
    } catch {
      return undefined;
    }
  }

  async setOptions(options: Readonly<Record<string, 'Enabled' | 'Disabled'>>): Promise<void> {
    const answer = await fetch('http://localhost/v1/config', {
      unix: this.socket,
      method: 'PATCH',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ options }),
    });
    if (!answer.ok) throw new Error(`set options: ${answer.status} ${await answer.text()}`);
  }

  /** In one step, as `mv` does. Ends when an endpoint, whose policy it must be, obeys. */
  async applyPolicy(name: string, text: string): Promise<void> {
    const revision = async () => Number((await this.get('/policy'))?.revision ?? 0);
    const before = await revision();
    const draft = join(this.folder, 'draft');
    await Bun.write(draft, text);
    renameSync(draft, join(this.policies, name));
    await this.until(async () => (await revision()) > before);
    const wanted = await revision();
    await this.until(async () =>
      (await this.endpoints()).some(
        (endpoint) => endpoint.status.policy.realized['policy-revision'] >= wanted,
      ),
    );
  }

  // biome-ignore lint/suspicious/noExplicitAny: benchmarks look at fields of foreign JSON
  async endpoints(): Promise<any[]> {
    return (await this.get('/endpoint')) ?? [];
  }

  async addPod(name: string, labels: Readonly<Record<string, string>>): Promise<Pod> {
    const pod = this.preparePod(name, labels);
    const call = await this.cni('ADD', pod);
    return { ...pod, ...addressesOf(call) };
  }

  /** A namespace for a pod, which the plugin has not been called for. */
  preparePod(name: string, labels: Readonly<Record<string, string>>): Pod {
    const netns = `${this.name}-${name}`;
    using opened = createNetns(netns);
    this.#namespaces.add(netns);
    this.#raiseLoopback(opened);
    const containerId = `${this.name}${name}`.padEnd(40, 'x');
    return { name, containerId, netns: netnsPath(netns), labels, ipv4: '', ipv6: '' };
  }

  /** Deletes the namespace of a pod that is detached. */
  forget(pod: Pod): void {
    deleteNetns(`${this.name}-${pod.name}`);
    this.#namespaces.delete(`${this.name}-${pod.name}`);
  }

  /** A program in the node's namespace, which it inherits: nothing else is started for it. */
  spawnInside(command: readonly string[], input: string, env: Readonly<Record<string, string>>) {
    return withNetns(this.netns.fd, () =>
      Bun.spawn([...command], {
        env,
        stdin: Buffer.from(input),
        stdout: 'pipe',
        stderr: 'inherit',
      }),
    );
  }

  /** Calls the plugin; throws if it refuses. */
  async cni(command: 'ADD' | 'DEL' | 'VERSION', pod: Pod): Promise<CniCall> {
    const conf = {
      ...{ cniVersion: '1.1.0', name: 'cilium', type: 'cilium-cni', 'cilium-sock': this.socket },
      'state-dir': join(this.folder, 'state'),
      args: {
        cni: { labels: Object.entries(pod.labels).map(([key, value]) => ({ key, value })) },
      },
    };
    const started = performance.now();
    const child = this.spawnInside([join(this.folder, 'cilium-cni')], JSON.stringify(conf), {
      CNI_COMMAND: command,
      CNI_CONTAINERID: pod.containerId,
      CNI_NETNS: pod.netns,
      CNI_IFNAME: 'eth0',
      CNI_PATH: '/opt/cni/bin',
      CNI_ARGS: `K8S_POD_NAMESPACE=default;K8S_POD_NAME=${pod.name}`,
    });
    const [output, exitCode] = await Promise.all([new Response(child.stdout).text(), child.exited]);
    const elapsedMs = performance.now() - started;
    if (exitCode !== 0) throw new Error(`${command} ${pod.name}: ${output}\n${await this.log()}`);
    return { elapsedMs, exitCode, output };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!alive.delete(this)) return;
    await this.stopAgent();
    this.netns[Symbol.dispose]();
    for (const name of this.#namespaces) deleteNetns(name);
    try {
      unmount(this.bpfRoot);
    } catch {
      // The agent did not get as far as mounting it.
    }
    rmSync(this.folder, { recursive: true, force: true });
  }

  #raiseLoopback(netns: Netns): void {
    withNetns(netns.fd, () => {
      using socket = NetlinkSocket.open();
      socket.request(setLink('lo', { up: true }));
    });
  }
}

function addressesOf({ output }: CniCall): { ipv4: string; ipv6: string } {
  const { ips }: { ips: { address: string }[] } = JSON.parse(output);
  const find = (mark: string) => ips.find(({ address }) => address.includes(mark))?.address ?? '';
  const bare = (text: string) => text.split('/')[0] ?? '';
  return { ipv4: bare(find('.')), ipv6: bare(find(':')) };
}
