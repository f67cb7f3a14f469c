/**
 * @module `dbg endpoint list|get|config|health|log|labels`: the agent's endpoints by REST.
 */
import type { Command, Invocation } from '../command.ts';
import type { Flag } from '../flags.ts';
import { UsageError } from '../flags.ts';
import { endpointWords } from '../live-words.ts';
import { goJson, outputFlag } from '../rendering.ts';
import { printOut } from '../terminal.ts';
import { formatLines } from '../text-table.ts';
import { formatOptions, wantedOptions } from './config.ts';
import type { EndpointHealth, EndpointLogEntry, EndpointModel } from './models.ts';
import { openSession, printValue, type Session, showCommand } from './session.ts';

export const noHeadersFlag: Flag = {
  name: 'no-headers',
  kind: 'boolean',
  help: 'do not print headers',
};

const labelsFlag: Flag = {
  name: 'labels',
  short: 'l',
  kind: 'strings',
  help: 'list of labels',
};

const withId = {
  positionals: [
    {
      name: 'endpoint-id',
      help: 'a number, or cni-attachment-id:… and the like',
      live: endpointWords,
    },
  ],
} as const;

export const endpointCommand: Command = {
  name: 'endpoint',
  summary: 'Manage endpoints',
  commands: [
    showCommand({
      name: 'list',
      examples: [
        ['cilium dbg endpoint list', 'the pods of this node'],
        ['cilium dbg endpoint list -o jsonpath={[*].id}', 'their numbers'],
      ],
      summary: 'List all endpoints',
      flags: [noHeadersFlag],
      doing: 'cannot get endpoint list',
      fetch: ({ client }) => client.get<EndpointModel[]>('/endpoint'),
      table: (list, { flags }) => formatEndpointList(list, !flags.boolean('no-headers')),
    }),
    showCommand({
      name: 'get',
      summary: 'Display endpoint information',
      positionals: [
        {
          name: 'endpoint-id',
          help: 'a number, or pod-name:namespace:name',
          optional: true,
          live: endpointWords,
        },
      ],
      examples: [
        ['cilium dbg endpoint get 335', 'everything about one endpoint'],
        ['cilium dbg endpoint get -l k8s:app=web', 'those with a label'],
      ],
      flags: [labelsFlag],
      doing: '',
      fetch: (session, { args, flags }) => getEndpoints(session, args[0], flags.strings('labels')),
      table: (value) => `${goJson(value, 2)}\n`,
    }),
    {
      name: 'config',
      summary: 'View & modify endpoint configuration',
      positionals: [
        ...withId.positionals,
        {
          name: 'option',
          help: 'PolicyAuditMode=Enabled or PolicyAuditMode=Disabled; the others are those of the agent',
          optional: true,
          many: true,
        },
      ],
      examples: [
        ['cilium dbg endpoint config 335', 'its options'],
        [
          'cilium dbg endpoint config 335 PolicyAuditMode=Enabled',
          'from now on, tell what policy would deny, and let it pass',
        ],
      ],
      flags: [outputFlag],
      run: configureEndpoint,
    },
    showCommand({
      name: 'health',
      examples: [['cilium dbg endpoint health 335', 'whether its datapath is in place']],
      summary: 'View endpoint health',
      ...withId,
      doing: 'Cannot get endpoint healthz',
      fetch: ({ client }, { args }) =>
        client.get<EndpointHealth>(`/endpoint/${encodeURIComponent(args[0] ?? '')}/healthz`, {
          route: '/endpoint/{id}/healthz',
          answer: 'getEndpointIdHealthzNotFound',
        }),
      table: formatEndpointHealth,
    }),
    showCommand({
      name: 'log',
      examples: [['cilium dbg endpoint log 335', 'the states it went through']],
      summary: 'View endpoint status log',
      ...withId,
      doing: 'Cannot get endpoint log',
      fetch: ({ client }, { args }) =>
        client.get<EndpointLogEntry[]>(`/endpoint/${encodeURIComponent(args[0] ?? '')}/log`, {
          route: '/endpoint/{id}/log',
          answer: 'getEndpointIdLogNotFound',
        }),
      table: formatEndpointLog,
    }),
    showCommand({
      name: 'labels',
      examples: [['cilium dbg endpoint labels 335', 'its identity labels']],
      summary: 'View the labels of an endpoint',
      ...withId,
      doing: 'Cannot get endpoint labels',
      fetch: ({ client }, { args }) =>
        client.get<LabelConfiguration>(`/endpoint/${encodeURIComponent(args[0] ?? '')}/labels`, {
          route: '/endpoint/{id}/labels',
          answer: 'getEndpointIdLabelsNotFound',
        }),
      table: formatEndpointLabels,
    }),
  ],
};

export interface LabelConfiguration {
  readonly status?: {
    readonly 'security-relevant'?: readonly string[];
    readonly disabled?: readonly string[];
  };
}

