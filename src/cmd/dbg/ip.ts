/**
 * @module `dbg ip list|get`: the agent's address cache by REST, with labels looked up per identity.
 */
import { parseAddress } from '../../net/address.ts';
import { comparePrefixes, type Prefix, parsePrefix } from '../../net/prefix.ts';
import type { Command, Invocation } from '../command.ts';
import type { Flag } from '../flags.ts';
import { outputFlag } from '../rendering.ts';
import { formatLines } from '../text-table.ts';
import type { IdentityModel, IpEntry } from './models.ts';
import { openSession, printValue, type Session } from './session.ts';

const numericFlag: Flag = {
  name: 'numeric',
  short: 'n',
  kind: 'boolean',
  help: 'print numeric identities',
};
const verboseFlag: Flag = {
  name: 'verbose',
  short: 'v',
  kind: 'boolean',
  help: 'print all fields',
};

export const ipCommand: Command = {
  name: 'ip',
  summary: 'Manage IP addresses and associated information',
  commands: [
    {
      ...ipShow('list', 'List IP addresses in the userspace IPcache'),
      examples: [['cilium dbg ip list', 'the identity of every address']],
    },
    {
      ...ipShow('get', 'Display IP Information'),
      positionals: [{ name: 'cidr', help: 'an address, or a prefix such as 10.244.0.0/24' }],
      examples: [['cilium dbg ip get 10.244.0.2', 'one of them']],
    },
  ],
};

interface Listing {
  readonly entries: readonly IpEntry[];
  /** Undefined: identities print as numbers. */
  readonly labels: ReadonlyMap<number, readonly string[]> | undefined;
}

function ipShow(name: string, summary: string): Command {
  return {
    name,
    summary,
    flags: [numericFlag, verboseFlag, outputFlag],
    run: async (invocation) => {
      const { entries, labels } = await fetchListing(invocation);
      const verbose = invocation.flags.boolean('verbose');
      return printValue(invocation, entries, () => formatIpList(entries, labels, verbose));
    },
  };
}

async function fetchListing(invocation: Invocation): Promise<Listing> {
  const session = openSession(invocation);
  const entries = sortEntries(await fetchEntries(session, invocation.args[0]));
  const numbers =
    invocation.flags.boolean('numeric') || invocation.flags.string('output') !== undefined;
  return { entries, labels: numbers ? undefined : await identityLabels(session) };
}

async function fetchEntries({ client }: Session, cidr: string | undefined): Promise<IpEntry[]> {
  if (cidr === undefined) return client.get('/ip');
  const family = parseAddress(cidr)?.family;
  const prefix = family === undefined ? cidr : `${cidr}/${family === 6 ? 128 : 32}`;
  if (!prefix.includes('/') || parsePrefix(prefix) === undefined) {
    throw new Error(`Unable to parse CIDR "${cidr}": invalid CIDR address: ${cidr}`);
  }
  return client.get(`/ip?cidr=${encodeURIComponent(prefix)}`, {
    route: '/ip',
    answer: 'getIpNotFound',
  });
}

/** Labels by identity, of all that the agent knows. */
export async function identityLabels({ client }: Session): Promise<Map<number, readonly string[]>> {
  const list = await client.get<IdentityModel[]>('/identity');
  return new Map(list.map((one) => [one.id ?? 0, one.labels ?? []]));
}

/** Shorter prefixes first, then IPv4 before IPv6, then by address. */
export function sortEntries(entries: readonly IpEntry[]): IpEntry[] {
  const keyed = entries.map((entry) => ({ entry, prefix: parsePrefix(entry.cidr ?? '') }));
  keyed.sort((a, b) => order(a.prefix, b.prefix));
  return keyed.map(({ entry }) => entry);
}

/** What does not parse goes last. */
function order(a: Prefix | undefined, b: Prefix | undefined): number {
  if (a === undefined || b === undefined) return Number(a === undefined) - Number(b === undefined);
  return a.length - b.length || a.family - b.family || comparePrefixes(a, b);
}

/** With `labels` undefined identities print as numbers. */
export function formatIpList(
  entries: readonly IpEntry[],
  labels: ReadonlyMap<number, readonly string[]> | undefined,
  verbose: boolean,
): string {
  const header = ['IP', 'IDENTITY', 'SOURCE', ...(verbose ? ['HOST', 'ENCRYPT_KEY'] : [])];
  const lines = entries.flatMap((entry) => {
    const names = labels?.get(entry.identity ?? 0) ?? [String(entry.identity ?? 0)];
    const [first = '', ...rest] = labels === undefined ? names : [...names].sort();
    const extra = verbose ? [entry.hostIP ?? '', String(entry.encryptKey ?? 0)] : [];
    return [
      [entry.cidr ?? '', first, entry.metadata?.source ?? '', ...extra],
      ...rest.map((label) => ['', label, '']),
    ];
  });
  return formatLines([header, ...lines]);
}
