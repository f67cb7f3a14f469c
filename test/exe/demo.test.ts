/**
 * @module
 * The first five minutes: demo, the commands that it offers, down, twice; and an interruption at any
 * moment. The host must be as it was. Runs the built executable, or what CILIUM_EXE says.
 */
import { afterEach, beforeAll, describe, expect, test } from 'bun:test';
import {
  copyFileSync,
  existsSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { runRoot } from '../../src/sandbox/paths.ts';
import { isSandboxLine, takeSnapshot } from '../../src/sandbox/snapshot.ts';

const command = (process.env.CILIUM_EXE ?? join(import.meta.dir, '../../dist/cilium')).split(' ');
const examples = join(import.meta.dir, '../../examples');
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

/** Process of the sandbox's agent. */
function agentOf(): number {
  return JSON.parse(readFileSync('/run/cilium/demo/sandbox.json', 'utf8')).agentPid;
}

/** What other tests make meanwhile aside: of shared places only what bears our name. */
function host() {
  return Object.fromEntries(
    Object.entries(takeSnapshot()).map(([category, lines]) => [
      category,
      lines.filter((line) => isSandboxLine(category, line)),
    ]),
  );
}

/** What a command that goes on prints first, while a pod makes connections. */
async function firstLine(argv: readonly string[]): Promise<string> {
  const child = Bun.spawn([...command, ...argv], { stdin: 'ignore' });
  const traffic = setInterval(
    () => cilium('exec', 'frontend', '--', 'cilium', 'sandbox-get', urlOf('backend')),
    500,
  );
  try {
    const reader = child.stdout.getReader();
    const { value } = await reader.read();
    return new TextDecoder().decode(value);
  } finally {
    clearInterval(traffic);
    child.kill('SIGINT');
    await child.exited;
  }
}

/** The server of a pod. */
function urlOf(name: string): string {
  const { pods } = JSON.parse(readFileSync('/run/cilium/demo/sandbox.json', 'utf8'));
  const pod = pods.find((one: { name: string }) => one.name === name);
  return `http://${pod.ipv4}:8080/`;
}

function until(condition: () => boolean): void {
  const deadline = Date.now() + 5000;
  while (!condition()) {
    if (Date.now() > deadline) throw new Error(`not in time: ${condition}`);
    Bun.sleepSync(20);
  }
}

let before: ReturnType<typeof host>;

describe('demo', () => {
  beforeAll(() => {
    expect({
      root: process.geteuid?.(),
      executable: existsSync(command[0]!) || Bun.which(command[0]!) !== null,
    }).toEqual({ root: 0, executable: true });
    cilium('down');
    // Removed with the last sandbox, unless an agent has something in it.
    if (existsSync(runRoot) && readdirSync(runRoot).length === 0) rmdirSync(runRoot);
    before = host();
  });
  afterEach(() => {
    cilium('down');
  });

  for (const round of [1, 2]) {
    test(
      `shows policies at work, then everything works without flags, then the host is as before (${round})`,
      () => {
        const output = succeed('demo');
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
    'every command that it offers works as it says',
    async () => {
      const offered = succeed('demo').split('Try:')[1] ?? '';
      const lines = [...offered.matchAll(/^ {2}\S*cilium (.*?) +# (.*)$/gm)];
      expect(lines.length).toBeGreaterThanOrEqual(7);
      for (const [, line = '', shows] of lines) {
        const argv = line.split(' ');
        if (argv.includes('-f')) expect(await firstLine(argv)).toContain('default/');
        else if (shows === 'denied') expect(cilium(...argv).code).not.toBe(0);
        else succeed(...argv);
      }
      expect(host()).toEqual(before);
    },
    demoTimeoutMs,
  );

  test(
    'where mounts are private and cgroup v2 is at /sys/fs/cgroup/unified',
    () => {
      const script = `set -e
        umount -R /sys/fs/cgroup
        mount -t tmpfs none /sys/fs/cgroup
        mkdir /sys/fs/cgroup/unified
        mount -t cgroup2 none /sys/fs/cgroup/unified
        "$@" demo >/dev/null
        test -d /sys/fs/cgroup/unified/cilium-demo/pod-default_frontend
        "$@" exec frontend -- cat /proc/self/cgroup
        "$@" down >/dev/null
        test ! -e /sys/fs/cgroup/unified/cilium-demo`;
      const child = Bun.spawnSync(
        ['unshare', '-m', '--propagation', 'private', 'sh', '-c', script, 'sh', ...command],
        { stdin: 'ignore' },
      );
      expect({ code: child.exitCode, said: child.stderr.toString() }).toEqual({
        code: 0,
        said: '',
      });
      expect(child.stdout.toString()).toContain('cilium-demo/pod-default_frontend');
      expect(host()).toEqual(before);
    },
    demoTimeoutMs,
  );

  test(
    'up with pods, the examples applied, a terminal through exec, state kept',
    () => {
      expect(succeed('up', '--pods', '2')).toContain('default/pod-2 attached');
      expect(succeed('exec', 'pod-1', '--', 'cilium', 'sandbox-get', urlOf('pod-2'))).toContain(
        'hello from default/pod-2',
      );
      for (const file of readdirSync(examples)) {
        copyFileSync(join(examples, file), join('/run/cilium/demo/policies', file));
      }
      const applied = () => JSON.parse(succeed('dbg', 'db', 'show', 'policy-files', '-o', 'json'));
      until(() => applied().rows.length === readdirSync(examples).length);
      for (const { status } of applied().rows) expect(status.kind).toBe('done');
      // default-deny holds for every pod.
      const get = ['sandbox-get', '--timeout=300', urlOf('pod-2')];
      until(() => cilium('exec', 'pod-1', '--', 'cilium', ...get).code === 1);
      const terminal = ['script', '-qec', `${command.join(' ')} exec pod-1 -- tty`, '/dev/null'];
      expect(Bun.spawnSync(terminal).stdout.toString()).toStartWith('/dev/pts/');

      writeFileSync('/run/cilium/demo/policies/bad.yaml', 'kind: Nonsense\n');
      until(() => cilium('status').stdout.includes('policy file bad.yaml'));
      expect(cilium('status').code).toBe(0);

      expect(succeed('down', '--keep-state')).toContain('The host is as it was before.');
      expect(existsSync('/run/cilium/demo/log/agent.log')).toBe(true);
      succeed('down');
      expect(host()).toEqual(before);
    },
    demoTimeoutMs,
  );

  test(
    'an interruption reaches the command of exec once, with a terminal and without',
    async () => {
      succeed('up', '--pods', '1');
      // Counts, and ends a moment after the first.
      const counts = `n=0; trap 'n=$((n+1))' INT; echo ready; while [ $n = 0 ]; do sleep 0.05; done
        sleep 0.3; echo counted $n; exit $n`;
      const exec = [...command, 'exec', 'pod-1', '--', 'sh', '-c', counts];
      const quoted = exec.map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(' ');
      // Not beside the shell of script, which the interruption would end.
      const terminal = ['script', '-qefc', `exec ${quoted}`, '/dev/null'];
      for (const [argv, interrupt] of [
        // As Ctrl-C does, which goes to all in the foreground.
        [terminal, (child) => child.stdin.write('\u0003')],
        // As a supervisor does, which knows the one process.
        [['setsid', ...exec], (child) => child.kill('SIGINT')],
      ] as const satisfies [string[], (child: Bun.Subprocess<'pipe', 'pipe'>) => unknown][]) {
        const child = Bun.spawn(argv, { stdin: 'pipe', stdout: 'pipe' });
        let output = '';
        for await (const piece of child.stdout.pipeThrough(new TextDecoderStream())) {
          if (output === '' && piece.includes('ready')) {
            interrupt(child);
            child.stdin.flush();
          }
          output += piece;
        }
        expect([await child.exited, output]).toEqual([1, expect.stringContaining('counted 1')]);
      }
      const sleeper = Bun.spawn(['setsid', ...command, 'exec', 'pod-1', '--', 'sleep', '60']);
      const children = () =>
        readFileSync(`/proc/${sleeper.pid}/task/${sleeper.pid}/children`, 'utf8').trim();
      until(() => children() !== '');
      sleeper.kill('SIGINT');
      expect(await sleeper.exited).toBe(130);
      succeed('down');
      expect(host()).toEqual(before);
    },
    demoTimeoutMs,
  );

  test('without root it says what it needs', () => {
    const nobody = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups'];
    for (const name of ['demo', 'up', 'down', 'agent']) {
      const { exitCode, stderr } = Bun.spawnSync([...nobody, ...command, name]);
      expect([exitCode, stderr.toString()]).toEqual([1, expect.stringContaining('takes root')]);
    }
  });

  test(
    'an agent that was killed is no obstacle',
    () => {
      succeed('up');
      process.kill(agentOf(), 'SIGKILL');
      const { code, stderr } = cilium('status');
      expect(code).toBe(1);
      expect(stderr).toContain('Is the agent running?');
      const policy = '/run/cilium/demo/policies/mine.yaml';
      copyFileSync(join(examples, 'default-deny.yaml'), policy);
      expect(succeed('up')).toContain('has taken over pods and policies');
      expect(existsSync(policy)).toBe(true);
      succeed('status');
      process.kill(agentOf(), 'SIGKILL');
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
