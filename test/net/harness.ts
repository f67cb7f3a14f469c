/**
 * @module One node for tests of the built executable: private namespaces, folders and bpffs, an
 * agent that can be stopped, killed and started again, pods attached by the CNI plugin, and traffic
 * in each of them. Dispose it to find the host as it was, whatever happened in between.
 */
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { credentials } from '@grpc/grpc-js';
import type { Flow } from '../../src/api/gen/flow/flow.ts';
import { GetFlowsRequest, ObserverClient } from '../../src/api/gen/observer/observer.ts';
import { dropReason } from '../../src/bpf/gen/constants.ts';
import { ciliumMetrics } from '../../src/bpf/gen/maps.ts';
import { openPinnedMap } from '../../src/bpf/loader/objects.ts';
import type { IfIndex } from '../../src/net/if-index.ts';
import { isKernelError } from '../../src/net/kernel-error.ts';
import * as libc from '../../src/net/libc.ts';
import { dumpLinks } from '../../src/net/netlink/link.ts';
import type { NetlinkSocket } from '../../src/net/netlink/socket.ts';
import { namespacesIn, occupants, runIn, startIn } from '../../src/sandbox/namespace.ts';
import { TrafficProcess } from './traffic-process.ts';
import { createWorld, Namespaces, podRanges } from './world.ts';

export const root = join(import.meta.dir, '../..');
export const executable = join(root, 'dist/cilium');
const waitMs = 10_000;
/** A start takes half a second, and was seen to take more than 10 s where cores are few and busy. */
const startMs = 30_000;
const folderPrefix = 'cilium-net-';

export interface NodeOptions {
  /** More flags of the agent; may be changed by `startAgent`. */
  readonly flags?: readonly string[];
  readonly executable?: string;
}

/** What a pod is called in Kubernetes; a test may call it otherwise. */
export interface KubernetesName {
  readonly namespace: string;
  readonly name: string;
}

export interface Pod {
  readonly name: string;
  readonly containerId: string;
  readonly netnsPath: string;
  readonly address: { readonly 4: string; readonly 6: string };
  readonly hostInterface: string;
  readonly labels: Readonly<Record<string, string>>;
}

export interface CniAnswer {
  readonly exitCode: number;
  // biome-ignore lint/suspicious/noExplicitAny: tests look at fields of foreign JSON
  readonly json: any;
  readonly stdout: string;
  readonly elapsedMs: number;
}

// biome-ignore lint/suspicious/noExplicitAny: tests look at fields of foreign JSON
export type Json = any;

/** Asks until the answer is neither undefined nor false. The deadline is for tests that fail. */
export async function eventually<T>(
  what: string,
  ask: () => T | undefined | false | Promise<T | undefined | false>,
  timeoutMs = waitMs,
): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined && answer !== false) return answer;
    if (performance.now() > deadline) throw new Error(`${what}: not within ${timeoutMs / 1000} s`);
    await Bun.sleep(5);
  }
}

export class TestNode implements AsyncDisposable {
  readonly folder = mkdtempSync(join(tmpdir(), `${folderPrefix}${process.pid}-`));
  readonly namespaces = new Namespaces(join(this.folder, 'netns'));
  readonly pods = new Map<string, Pod>();
  readonly #traffic = new Map<string, TrafficProcess>();
  #flags: readonly string[];
  #executable: string;
  #agent: number | undefined;

  private constructor(options: NodeOptions) {
    this.#flags = options.flags ?? [];
    this.#executable = options.executable ?? executable;
    for (const folder of [this.stateFolder, this.policyFolder, this.bpfRoot]) mkdirSync(folder);
    // By the test and not by the agent: it stays while agents come and go.
    libc.mount('bpf', this.bpfRoot, 'bpf', 0, 'mode=0700');
  }

