/**
 * @module `dbg bpf policy get|list`: compiled policies as the datapath sees them now, read from the
 * pinned maps (cilium_endpoints, cilium_policy_v2, cilium_policy_config, cilium_identity_class,
 * cilium_address_sets). Peers are classes in there: each prints as the identities and blocks that it
 * stands for, a group (asked when the peer's class has no entry) on one line. With an agent running,
 * identities print their labels and entries the names of the policies behind them.
 */

import { hex, protocolText } from '../../bpf/map/address-text.ts';
import { peerClassText } from '../../bpf/map/peer-class.ts';
import type { Command, Invocation } from '../command.ts';
import { endpointWords } from '../live-words.ts';
import { outputFlag } from '../rendering.ts';
import { formatTable } from '../text-table.ts';
import { type EndpointPolicy, type PolicyRow, readPolicies } from './bpf-policy-read.ts';
import { identityLabels } from './ip.ts';
import type { TableModel } from './models.ts';
import { findBpfRoot, openSession, printValue, type Session } from './session.ts';

/** Names for numbers, as far as an agent could be asked. */
export interface PolicyNames {
  /** Identity → labels. Undefined: print the number. */
  readonly labels: ReadonlyMap<number, readonly string[]> | undefined;
  /** Rule cookie → policies. */
  readonly rules: ReadonlyMap<number, string>;
}

const numericFlag = {
  name: 'numeric',
  short: 'n',
  kind: 'boolean',
  help: 'numbers instead of labels',
} as const;

export const bpfPolicyCommand: Command = {
  name: 'policy',
  summary: 'Manage policy related BPF maps',
  commands: [
    {
      name: 'get',
      summary: 'List contents of a policy BPF map',
      positionals: [
        { name: 'endpoint-id', help: 'as in `endpoint list`', optional: true, live: endpointWords },
      ],
      flags: [
        { name: 'all', kind: 'boolean', help: 'all endpoints (the default without an id)' },
        numericFlag,
        outputFlag,
      ],
      examples: [
        ['cilium dbg bpf policy get', 'every endpoint'],
        ['cilium dbg bpf policy get 335', 'one endpoint'],
        ['cilium dbg bpf policy get -n -o json', 'for programs'],
      ],
      run: getPolicy,
    },
    {
      name: 'list',
      summary: 'Dump all policy maps',
      flags: [numericFlag, outputFlag],
      examples: [['cilium dbg bpf policy list', 'every endpoint']],
      run: getPolicy,
    },
  ],
};

async function getPolicy(invocation: Invocation): Promise<number> {
  const session = openSession(invocation);
  const id = invocation.args[0];
  if (id !== undefined && !/^\d+$/.test(id)) throw new Error(`invalid endpoint id "${id}"`);
  const all = readPolicies(await findBpfRoot(invocation));
  const wanted = id === undefined ? all : all.filter((one) => one.endpointId === Number(id));
  if (id !== undefined && wanted.length === 0) {
    throw new Error(`no endpoint ${id} in the datapath's endpoint map`);
  }
  const names = await policyNames(session, invocation.flags.boolean('numeric'));
  const json = id === undefined ? wanted : (wanted[0]?.rows ?? []);
  return printValue(invocation, json, () =>
    id === undefined
      ? wanted.map((one) => formatPolicyOf(one, names)).join('\n\n')
      : formatPolicy(wanted[0]?.rows ?? [], names),
  );
}

/** An agent that does not answer is no reason not to show the maps. */
async function policyNames(session: Session, numeric: boolean): Promise<PolicyNames> {
  const labels = numeric ? undefined : await identityLabels(session).catch(() => undefined);
  return { labels, rules: await ruleNames(session) };
}

interface CookieModel {
  readonly cookie?: number;
  readonly policies?: readonly { readonly namespace?: string; readonly name?: string }[];
}

async function ruleNames({ client }: Session): Promise<Map<number, string>> {
  const names = new Map<number, string>();
  const table = await client.get<TableModel>('/statedb/policy-cookies').catch(() => undefined);
  for (const row of table?.rows ?? []) {
    const { cookie, policies } = row as CookieModel;
    const texts = (policies ?? []).map((one) => `${one.namespace ?? ''}/${one.name ?? ''}`);
    if (cookie !== undefined) names.set(cookie, [...new Set(texts)].join(','));
  }
  return names;
}