export interface EndpointConfiguration {
  readonly realized?: { readonly options?: Readonly<Record<string, string>> };
}

/** Shows the options of an endpoint, or changes those that are named. */
async function configureEndpoint(invocation: Invocation): Promise<number> {
  const { client } = openSession(invocation);
  const [id = '', ...args] = invocation.args;
  const path = `/endpoint/${encodeURIComponent(id)}/config`;
  const route = '/endpoint/{id}/config';
  const found = await client.get<EndpointConfiguration>(path, {
    route,
    answer: 'getEndpointIdConfigNotFound',
  });
  const known = found.realized?.options ?? {};
  if (args.length === 0) return printValue(invocation, found, () => formatOptions(known));
  const options = wantedOptions(known, args);
  await client.send({
    ...{ method: 'PATCH', path, route },
    body: { options },
    answer: 'patchEndpointIdConfigInvalid',
  });
  printOut(`Endpoint ${id} configuration updated successfully\n`);
  return 0;
}

async function getEndpoints(
  { client }: Session,
  id: string | undefined,
  labels: readonly string[],
): Promise<unknown[]> {
  if (id !== undefined && labels.length > 0) {
    throw new UsageError('cannot provide both an endpoint id and labels');
  }
  if (id === undefined) {
    if (labels.length === 0) throw new UsageError('missing argument: an endpoint id or labels');
    return client.get('/endpoint', {
      route: '/endpoint',
      answer: 'getEndpointNotFound',
      body: labels,
      method: 'GET',
    });
  }
  try {
    return [
      await client.get(`/endpoint/${encodeURIComponent(id)}`, {
        route: '/endpoint/{id}',
        answer: 'getEndpointIdNotFound',
      }),
    ];
  } catch (error) {
    if (error instanceof Error) error.message = `Cannot get endpoint ${id}: ${error.message}\n`;
    throw error;
  }
}

/** Sorted by id; one further line for each further label. */
export function formatEndpointList(list: readonly EndpointModel[], header = true): string {
  const lines: string[][] = [];
  if (header) {
    lines.push(
      [
        'ENDPOINT',
        'POLICY (ingress)',
        'POLICY (egress)',
        'IDENTITY',
        'LABELS (source:key[=value])',
        'IPv6',
        'IPv4',
        'STATUS',
        '',
      ],
      ['', 'ENFORCEMENT', 'ENFORCEMENT', '', '', '', '', '', ''],
    );
  }
  const sorted = [...list].sort((a, b) => (a.id ?? 0) - (b.id ?? 0));
  for (const endpoint of sorted) lines.push(...endpointLines(endpoint));
  return formatLines(lines);
}

function endpointLines({ id, status }: EndpointModel): string[][] {
  const identity = status?.identity;
  const labels = [...(status?.labels?.['security-relevant'] ?? identity?.labels ?? [])].sort();
  const addressing = status?.networking?.addressing?.[0];
  const policy = status?.policy?.realized ?? status?.policy?.spec;
  const [ingress, egress] = enforcement(policy?.['policy-enabled']);
  const first = [
    String(id ?? ''),
    ingress,
    egress,
    identity?.id === undefined ? '<no label id>' : String(identity.id),
    labels[0] ?? 'no labels',
    addressing?.ipv6 ?? '',
    addressing?.ipv4 ?? '',
    status?.state ?? '',
    '',
  ];
  return [first, ...labels.slice(1).map((label) => ['', '', '', '', label, '', '', '', ''])];
}

/** `none|ingress|egress|both`, each also with `audit-` before it. */
function enforcement(mode: string | undefined): [ingress: string, egress: string] {
  const audit = mode?.startsWith('audit-') === true;
  const kind = mode?.replace('audit-', '');
  const on = audit ? 'Disabled (Audit)' : 'Enabled';
  return [
    kind === 'ingress' || kind === 'both' ? on : 'Disabled',
    kind === 'egress' || kind === 'both' ? on : 'Disabled',
  ];
}

export function formatEndpointHealth(health: EndpointHealth): string {
  return formatLines([
    ['Overall Health:', health.overallHealth ?? ''],
    ['BPF Health:', health.bpf ?? ''],
    ['Policy Health:', health.policy ?? ''],
    ['Connected:', health.connected === true ? 'yes' : 'no'],
  ]);
}

export function formatEndpointLog(log: readonly EndpointLogEntry[]): string {
  return formatLines([
    ['Timestamp', 'Status', 'State', 'Message'],
    ...log.map((entry) => [
      entry.timestamp ?? '',
      entry.code ?? '',
      entry.state ?? '',
      entry.message ?? '',
    ]),
  ]);
}

export function formatEndpointLabels({ status }: LabelConfiguration): string {
  return formatLines([
    ...(status?.['security-relevant'] ?? []).map((label) => [label, 'Enabled']),
    ...(status?.disabled ?? []).map((label) => [label, 'Disabled']),
  ]);
}
