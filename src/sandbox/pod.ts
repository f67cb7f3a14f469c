/**
 * @module Pods of a sandbox: a namespace and a cgroup each, attached by the ordinary CNI plugin with
 * labels by the convention `args.cni.labels`, with a small HTTP server inside.
 */
import { mkdirSync, readFileSync } from 'node:fs';
import { createNamespaceAt, runIn, startIn } from './namespace.ts';
import { nodeNetns, raiseLoopback, worldNetns, worldPort } from './network.ts';
import type { SandboxPaths } from './paths.ts';
import type { SandboxPod } from './record.ts';
import { selfCommand } from './self.ts';
import { waitFor } from './wait.ts';

/** What a pod should be. */
export interface PodSpec {
  readonly namespace: string;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
}

/** Port of the HTTP server in every pod. */
export const podPort = 8080;
const serverTimeoutMs = 5000;

/** Creates a pod and waits for the plugin's answer. */
export async function createPod(paths: SandboxPaths, spec: PodSpec): Promise<SandboxPod> {
  const title = `${spec.namespace}_${spec.name}`;
  const netnsPath = `${paths.netnsFolder}/pod-${title}`;
  createNamespaceAt(netnsPath)[Symbol.dispose]();
  raiseLoopback(netnsPath);
  mkdirSync(podCgroup(paths, spec), { recursive: true });
  const result = await attach(paths, spec, netnsPath);
  return { namespace: spec.namespace, name: spec.name, netnsPath, ...addressesOf(result) };
}

export function podCgroup(paths: SandboxPaths, pod: Pick<PodSpec, 'namespace' | 'name'>): string {
  return `${paths.cgroup}/pod-${pod.namespace}_${pod.name}`;
}

/** Runs the plugin in the node's namespace, as a container runtime does. Returns what it printed. */
async function attach(paths: SandboxPaths, spec: PodSpec, netnsPath: string): Promise<string> {
  const { exitCode, stdout, stderr } = await runIn(nodeNetns(paths), [...selfCommand(), 'cni'], {
    environment: {
      CNI_COMMAND: 'ADD',
      CNI_CONTAINERID: `${paths.name}-${spec.namespace}-${spec.name}`,
      CNI_NETNS: netnsPath,
      CNI_IFNAME: 'eth0',
      CNI_PATH: '/opt/cni/bin',
      CNI_ARGS: `IgnoreUnknown=1;K8S_POD_NAMESPACE=${spec.namespace};K8S_POD_NAME=${spec.name}`,
      CILIUM_SOCK: paths.agentSocket,
    },
    stdin: cniConfiguration(paths, spec),
  });
  if (exitCode === 0) return stdout;
  const said = [stdout, stderr]
    .map((text) => text.trim())
    .filter(Boolean)
    .join('\n');
  throw new Error(
    `attach pod ${spec.namespace}/${spec.name}: plugin ended with ${exitCode}: ${said}`,
  );
}

function cniConfiguration(paths: SandboxPaths, spec: PodSpec): string {
  const labels = Object.entries(spec.labels).map(([key, value]) => ({ key, value }));
  return JSON.stringify({
    cniVersion: '1.0.0',
    name: 'cilium',
    type: 'cilium-cni',
    'log-file': `${paths.logFolder}/cni.log`,
    'state-dir': paths.stateDirectory,
    args: { cni: { labels } },
  });
}

/** Addresses in a plugin's result. Throws when it is none. */
export function addressesOf(result: string): { ipv4: string; ipv6: string } {
  const value = JSON.parse(result) as { ips?: readonly { address?: string }[] };
  const hosts = (value.ips ?? []).map((one) => (one.address ?? '').replace(/\/\d+$/, ''));
  return {
    ipv4: hosts.find((host) => host.includes('.')) ?? '',
    ipv6: hosts.find((host) => host.includes(':')) ?? '',
  };
}

/** Starts the HTTP server of a pod; `servingAt` says when it listens. */
export function startPodServer(paths: SandboxPaths, pod: SandboxPod): number {
  return startServer(
    paths,
    pod.netnsPath,
    `${pod.namespace}/${pod.name}`,
    podPort,
    podCgroup(paths, pod),
  );
}

/** Starts the world's HTTP server. */
export function startWorldServer(paths: SandboxPaths): number {
  return startServer(paths, worldNetns(paths), 'world', worldPort);
}

function startServer(
  paths: SandboxPaths,
  netnsPath: string,
  name: string,
  port: number,
  cgroup?: string,
): number {
  const command = [...selfCommand(), 'sandbox-server', `--port=${port}`, `--name=${name}`];
  const logFile = `${paths.logFolder}/server-${name.replace('/', '_')}.log`;
  return startIn(netnsPath, command, { logFile, ...(cgroup === undefined ? {} : { cgroup }) });
}

/** Waits until a server of its namespace listens on the port. */
export async function servingAt(pid: number, port: number, signal: AbortSignal): Promise<void> {
  const needle = `:${port.toString(16).toUpperCase().padStart(4, '0')} 0`;
  await waitFor(
    `server ${pid} to listen`,
    serverTimeoutMs,
    () => (listeners(pid).some((line) => line.includes(needle)) ? true : undefined),
    signal,
  );
}

/** Listening sockets (state 0A) of the process's namespace. */
function listeners(pid: number): string[] {
  try {
    const text = readFileSync(`/proc/${pid}/net/tcp6`, 'utf8');
    return text.split('\n').filter((line) => line.split(/\s+/)[4] === '0A');
  } catch {
    return [];
  }
}
