/**
 * @module
 * argv, or the name that the executable is called by, → one command, loaded
 * when it is needed. A CNI call lives for milliseconds, so nothing else is
 * imported here.
 */
import { writeSync } from 'node:fs';
import type { Command } from './cmd/command.ts';
import { nearest } from './cmd/nearest.ts';

/** Runs with the arguments after its name and returns the exit code. */
type Run = (argv: readonly string[]) => number | Promise<number>;

interface Entry {
  readonly group: 'Run it here' | 'Look' | 'Parts of a cluster' | 'Other';
  readonly summary: string;
  /** Works, but is not offered. */
  readonly hidden?: boolean;
  readonly load: () => Promise<Run>;
}

/** One entry for each command of src/cmd. */
const commands: Readonly<Record<string, Entry>> = {
  demo: {
    group: 'Run it here',
    summary: 'Three pods, two policies, traffic and flows, on this machine',
    load: tree(() => import('./cmd/demo.ts')),
  },
  up: {
    group: 'Run it here',
    summary: 'A node of its own on this machine: namespaces, agent, pods',
    load: tree(() => import('./cmd/up.ts')),
  },
  exec: {
    group: 'Run it here',
    summary: 'Run a command inside a pod of the sandbox',
    load: tree(() => import('./cmd/exec.ts')),
  },
  down: {
    group: 'Run it here',
    summary: 'Remove what up and demo made',
    load: tree(() => import('./cmd/down.ts')),
  },
  status: {
    group: 'Look',
    summary: 'Whether the agent of this node is well',
    load: tree(() => import('./cmd/status.ts')),
  },
  hubble: {
    group: 'Look',
    summary: 'Flows: what the network does, and which policy decided it',
    load: async () => {
      const { runHubble } = await import('./cmd/hubble.ts');
      return (argv) => runHubble(argv);
    },
  },
  policy: {
    group: 'Look',
    summary: 'What policies allow and why: check, explain, compare, try, suggest',
    load: tree(() => import('./cmd/policy.ts')),
  },
  dbg: {
    group: 'Look',
    summary: 'Endpoints, identities, policies and eBPF maps of this node',
    load: tree(() => import('./cmd/dbg.ts')),
  },
  agent: {
    group: 'Parts of a cluster',
    summary: 'The agent, one a node',
    load: async () => (await import('./cmd/agent.ts')).runAgent,
  },
  cni: {
    group: 'Parts of a cluster',
    summary: 'The CNI plugin, called by the container runtime',
    // Not a tree of commands: a call of the plugin has no time for that.
    load: async () => {
      const { runCni } = await import('./cmd/cni.ts');
      return (argv) => runCni(process.env, argv[0]);
    },
  },
  completion: {
    group: 'Other',
    summary: 'Completion for bash, zsh or fish',
    load: tree(() => import('./cmd/completion.ts')),
  },
  features: {
    group: 'Other',
    summary: 'What this kernel can do',
    load: tree(() => import('./cmd/features.ts')),
  },
  version: {
    group: 'Other',
    summary: 'Print the version, and that of the agent',
    load: tree(() => import('./cmd/version.ts')),
  },
  '--version': {
    group: 'Other',
    summary: 'Print the version',
    hidden: true,
    load: async () => {
      const { versionLine } = await import('./version.ts');
      return () => print(`${versionLine()}\n`);
    },
  },
  'sandbox-get': {
    group: 'Other',
    summary: 'A connection, for the traffic of the demo',
    hidden: true,
    load: tree(() => import('./cmd/sandbox-get.ts')),
  },
  'sandbox-server': {
    group: 'Other',
    summary: 'What listens in the pods of a sandbox',
    hidden: true,
    load: tree(() => import('./cmd/sandbox-server.ts')),
  },
};

/** Names of links to the executable, and the command that each stands for. */
const roles: Readonly<Record<string, readonly string[]>> = {
  'cilium-agent': ['agent'],
  'cilium-cni': ['cni'],
  'cilium-dbg': ['dbg'],
  hubble: ['hubble'],
};

const examples = [
  ['cilium demo', 'three pods, two policies and their flows, on this machine'],
  ['cilium hubble observe --follow', 'what the network does, as it does it'],
  ['cilium dbg endpoint list', 'the pods of this node and their policies'],
] as const;

function tree(load: () => Promise<{ readonly command: Command }>): () => Promise<Run> {
  return async () => {
    const [{ command }, { runTree }] = await Promise.all([load(), import('./cmd/run-tree.ts')]);
    return (argv) => runTree(command, argv);
  };
}

function print(text: string): number {
  // Not process.stdout, which takes longer to load than the whole command.
  writeSync(1, text);
  return 0;
}

function helpText(): string {
  const lines = [
    'eBPF networking, network policy and flow visibility in one executable.',
    '',
    'Usage: cilium <command> [flags]',
  ];
  const names = Object.keys(commands);
  const width = Math.max(...names.map((name) => name.length));
  for (const group of new Set(Object.values(commands).map((entry) => entry.group))) {
    lines.push('', `${group}:`);
    for (const name of names) {
      const entry = commands[name];
      if (entry?.group === group && entry.hidden !== true)
        lines.push(`  ${name.padEnd(width)}  ${entry.summary}`);
    }
  }
  lines.push('', 'Examples:');
  for (const [command, what] of examples) lines.push(`  ${command.padEnd(32)}# ${what}`);
  lines.push('', "'cilium <command> --help' tells more about each.");
  return `${lines.join('\n')}\n`;
}

function unknown(name: string): number {
  const offered = Object.keys(commands).filter((known) => commands[known]?.hidden !== true);
  const meant = nearest(name, offered);
  const hint = meant === undefined ? "see 'cilium --help'" : `did you mean ${meant}?`;
  // Copied from who knows where: it must not speak to the terminal.
  const shown = name.replace(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, '?');
  writeSync(2, `cilium: unknown command "${shown}": ${hint}\n`);
  return 2;
}

async function main(): Promise<number> {
  const calledAs = process.argv0.slice(process.argv0.lastIndexOf('/') + 1);
  const argv = [...(roles[calledAs] ?? []), ...process.argv.slice(2)];
  const [name, ...rest] = argv;
  if (name === undefined || name === '--help' || name === '-h' || name === 'help') {
    return print(helpText());
  }
  const entry = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (entry === undefined) return unknown(name);
  const run = await entry.load();
  return await run(rest);
}

// Output is written by plain system calls, so nothing is lost; a connection left open would wait.
process.exit(await main());
