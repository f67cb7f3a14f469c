/**
 * @module Observed flows, from lines of JSON (`hubble observe -o json`) or the running Hubble → connections
 * with their recorded verdict, each once. Replies and what is no connection are left out.
 */
import { DropReason, type Endpoint, type Flow, Verdict } from '../../api/gen/flow/flow.ts';
import { GetFlowsRequest, GetFlowsResponse } from '../../api/gen/observer/observer.ts';
import { printable } from '../../k8s/problem.ts';
import { formatAddress, parseAddress } from '../../net/address.ts';
import type { Invocation } from '../command.ts';
import { UsageError } from '../flags.ts';
import { InputError } from './options.ts';

export interface FlowEnd {
  /** `namespace/name`; empty for what is no pod. */
  readonly pod: string;
  readonly labels: readonly string[];
  readonly address: string;
}

/** A connection as it was seen, however often. */
export interface SeenConnection {
  readonly from: FlowEnd;
  readonly to: FlowEnd;
  readonly family: 4 | 6;
  readonly proto: number;
  /** The type for ICMP. */
  readonly port: number;
  /** By policy; the latest record counts. */
  readonly verdict: 'allowed' | 'denied';
  readonly flows: number;
}

export interface SeenFlows {
  readonly connections: readonly SeenConnection[];
  readonly read: number;
  /** Replies, and flows without a connection or a verdict of policy. */
  readonly skipped: number;
}

