/**
 * @module
 * The agent as a program, alone in a network namespace: help, a second one, SIGTERM, the CNI
 * configuration, and its removal for good. Runs the built executable, or what CILIUM_EXE says.
 */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'bun:test';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';

const command = (process.env.CILIUM_EXE ?? join(import.meta.dir, '../../dist/cilium')).split(' ');
const namespace = `cilium-test-${process.pid}`;
const inside = ['nsenter', `--net=/run/netns/${namespace}`];
const startTimeoutMs = 10_000;
let folder = '';

function run(...argv: string[]) {
  const child = Bun.spawnSync([...inside, ...command, ...argv], { stdin: 'ignore' });
  return { code: child.exitCode, stdout: child.stdout.toString(), stderr: child.stderr.toString() };
}

function must(...argv: string[]): void {
  const child = Bun.spawnSync(argv, { stdout: 'pipe', stderr: 'pipe' });
  expect({ argv, said: child.stderr.toString() }).toEqual({ argv, said: '' });
}

const agentFlags = (name = 'agent') => [
  'agent',
  '--enable-k8s=false',
  `--state-dir=${folder}/${name}`,
  `--socket-path=${folder}/${name}.sock`,
  `--hubble-socket-path=${folder}/${name}-hubble.sock`,
  `--bpf-root=${folder}/${name}-bpf`,
  `--cgroup-root=${folder}/cgroup`,
  '--ipv4-range=10.99.0.0/24',
  '--ipv6-range=fd00:99::/120',
];

const running: Bun.Subprocess[] = [];

/** Starts an agent and waits until it says that it is well. */
async function start(flags = agentFlags()): Promise<Bun.Subprocess> {
  const child = Bun.spawn([...inside, ...command, ...flags], {
    stdin: 'ignore',
    stdout: 'ignore',
    stderr: Bun.file(join(folder, 'agent.log')),
  });
  running.push(child);
  const socket = flags.find((flag) => flag.startsWith('--socket-path='))?.split('=')[1] ?? '';
  const deadline = Date.now() + startTimeoutMs;
  while (run('status', '--brief', '--host', socket).code !== 0) {
    if (child.exitCode !== null || Date.now() > deadline) {
      throw new Error(`no agent: ${readFileSync(join(folder, 'agent.log'), 'utf8')}`);
    }
    await Bun.sleep(20);
  }
  return child;
}

function snapshot(): string {
  const sections = [
    ['ip', '-br', 'link'],
    ['ip', '-br', 'address'],
    ['ip', 'route', 'show', 'table', 'all'],
    ['ip', '-6', 'route', 'show', 'table', 'all'],
    [
      'sysctl',
      '-e',
      'net.ipv4.ip_forward',
      'net.ipv6.conf.all.forwarding',
      'net.ipv6.conf.lo.accept_ra',
    ],
  ];
  return sections.map((argv) => Bun.spawnSync([...inside, ...argv]).stdout.toString()).join('\n');
}

beforeAll(() => {
  must('ip', 'netns', 'add', namespace);
  must(...inside, 'ip', 'link', 'set', 'lo', 'up');
});
afterAll(() => must('ip', 'netns', 'del', namespace));
beforeEach(() => {
  folder = mkdtempSync('/tmp/cilium-test-agent-');
});
afterEach(async () => {
  for (const child of running.splice(0)) {
    child.kill('SIGKILL');
    await child.exited;
  }
  run(
    'dbg',
    `--bpf-root=${folder}/agent-bpf`,
    'post-uninstall-cleanup',
    '--all-state',
    '-f',
    `--state-dir=${folder}/agent`,
  );
  rmSync(folder, { recursive: true });
});

