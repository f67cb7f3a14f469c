/**
 * @module `cilium policy`: what policies mean, from files or from the agent of this machine, by the
 * compiler that agents use. Nothing is applied. The parts load when they run.
 */
import type { Command } from './command.ts';
import { podWords } from './live-words.ts';
import {
  auditNotes,
  exitNotes,
  externalFlag,
  fileFlag,
  ipv4Flag,
  ipv6Flag,
  namespaceFlag,
  sourceFlags,
} from './policy/options.ts';
import { validateCommand } from './policy/validate-command.ts';
import { outputFlag } from './rendering.ts';

const whyCommand: Command = {
  name: 'why',
  summary: 'One connection: the verdict, the rules behind it, and what would change it',
  positionals: [
    {
      name: 'from',
      help: 'namespace/pod, pod, node, address, host, or world: one address that nobody has',
      live: podWords,
    },
    {
      name: 'to',
      help: 'the same, with :PORT/PROTO: a number, the name of a port, or icmp/TYPE',
      live: podWords,
    },
  ],
  flags: [
    ...sourceFlags,
    namespaceFlag,
    ipv4Flag,
    ipv6Flag,
    {
      name: 'suggest',
      kind: 'boolean',
      help: 'print the rule that would allow it, as YAML; without a port, for every port',
    },
    outputFlag,
  ],
  examples: [
    ['cilium policy why frontend backend:8080/tcp', 'two pods of this node'],
    ['cilium policy why -f cluster/ shop/web db/pg:5432', 'from manifests alone'],
    ['cilium policy why frontend world:443', 'to somewhere outside'],
    [
      'cilium policy why -f cluster/ --node one --enable-host-firewall world host:22',
      "the node's own policy",
    ],
    ['cilium policy why -f cluster/ 192.0.2.7 shop/web:icmp', 'a ping from an address outside'],
    ['cilium policy why frontend backend', 'which ports are open'],
  ],
  notes: `${auditNotes}\n${exitNotes}`,
  run: async (invocation) => (await import('./policy/why.ts')).why(invocation),
};

const judgedNotes =
  'Judged is every pair of pods and, unless --external says otherwise, of a pod and world (one address of each family that nobody has), and of a pod and one address in each block that a rule of either side names, if these are 16 blocks at most. Nodes and the host only with --external.';

const diffCommand: Command = {
  name: 'diff',
  summary: 'Which connections a change of policies opens and closes',
  positionals: [
    { name: 'old', help: 'file or folder', optional: true },
    { name: 'new', help: 'file or folder', optional: true },
  ],
  flags: [
    {
      ...fileFlag,
      help: 'without OLD and NEW: policies to put over those of the agent; repeatable',
    },
    ...sourceFlags.slice(1),
    {
      ...externalFlag,
      help: `${externalFlag.help}; in place of those outside that are judged without it`,
    },
    ipv4Flag,
    ipv6Flag,
    outputFlag,
  ],
  examples: [
    ['cilium policy diff before/ after/', 'two sets of manifests; the pods may be in either'],
    ['cilium policy diff -f stricter.yaml', 'what the agent has, with this policy applied'],
    ['cilium policy diff old/ new/ --external 192.0.2.7', 'and one address outside'],
  ],
  notes: `${judgedNotes}\n${exitNotes}`,
  run: async (invocation) => (await import('./policy/diff.ts')).diff(invocation),
};

const matrixCommand: Command = {
  name: 'matrix',
  summary: 'The verdict on every pair of pods and outside addresses',
  flags: [
    ...sourceFlags,
    {
      name: 'port',
      short: 'p',
      kind: 'strings',
      hint: 'PORT/PROTO',
      help: 'a port, such as 80/TCP, http or icmp/8; may be repeated (default 80/TCP)',
    },
    externalFlag,
    { ...namespaceFlag, help: 'only pods of this namespace' },
    ipv4Flag,
    ipv6Flag,
    {
      name: 'output',
      short: 'o',
      kind: 'string',
      hint: 'table|list|json|jsonl',
      help: 'form (default table)',
    },
  ],
  examples: [
    ['cilium policy matrix -f cluster/', 'a grid for port 80'],
    [
      'cilium policy matrix -f cluster/ --external 192.0.2.7 -p 80/TCP -p 53/UDP -o jsonl',
      'a row for each pair and port',
    ],
    ['cilium policy matrix -p icmp', 'who can ping whom on this node'],
  ],
  notes: `${auditNotes}\n${exitNotes}`,
  run: async (invocation) => (await import('./policy/matrix.ts')).matrix(invocation),
};

const flowsFlags = [
  {
    name: 'flows',
    kind: 'string',
    hint: 'file',
    help: 'flows as `hubble observe --all -o json` prints them, - for standard input',
  },
  { name: 'last', kind: 'number', help: 'the latest flows of the running Hubble, at most so many' },
  {
    name: 'server',
    kind: 'string',
    help: 'with --last: the Hubble server (default: as hubble observe)',
  },
] as const;

const simulateCommand: Command = {
  name: 'simulate',
  summary: 'Recorded flows against policies that are not applied',
  flags: [
    { ...fileFlag, help: 'the policies to try, over those of the agent or of --base; repeatable' },
    {
      name: 'base',
      kind: 'strings',
      hint: 'path',
      help: 'manifests in place of what the agent has',
    },
    ...sourceFlags.slice(1),
    ...flowsFlags,
    outputFlag,
  ],
  examples: [
    ['cilium policy simulate -f deny.yaml --last 1000', 'would it have cut anything?'],
    [
      'cilium hubble observe --all --namespace shop -o json | cilium policy simulate -f deny.yaml --flows -',
      'any selection of flows; without --all, the latest 20',
    ],
    ['cilium policy simulate --base cluster/ -f deny.yaml --flows flows.json', 'without an agent'],
  ],
  notes: exitNotes,
  run: async (invocation) => (await import('./policy/simulate.ts')).simulate(invocation),
};

const suggestCommand: Command = {
  name: 'suggest',
  summary: 'The least policies that admit the flows that were observed',
  flags: [
    ...flowsFlags,
    { ...namespaceFlag, help: 'policies for pods of this namespace only' },
    {
      name: 'kind',
      kind: 'string',
      hint: 'cnp|netpol',
      help: 'CiliumNetworkPolicy or NetworkPolicy (default cnp)',
    },
    {
      name: 'direction',
      kind: 'string',
      hint: 'ingress|egress|both',
      help: 'sides to write (default both)',
    },
    { name: 'include-denied', kind: 'boolean', help: 'admit what policy dropped, too' },
    outputFlag,
  ],
  examples: [
    ['cilium policy suggest --last 5000 > policies.yaml', 'from what the running Hubble has seen'],
    [
      'cilium policy suggest --flows flows.json -n shop --direction ingress',
      'one namespace, one side',
    ],
    ['cilium policy suggest --flows flows.json --kind netpol', 'as NetworkPolicies'],
  ],
  notes: exitNotes,
  run: async (invocation) => (await import('./policy/suggest.ts')).suggest(invocation),
};

export const command: Command = {
  name: 'policy',
  summary: 'What policies allow and why: check, explain, compare, try, suggest',
  commands: [
    validateCommand,
    whyCommand,
    diffCommand,
    matrixCommand,
    simulateCommand,
    suggestCommand,
  ],
};