  /** A node with a world around it; its agent is up unless `agent` is false. */
  static async create(options: NodeOptions & { agent?: boolean } = {}): Promise<TestNode> {
    if (!existsSync(executable)) throw new Error('dist/cilium is not built: run bun run build');
    await sweepDead();
    const node = new TestNode(options);
    try {
      createWorld(node.namespaces);
      if (options.agent !== false) await node.startAgent();
      return node;
    } catch (error) {
      await node[Symbol.asyncDispose]();
      throw error;
    }
  }

  get stateFolder(): string {
    return join(this.folder, 'state');
  }
  get policyFolder(): string {
    return join(this.folder, 'policies');
  }
  get bpfRoot(): string {
    return join(this.folder, 'bpf');
  }
  get socketPath(): string {
    return join(this.folder, 'cilium.sock');
  }
  get hubbleSocket(): string {
    return join(this.folder, 'hubble.sock');
  }
  get log(): string {
    const path = join(this.folder, 'agent.log');
    return existsSync(path) ? readFileSync(path, 'utf8') : '';
  }

  /** Starts an agent and waits until it answers and every endpoint is ready. */
  async startAgent(options: NodeOptions & { wait?: boolean } = {}): Promise<void> {
    this.#flags = options.flags ?? this.#flags;
    this.#executable = options.executable ?? this.#executable;
    this.#agent = startIn(
      this.namespaces.path('node'),
      [
        ...[this.#executable, 'agent', '--enable-k8s=false', '--enable-hubble=true'],
        `--state-dir=${this.stateFolder}`,
        `--socket-path=${this.socketPath}`,
        `--bpf-root=${this.bpfRoot}`,
        `--static-cnp-path=${this.policyFolder}`,
        `--ipv4-range=${podRanges[4]}`,
        `--ipv6-range=${podRanges[6]}`,
        `--hubble-socket-path=${this.hubbleSocket}`,
        '--prometheus-serve-addr=',
        ...this.#flags,
      ],
      { logFile: join(this.folder, 'agent.log') },
    );
    if (options.wait !== false) await this.ready();
  }

