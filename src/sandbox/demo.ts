/**
 * @module The demonstration: three pods, two policies, connections that they allow and deny. Output is
 * what was tried and what came of it; the flows are shown by the caller.
 */
import { writeFileSync } from 'node:fs';
import demoPolicy from '../../examples/demo-policy.yaml' with { type: 'text' };
import { runIn } from './namespace.ts';
import { addresses, httpUrl, worldPort } from './network.ts';
import type { SandboxPaths } from './paths.ts';
import { type PodSpec, podPort } from './pod.ts';
import type { SandboxPod } from './record.ts';
import { selfCommand, shownCommand } from './self.ts';

export const demoPods: readonly PodSpec[] = [
  { namespace: 'default', name: 'frontend', labels: { app: 'frontend' } },
  { namespace: 'default', name: 'backend', labels: { app: 'backend' } },
  { namespace: 'default', name: 'intruder', labels: { app: 'intruder' } },
];

/** Puts the policies where the agent watches, before any pod could send. */
export function writeDemoPolicy(paths: SandboxPaths): string {
  const file = `${paths.policyFolder}/demo-policy.yaml`;
  writeFileSync(file, demoPolicy as unknown as string);
  return file;
}

/** A connection that is tried. */
export interface Attempt {
  readonly from: string;
  readonly to: string;
  readonly url: string;
  readonly expected: boolean;
}

export interface Outcome extends Attempt {
  readonly answered: boolean;
  /** Status and time, or why not. */
  readonly detail: string;
}

/** What frontend and intruder try, over IPv4 and IPv6. */
export function demoAttempts(pods: readonly SandboxPod[]): Attempt[] {
  const backend = pods.find((pod) => pod.name === 'backend');
  if (backend === undefined) return [];
  const [world4, world6] = addresses.world;
  const toBackend = [backend.ipv4, backend.ipv6].map((address) => httpUrl(address, podPort));
  const toWorld = [world4, world6].map((address) => httpUrl(address, worldPort));
  return [
    ...toBackend.map((url) => attempt('frontend', 'backend', url, true)),
    ...toWorld.map((url) => attempt('frontend', 'world', url, true)),
    attempt('frontend', 'backend', httpUrl(backend.ipv4, 9090), false),
    ...toBackend.map((url) => attempt('intruder', 'backend', url, false)),
    ...toWorld.map((url) => attempt('intruder', 'world', url, false)),
  ];
}

function attempt(from: string, to: string, url: string, expected: boolean): Attempt {
  return { from, to, url, expected };
}

const answerTimeoutMs = 600;

/** Tries them all, each pod's in one process inside it. */
export async function tryAttempts(
  pods: readonly SandboxPod[],
  attempts: readonly Attempt[],
): Promise<Outcome[]> {
  const outcomes = await Promise.all(
    pods.map((pod) =>
      tryFrom(
        pod,
        attempts.filter((one) => one.from === pod.name),
      ),
    ),
  );
  return outcomes.flat();
}

async function tryFrom(pod: SandboxPod, attempts: readonly Attempt[]): Promise<Outcome[]> {
  if (attempts.length === 0) return [];
  const { stdout } = await runIn(pod.netnsPath, [
    ...selfCommand(),
    'sandbox-get',
    `--timeout=${answerTimeoutMs}`,
    '--brief',
    ...attempts.map((one) => one.url),
  ]);
  const lines = stdout.split('\n');
  return attempts.map((one, index) => {
    const [state = '', ...detail] = (lines[index] ?? '').split(' ');
    return { ...one, answered: state === 'ok', detail: detail.join(' ') };
  });
}

/** Commands to try next, as `command` and what it shows. */
export function nextCommands(pods: readonly SandboxPod[]): [command: string, shows: string][] {
  const backend = pods.find((pod) => pod.name === 'backend');
  const lines: [string, string][] = [
    ['cilium status', 'is it well'],
    ['cilium hubble observe -f', 'every connection and the policy that decided it, live'],
    ['cilium dbg endpoint list', 'the pods, their identities and addresses'],
    ['cilium dbg bpf policy get', 'what the datapath allows and denies'],
  ];
  if (backend !== undefined) {
    const url = httpUrl(backend.ipv4, podPort);
    const get = Bun.which('curl') === null ? 'cilium sandbox-get' : 'curl -sS -m 2';
    lines.push(
      [`cilium exec frontend -- ${get} ${url}`, 'allowed'],
      [`cilium exec intruder -- ${get} ${url}`, 'denied'],
    );
  }
  lines.push(['cilium down', 'remove everything, and show that it is gone']);
  const own = shownCommand();
  return lines.map(([command, shows]) => [command.replace(/^cilium/, own), shows]);
}