/** `1 flow`, `2 flows`. */
export function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? '' : 's'}`;
}

interface Tally {
  readonly first: SeenConnection;
  flows: number;
  verdict: 'allowed' | 'denied';
  /** Whether the verdict says it for both sides, or for the sender's only. */
  isWhole: boolean;
  /** The sides whose last word was a denial that is only audited: what it let through is no answer. */
  readonly audited: Set<number>;
}

/** Distinct connections kept; a flood of more is an error, not memory. */
const connectionsMax = 500_000;
const eventDrop = 1;
const eventTrace = 4;
const eventVerdict = 5;

/** What `--flows` or `--last` name. Throws `UsageError`, `InputError`. */
export async function readFlows(invocation: Invocation): Promise<SeenFlows> {
  const { flags } = invocation;
  const [path, last] = [flags.string('flows'), flags.number('last')];
  if ((path === undefined) === (last === undefined)) {
    throw new UsageError('either --flows FILE or --last NUMBER is needed');
  }
  const tallies = new Map<string, Tally>();
  let [read, skipped] = [0, 0];
  const take = ({ flow }: GetFlowsResponse) => {
    if (flow === undefined) return;
    read++;
    if (!tally(tallies, flow)) skipped++;
  };
  if (path !== undefined) await replay(path, take);
  else await observeLast(invocation, last ?? 0, take);
  const connections = [...tallies.values()].map(({ first, flows, verdict }) => ({
    ...first,
    flows,
    verdict,
  }));
  return { connections, read, skipped };
}

async function replay(path: string, take: (response: GetFlowsResponse) => void): Promise<void> {
  const { replayFlows } = await import('../hubble/input-file.ts');
  try {
    await replayFlows(path, GetFlowsRequest.fromPartial({}), take);
  } catch (error) {
    if (error instanceof Error && error.name === 'UsageError')
      throw new InputError([printable(error.message)]);
    throw error;
  }
}

async function observeLast(
  { flags }: Invocation,
  last: number,
  take: (response: GetFlowsResponse) => void,
): Promise<void> {
  const { HubbleClient, callError } = await import('../hubble/client.ts');
  const { defaultHubbleServer, parseServerAddress } = await import('../hubble/server-address.ts');
  const server = flags.string('server') ?? (await defaultHubbleServer());
  using client = new HubbleClient(parseServerAddress(server), connectMs, requestMs);
  await client.connected();
  const stream = client.flows(GetFlowsRequest.fromPartial({ number: BigInt(last) }));
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  stream.on('data', (bytes: Uint8Array) => {
    try {
      take(GetFlowsResponse.decode(bytes));
    } catch (error) {
      stream.cancel();
      reject(error);
    }
  });
  stream.on('error', (error) => reject(callError(error as Parameters<typeof callError>[0])));
  stream.on('end', resolve);
  await promise;
}

const connectMs = 5_000;
const requestMs = 12_000;

/** False if the flow says nothing about a connection's way there. */
function tally(tallies: Map<string, Tally>, flow: Flow): boolean {
  if (flow.is_reply === true || (flow.is_reply === undefined && flow.reply)) return false;
  const l4 = l4Of(flow);
  const evidence = evidenceOf(flow);
  const [source, destination] = [flow.IP?.source, flow.IP?.destination].map(canonical);
  if (l4 === undefined || evidence === undefined) return false;
  if (source === undefined || destination === undefined) return false;
  const [from, to] = [endOf(flow.source, source), endOf(flow.destination, destination)];
  const names = [from, to].map(({ pod, address }) => (pod === '' ? address : pod));
  const family = destination.includes(':') ? 6 : 4;
  const key = [...names, family, l4.proto, l4.port].join(' ');
  const known = tallies.get(key);
  if (known === undefined) {
    if (tallies.size >= connectionsMax) {
      throw new InputError([`more than ${connectionsMax} distinct connections: take fewer flows`]);
    }
    const { verdict, isWhole } = evidence;
    const first = { from, to, family, ...l4, verdict, flows: 1 } as const;
    const audited = new Set<number>();
    noteAudit(audited, flow);
    tallies.set(key, { first, flows: 1, verdict, isWhole, audited });
    return true;
  }
  known.flows++;
  noteAudit(known.audited, flow);
  if (evidence.verdict === 'allowed' && known.audited.size > 0) return true;
  // That the sender's side let it out says nothing against what the receiver's side said.
  if (evidence.isWhole || !known.isWhole) {
    known.verdict = evidence.verdict;
    known.isWhole = evidence.isWhole;
  }
  return true;
}

function noteAudit(audited: Set<number>, { verdict, event_type, traffic_direction }: Flow): void {
  if (verdict === Verdict.AUDIT) audited.add(traffic_direction);
  else if (event_type?.type === eventVerdict) audited.delete(traffic_direction);
}

/** What the flow says of policy; undefined if nothing. */
function evidenceOf(flow: Flow): Pick<Tally, 'verdict' | 'isWhole'> | undefined {
  const type = flow.event_type?.type ?? 0;
  if (![eventDrop, eventTrace, eventVerdict].includes(type)) return undefined;
  switch (flow.verdict) {
    case Verdict.FORWARDED:
    case Verdict.REDIRECTED: {
      // 2 is egress: the other side is still to be asked.
      const isWhole = type === eventTrace || flow.traffic_direction !== 2;
      return { verdict: 'allowed', isWhole };
    }
    case Verdict.AUDIT:
      return { verdict: 'denied', isWhole: true };
    case Verdict.DROPPED: {
      const reason = flow.drop_reason_desc || flow.drop_reason;
      const isPolicy = reason === DropReason.POLICY_DENIED || reason === DropReason.POLICY_DENY;
      return isPolicy ? { verdict: 'denied', isWhole: true } : undefined;
    }
    default:
      return undefined;
  }
}

function l4Of({ l4 }: Flow): { proto: number; port: number } | undefined {
  if (l4?.TCP !== undefined) return { proto: 6, port: l4.TCP.destination_port };
  if (l4?.UDP !== undefined) return { proto: 17, port: l4.UDP.destination_port };
  if (l4?.SCTP !== undefined) return { proto: 132, port: l4.SCTP.destination_port };
  if (l4?.ICMPv4 !== undefined) return { proto: 1, port: l4.ICMPv4.type };
  if (l4?.ICMPv6 !== undefined) return { proto: 58, port: l4.ICMPv6.type };
  return undefined;
}

function endOf(endpoint: Endpoint | undefined, address: string): FlowEnd {
  const { namespace = '', pod_name: name = '', labels = [] } = endpoint ?? {};
  return { pod: name === '' ? '' : `${namespace}/${name}`, labels, address };
}

function canonical(text: string | undefined): string | undefined {
  const address = parseAddress(text ?? '');
  return address && formatAddress(address);
}