  isRunning(): boolean {
    if (this.#agent === undefined) return false;
    try {
      const text = readFileSync(`/proc/${this.#agent}/stat`, 'utf8');
      if (!text.slice(text.lastIndexOf(')') + 2).startsWith('Z')) return true;
      // Its other threads may still hold its sockets for a moment.
      return readdirSync(`/proc/${this.#agent}/task`).length > 1;
    } catch {
      return false;
    }
  }

  /** The agent answers, and its endpoints are ready. */
  async ready(): Promise<void> {
    const isReady = async () => {
      if (!this.isRunning()) throw new Error(`the agent ended:\n${this.log.slice(-3000)}`);
      try {
        const endpoints = await this.rest('GET', '/endpoint');
        return endpoints.json.every((one: Json) => one.status.state === 'ready');
      } catch {
        return false;
      }
    };
    await eventually('the agent to be ready', isReady, startMs);
  }

  /** Ends the agent: SIGTERM, or another signal. Returns when the process is gone. */
  async stopAgent(signal: 'SIGTERM' | 'SIGKILL' = 'SIGTERM'): Promise<void> {
    const pid = this.#agent;
    if (pid === undefined || !this.isRunning()) return;
    process.kill(pid, signal);
    await eventually(`the agent to end by ${signal}`, () => !this.isRunning());
    this.#agent = undefined;
  }

  get agentPid(): number | undefined {
    return this.#agent;
  }

  async rest(
    method: string,
    path: string,
    body?: string,
    headers: Record<string, string> = {},
  ): Promise<{ status: number; text: string; json: Json }> {
    const response = await fetch(`http://localhost/v1${path}`, {
      method,
      unix: this.socketPath,
      headers: { connection: 'close', ...headers },
      ...(body === undefined ? {} : { body }),
      signal: AbortSignal.timeout(10_000),
    });
    const text = await response.text();
    let json: Json;
    try {
      json = JSON.parse(text);
    } catch {
      json = undefined;
    }
    return { status: response.status, text, json };
  }

  async endpoints(): Promise<Json[]> {
    return (await this.rest('GET', '/endpoint')).json;
  }

  /** Names of the node's interfaces. */
  links(): string[] {
    return this.namespaces
      .within('node', (socket) => dumpLinks(socket).map((link) => link.name))
      .sort();
  }

  linkIndexes(socket: NetlinkSocket): [IfIndex, string][] {
    return dumpLinks(socket).map((link) => [link.index, link.name]);
  }

  async health(): Promise<{ state: string; msg: string }> {
    return (await this.rest('GET', '/healthz')).json.cilium;
  }

  /** Runs the executable in a namespace of the node. */
  run(args: readonly string[], namespace = 'node', environment: Record<string, string> = {}) {
    return runIn(this.namespaces.path(namespace), [this.#executable, ...args], { environment });
  }

  /** Calls the CNI plugin as a runtime does. */
  async cni(
    command: string,
    call: {
      readonly name: string;
      readonly netns?: string;
      readonly containerId?: string;
      readonly labels?: Readonly<Record<string, string>>;
      readonly stdin?: string;
      readonly kubernetes?: KubernetesName;
    },
  ): Promise<CniAnswer> {
    const { namespace, name: podName } = call.kubernetes ?? {
      namespace: 'default',
      name: call.name,
    };
    const labels = Object.entries(call.labels ?? {}).map(([key, value]) => ({ key, value }));
    const conf = {
      cniVersion: '1.1.0',
      name: 'cilium',
      type: 'cilium-cni',
      'cilium-sock': this.socketPath,
      'state-dir': this.stateFolder,
      args: { cni: { labels } },
    };
    const started = performance.now();
    const { exitCode, stdout } = await runIn(
      this.namespaces.path('node'),
      [this.#executable, 'cni'],
      {
        environment: {
          CNI_COMMAND: command,
          CNI_CONTAINERID: call.containerId ?? `container-${call.name}`,
          CNI_NETNS: call.netns ?? this.namespaces.path(`pod-${call.name}`),
          CNI_IFNAME: 'eth0',
          CNI_PATH: '/opt/cni/bin',
          CNI_ARGS: `IgnoreUnknown=1;K8S_POD_NAMESPACE=${namespace};K8S_POD_NAME=${podName}`,
        },
        stdin: call.stdin ?? JSON.stringify(conf),
      },
    );
    const elapsedMs = performance.now() - started;
    let json: Json;
    try {
      json = JSON.parse(stdout);
    } catch {
      json = undefined;
    }
    return { exitCode, stdout, json, elapsedMs };
  }

  /** Makes a pod's namespace, without attaching it. */
  createPodNetns(name: string): string {
    this.namespaces.create(`pod-${name}`);
    return this.namespaces.path(`pod-${name}`);
  }

  async addPod(
    name: string,
    labels: Readonly<Record<string, string>> = { app: name },
    kubernetes: KubernetesName = { namespace: 'default', name },
  ): Promise<Pod> {
    const netnsPath = this.createPodNetns(name);
    const { exitCode, json, stdout } = await this.cni('ADD', { name, labels, kubernetes });
    if (exitCode !== 0) {
      this.namespaces.delete(`pod-${name}`);
      throw new Error(`add pod ${name}: ${stdout}`);
    }
    const hosts: string[] = json.ips.map((one: Json) => String(one.address).replace(/\/.*/, ''));
    const of = (mark: string) => hosts.find((host) => host.includes(mark)) ?? '';
    const pod: Pod = {
      name,
      containerId: `container-${name}`,
      netnsPath,
      address: { 4: of('.'), 6: of(':') },
      hostInterface: json.interfaces[0].name,
      labels,
    };
    this.pods.set(name, pod);
    return pod;
  }

  async deletePod(name: string): Promise<CniAnswer> {
    await this.#traffic.get(`pod-${name}`)?.stop();
    this.#traffic.delete(`pod-${name}`);
    const answer = await this.cni('DEL', { name });
    this.namespaces.delete(`pod-${name}`);
    this.pods.delete(name);
    return answer;
  }

  /** The traffic process of a pod, or of `node`, `router`, `world` or `far`. */
  async traffic(of: Pod | 'node' | 'router' | 'world' | 'far'): Promise<TrafficProcess> {
    const name = typeof of === 'string' ? of : `pod-${of.name}`;
    const known = this.#traffic.get(name);
    if (known !== undefined) return known;
    const made = await TrafficProcess.start(this.namespaces.get(name));
    this.#traffic.set(name, made);
    return made;
  }

  /** Replaces a file of the policy directory in one step. It is in force when `policyApplied` says so. */
  writePolicy(name: string, text: string | object | readonly object[]): void {
    const documents =
      typeof text === 'string' ? [text] : [text].flat().map((one) => JSON.stringify(one));
    const temporary = join(this.folder, 'policy.tmp');
    writeFileSync(temporary, documents.join('\n---\n'));
    renameSync(temporary, join(this.policyFolder, name));
  }

  removePolicy(name: string): void {
    rmSync(join(this.policyFolder, name));
  }

  /** The revision that every endpoint has in the kernel. */
  async revision(): Promise<number> {
    const { json } = await this.rest('GET', '/policy');
    return json.revision;
  }

  /** Writes or removes policies and waits until every endpoint obeys them. */
  async changePolicy(change: () => void): Promise<void> {
    const before = await this.revision();
    change();
    await eventually('the policy to be read', async () => (await this.revision()) > before);
    await this.policySettled();
  }

  /** Every policy is in the kernel. */
  async policySettled(): Promise<void> {
    await eventually('policies to be in the kernel', async () => {
      const rows = await this.table('policies');
      return rows.every((row) => row.status.kind === 'done');
    });
  }

  /** Rows of one of the agent's tables. */
  async table(name: string): Promise<Json[]> {
    const { json, status, text } = await this.rest('GET', `/statedb/${name}`);
    if (status !== 200) throw new Error(`table ${name}: ${status} ${text}`);
    return json.rows;
  }

  /** Packets dropped for a reason, of all processors and directions. */
  drops(reason: keyof typeof dropReason): number {
    using metrics = openPinnedMap(this.bpfRoot, ciliumMetrics);
    return [0, 1, 2, 3]
      .flatMap((direction) => metrics.lookupPerCpu(dropReason[reason] * 4 + direction))
      .reduce((sum, one) => sum + Number(one.packets), 0);
  }

  /** The latest flows, oldest first. */
  async flows(last = 500): Promise<Flow[]> {
    const client = new ObserverClient(`unix:${this.hubbleSocket}`, credentials.createInsecure());
    try {
      const found: Flow[] = [];
      const request = GetFlowsRequest.create({ number: BigInt(last) });
      for await (const { flow } of client.getFlows(request))
        if (flow !== undefined) found.push(flow);
      return found;
    } finally {
      client.close();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const process of this.#traffic.values()) await process.stop();
    await this.stopAgent('SIGKILL');
    removeFolder(this.folder);
    this.namespaces[Symbol.dispose]();
  }
}

/** What a runner that was killed has left: its folders carry its number. */
async function sweepDead(): Promise<void> {
  for (const name of readdirSync(tmpdir())) {
    const pid = name.startsWith(folderPrefix) ? Number(name.split('-')[2]) : 0;
    if (pid > 0 && !existsSync(`/proc/${pid}`)) removeFolder(join(tmpdir(), name));
  }
}

/** Ends what runs in the folder's namespaces, all of it started by a test, and removes all. */
function removeFolder(folder: string): void {
  const namespaces = namespacesIn(join(folder, 'netns'));
  for (const { pid } of occupants(namespaces)) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // Gone meanwhile.
    }
  }
  for (const path of [...namespaces.values().map((name) => `netns/${name}`), 'bpf']) {
    try {
      libc.unmount(join(folder, path), libc.MNT_DETACH);
    } catch (error) {
      if (!isKernelError(error, 'EINVAL', 'ENOENT')) throw error;
    }
  }
  rmSync(folder, { recursive: true, force: true });
}
