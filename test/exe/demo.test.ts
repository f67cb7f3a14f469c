/**
 * @module
 * The first five minutes: demo, the commands that it offers, down, twice; and an interruption at any
 * moment. The host must be as it was. Runs the built executable, or what CILIUM_EXE says.
 */
import { afterEach, beforeAll, describe, expect, test } from 'bun:test';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { takeSnapshot } from '../../src/sandbox/snapshot.ts';

const command = (process.env.CILIUM_EXE ?? join(import.meta.dir, '../../dist/cilium')).split(' ');
const demoTimeoutMs = 30_000;
const interruptions = 8;

function cilium(...argv: string[]) {
  const child = Bun.spawnSync([...command, ...argv], { stdin: 'ignore' });
  return {
    code: child.exitCode,
    stdout: child.stdout.toString(),
    stderr: child.stderr.toString(),
  };
}

/** Its output if it succeeded; otherwise the test fails with what it said. */
function succeed(...argv: string[]): string {
  const { code, stdout, stderr } = cilium(...argv);
  expect({ argv, code, stderr: code === 0 ? '' : stderr + stdout }).toEqual({
    argv,
    code: 0,
    stderr: '',
  });
  return stdout;
}

/** What other tests make meanwhile aside: of shared places only what bears our name. */
function host() {
  const { links, addresses, routes, rules, namespaces, bpffs, mounts, files, sysctls, cgroups } =
    takeSnapshot();
  const ours = (lines: readonly string[] = []) => lines.filter((line) => line.includes('cilium'));
  const shared = [namespaces, bpffs, mounts, cgroups].map(ours);
  return { links, addresses, routes, rules, files, sysctls, shared };
}

let before: ReturnType<typeof host>;

describe('demo', () => {
  beforeAll(() => {
    expect({
      root: process.geteuid?.(),
      executable: existsSync(command[0]!) || Bun.which(command[0]!) !== null,
    }).toEqual({ root: 0, executable: true });
    cilium('down');
    before = host();
  });
  afterEach(() => {
    cilium('down');
  });

  for (const round of [1, 2]) {
    test(
      `shows policies at work, then everything works without flags, then the host is as before (${round})`,
      () => {
        const started = performance.now();
        const output = succeed('demo');
        expect(performance.now() - started).toBeLessThan(demoTimeoutMs / 2);
        const connections = output.split('Connections:')[1]?.split('\n\n')[0] ?? '';
        expect(connections.match(/allowed/g)?.length).toBe(4);
        expect(connections.match(/denied/g)?.length).toBe(5);
        expect(connections).not.toContain('unexpected');
        expect(output).toContain('backend-allows-frontend');
        expect(output).toContain('intruder-stays-inside');

        expect(succeed('demo')).toContain('up already');
        expect(succeed('status')).toMatch(/^Cilium: +Ok/m);
        expect(succeed('status', '--brief')).toBe('OK\n');
        expect(succeed('dbg', 'endpoint', 'list')).toContain('k8s:app=intruder');
        expect(succeed('dbg', 'bpf', 'policy', 'get')).toMatch(
          /Allow +Ingress +k8s:app=frontend +8080\/TCP/,
        );
        expect(succeed('dbg', 'bpf', 'endpoint', 'list')).toContain('sec_id=');
        expect(succeed('dbg', 'bpf', 'ct', 'list', 'global')).toContain('TCP OUT');
        expect(succeed('dbg', 'db', 'list')).toContain('endpoints');
        expect(succeed('dbg', 'db', 'show', 'endpoints')).toContain('backend');
        expect(succeed('hubble', 'observe', '--last', '50')).toContain('default/backend');

        const backend = JSON.parse(succeed('dbg', 'endpoint', 'list', '-o', 'json')).find(
          (one: { status: { 'external-identifiers': { 'pod-name': string } } }) =>
            one.status['external-identifiers']['pod-name'] === 'default/backend',
        );
        const url = `http://${backend.status.networking.addressing[0].ipv4}:8080/`;
        expect(succeed('exec', 'frontend', '--', 'cilium', 'sandbox-get', url)).toContain(
          'hello from default/backend',
        );
        expect(
          cilium('exec', 'default/intruder', '--', 'cilium', 'sandbox-get', '--timeout=300', url)
            .code,
        ).toBe(1);
        expect(cilium('exec', 'frontend', '--', 'sh', '-c', 'exit 7').code).toBe(7);
        expect(cilium('exec', 'nobody', '--', 'true').stderr).toContain('default/frontend');

        const down = succeed('down');
        expect(down).toContain('The host is as it was before.');
        expect(host()).toEqual(before);
      },
      demoTimeoutMs,
    );
  }

  test(
    'an agent that was killed is no obstacle',
    () => {
      succeed('up');
      const { agentPid } = JSON.parse(readFileSync('/run/cilium/demo/sandbox.json', 'utf8'));
      process.kill(agentPid, 'SIGKILL');
      const { code, stderr } = cilium('status');
      expect(code).toBe(1);
      expect(stderr).toContain('Is the agent running?');
      expect(succeed('down')).toContain('The host is as it was before.');
      expect(host()).toEqual(before);
    },
    demoTimeoutMs,
  );

  test(
    'interrupted or killed at any moment, down leaves nothing',
    async () => {
      for (let round = 0; round < interruptions; round++) {
        const child = Bun.spawn([...command, 'demo'], {
          stdin: 'ignore',
          stdout: 'ignore',
          stderr: 'ignore',
          detached: true,
        });
        await Bun.sleep(Math.random() * 1500);
        child.kill(round % 3 === 2 ? 'SIGKILL' : 'SIGINT');
        await child.exited;
        if (round % 3 !== 2 && child.exitCode !== 0)
          expect(existsSync('/run/cilium/demo')).toBe(false);
        succeed('down');
        expect(host()).toEqual(before);
      }
    },
    demoTimeoutMs * 4,
  );

  test('down without a sandbox says so', () => {
    expect(succeed('down')).toContain('There is no sandbox');
  });
});