function formatPolicyOf(one: EndpointPolicy, names: PolicyNames): string {
  const problem = one.problem === undefined ? '' : `State: ${one.problem}\n`;
  return (
    `Endpoint ID: ${one.endpointId}\nPath: ${one.path}\n${problem}\n` +
    formatPolicy(one.rows, names)
  );
}

/** The table of one endpoint: denials first, then by direction, identity, protocol and port. */
export function formatPolicy(rows: readonly PolicyRow[], names: PolicyNames): string {
  const peerColumn = names.labels === undefined ? 'IDENTITY' : 'LABELS (source:key[=value])';
  const header = [
    'POLICY',
    'DIRECTION',
    peerColumn,
    'PORT/PROTO',
    'PROXY PORT',
    'AUTH TYPE',
    'BYTES',
    'PACKETS',
    'PREFIX',
    'RULES',
  ];
  const lines = [...rows].sort(byPrecedence).flatMap((row) => policyLines(row, names));
  return formatTable(header, lines);
}

function byPrecedence(a: PolicyRow, b: PolicyRow): number {
  return (
    Number(b.deny) - Number(a.deny) ||
    a.direction.localeCompare(b.direction) * -1 ||
    a.identity - b.identity ||
    a.addressSet - b.addressSet ||
    a.classId - b.classId ||
    a.proto - b.proto ||
    a.port - b.port
  );
}

function policyLines(row: PolicyRow, names: PolicyNames): string[][] {
  const [first = '', ...rest] = peerLabels(row, names);
  const direction = row.direction === 'ingress' ? 'Ingress' : 'Egress';
  const rule = row.cookie === 0 ? '-' : (names.rules.get(row.cookie) ?? hex(row.cookie, 8));
  const line = [
    verdictText(row),
    direction,
    first,
    portText(row),
    'NONE',
    'disabled',
    '-',
    '-',
    String(row.prefix),
    rule,
  ];
  return [line, ...rest.map((label) => ['', '', label, ...line.slice(3).map(() => '')])];
}

function verdictText({ deny, isDefault }: PolicyRow): string {
  if (!deny) return 'Allow';
  return isDefault ? 'Deny (default)' : 'Deny';
}

function peerLabels(row: PolicyRow, { labels }: PolicyNames): readonly string[] {
  if (row.group !== undefined) {
    return [`group ${peerClassText(row.classId)}: ${row.group.length} identities`];
  }
  const set = row.addressSet === 0 ? [] : addressLines(row);
  if (labels === undefined) return [String(row.identity), ...set];
  if (row.identity === 0) return ['ANY'];
  const known = labels.get(row.identity);
  const names = known === undefined || known.length === 0 ? [String(row.identity)] : known;
  return [...[...names].sort(), ...set];
}

/** Blocks shown of a set. */
const blocksMax = 8;

/** `in 10.0.0.0/8`, `except 10.1.0.0/16`; the number of a set that a change has just left empty. */
function addressLines({ addressSet, blocks }: PolicyRow): string[] {
  if (blocks === undefined) return [`addresses of set ${addressSet}`];
  const lines = [
    ...blocks.in.map((block) => `in ${block}`),
    ...blocks.except.map((block) => `except ${block}`),
  ];
  if (lines.length <= blocksMax) return lines;
  return [...lines.slice(0, blocksMax), `and ${lines.length - blocksMax} more blocks (-o json)`];
}

/** `8080/TCP`, `8080-8095/TCP`, `ANY/UDP`, `ANY`. */
function portText(row: PolicyRow): string {
  if (row.proto === 0) return 'ANY';
  const protocol = protocolText(row.proto);
  const free = 24 - row.prefix;
  if (free >= 16) return `ANY/${protocol}`;
  return free <= 0
    ? `${row.port}/${protocol}`
    : `${row.port}-${row.port + 2 ** free - 1}/${protocol}`;
}