describe('agent', () => {
  test('help names every flag, with examples', () => {
    const { code, stdout } = run('agent', '--help');
    expect(code).toBe(0);
    for (const text of ['--static-cnp-path', '--bpf-root', 'EXAMPLES'])
      expect(stdout).toContain(text);
  });

  test('a wrong flag is one line and exit code 2', () => {
    const { code, stderr } = run('agent', '--stat-dir=/x');
    expect(stderr).toContain('state-dir');
    expect(stderr.trimEnd().split('\n').length).toBe(1);
    expect(code).toBe(2);
  });

  test('SIGTERM is a clean end: exit code 0, no socket, the next one starts at once', async () => {
    const first = await start();
    first.kill('SIGTERM');
    expect(await first.exited).toBe(0);
    expect(existsSync(`${folder}/agent.sock`)).toBe(false);
    const second = await start();
    second.kill('SIGTERM');
    expect(await second.exited).toBe(0);
  });

  test('a second one on the same socket or state directory is refused and harms nothing', async () => {
    const first = await start();
    const socket = run(
      ...agentFlags('other').filter((flag) => !flag.startsWith('--socket-path')),
      `--socket-path=${folder}/agent.sock`,
    );
    expect(socket.code).toBe(1);
    expect(socket.stderr).toContain('another agent is listening there');
    expect(existsSync(`${folder}/other-bpf/tc`)).toBe(false);
    const state = run(
      ...agentFlags('other').filter((flag) => !flag.startsWith('--state-dir')),
      `--state-dir=${folder}/agent`,
    );
    expect(state.code).toBe(1);
    expect(state.stderr).toContain(`in use by another agent (process ${first.pid})`);
    const cleanup = run(
      'dbg',
      `--bpf-root=${folder}/agent-bpf`,
      'post-uninstall-cleanup',
      '--all-state',
      '-f',
      `--state-dir=${folder}/agent`,
    );
    expect(cleanup.code).toBe(1);
    expect(run('status', '--brief', '--host', `${folder}/agent.sock`).stdout).toBe('OK\n');
    // The lock of a state directory is waited for, in case its holder is just ending.
  }, 20_000);

  test('writes the CNI configuration when it is ready, and says so', async () => {
    mkdirSync(`${folder}/net.d`);
    await Bun.write(`${folder}/net.d/10-other.conf`, '{}');
    await start([
      ...agentFlags(),
      `--write-cni-conf-when-ready=${folder}/net.d/05-cilium.conflist`,
      '--cni-exclusive=true',
    ]);
    expect(readdirSync(`${folder}/net.d`).sort()).toEqual([
      '05-cilium.conflist',
      '10-other.conf.cilium_bak',
    ]);
    const [plugin] = JSON.parse(readFileSync(`${folder}/net.d/05-cilium.conflist`, 'utf8')).plugins;
    expect(plugin).toMatchObject({ type: 'cilium-cni', 'cilium-sock': `${folder}/agent.sock` });
    expect(run('status', '--host', `${folder}/agent.sock`).stdout).toContain(
      `CNI Config file:        successfully wrote CNI configuration file to ${folder}/net.d/05-cilium.conflist`,
    );
  });

  test('the debug commands find the maps of the agent that they talk to', async () => {
    await start();
    const maps = run('dbg', '--host', `${folder}/agent.sock`, 'bpf', 'ipcache', 'list');
    expect(maps.stderr).toBe('');
    expect(maps.stdout).toContain('10.99.0.1/32');
    const byRest = run(
      'dbg',
      '--host',
      `${folder}/agent.sock`,
      'map',
      'get',
      'cilium_ipcache_v2',
      '-o',
      'json',
    );
    const entries: { key: string; value: string }[] = JSON.parse(byRest.stdout).cache;
    const direct = JSON.parse(
      run('dbg', '--host', `${folder}/agent.sock`, 'bpf', 'ipcache', 'list', '-o', 'json').stdout,
    );
    expect(Object.fromEntries(entries.map(({ key, value }) => [key, [value]]))).toEqual(direct);
  });

  test('post-uninstall-cleanup leaves the node as it was', async () => {
    const before = snapshot();
    const agent = await start();
    expect(snapshot()).not.toBe(before);
    agent.kill('SIGKILL');
    await agent.exited;
    const cleanup = run(
      'dbg',
      `--bpf-root=${folder}/agent-bpf`,
      'post-uninstall-cleanup',
      '--all-state',
      '-f',
      `--state-dir=${folder}/agent`,
    );
    expect(cleanup.stderr).toBe('');
    expect(cleanup.stdout).toContain('removed interface cilium_host');
    expect(cleanup.code).toBe(0);
    expect(snapshot()).toBe(before);
    expect(existsSync(`${folder}/agent`)).toBe(false);
    expect(readdirSync(`${folder}/agent-bpf`)).toEqual([]);
    expect(readFileSync('/proc/self/mountinfo', 'utf8')).not.toContain(folder);
  });
});
