/**
 * @module
 * One question of the oracle's as a packet: which program sees it and where, what the packet is,
 * what the oracle expects of it, and what the program's event says, in the oracle's words.
 */
import { ruleNames } from '../../src/daemon/policy/explain/rule-name.ts';
import type { CookieRow } from '../../src/daemon/policy/table.ts';
import { requireAddress } from '../../src/net/address.ts';
import type { Cluster, Direction, NodeObject, PodObject, Query } from '../oracle/documents.ts';
import { judge, judgeHost, type SideVerdict } from '../oracle/oracle.ts';
import { objectsOf } from '../oracle/parties.ts';
import type { AgentModel } from './agent-model.ts';
import type { SeenEvent } from './fixture.ts';
import { echo, icmp, icmpError, sctp, tcp, udp } from './packet.ts';
import type { Passage, VerdictKernel } from './verdict-kernel.ts';

/** What one end's policy said; undefined where it was not asked, or is not enforced. */
interface AskedSide {
  readonly allowed: boolean;
  readonly rules: readonly string[];
}

export interface PacketVerdict {
  readonly allowed: boolean;
  /** Of a drop. */
  readonly reason: string | undefined;
  readonly egress: AskedSide | undefined;
  readonly ingress: AskedSide | undefined;
}

/** A question, and who its ends are to the local node. */
export interface VerdictCase {
  readonly query: Query;
  readonly from: End;
  readonly to: End;
  readonly passage: Passage;
}

interface End {
  readonly address: string;
  readonly kind: 'local' | 'host' | 'elsewhere';
  /** Of a pod here. */
  readonly ifindex: number;
}

const enabledAlways = 'implicit:enable-policy-always';
const echoTypes = { ICMP: { request: 8, reply: 0 }, ICMPv6: { request: 128, reply: 129 } } as const;

/** Makes cases of questions about one cluster, as seen from its local node. */
export class CaseMaker {
  readonly #cluster: Cluster;
  readonly #kernel: VerdictKernel;
  readonly #addresses = new Map<string, string>();
  readonly #devices = new Map<string, number>();
  readonly #host: readonly string[];

  constructor(cluster: Cluster, kernel: VerdictKernel, agent: AgentModel) {
    this.#cluster = cluster;
    this.#kernel = kernel;
    const nodes = objectsOf<NodeObject>(cluster, 'Node');
    this.#host = nodes
      .filter(({ metadata }) => metadata.name === cluster.config.localNode)
      .flatMap(({ status }) => status?.addresses ?? [])
      .filter(({ type }) => type !== 'Hostname')
      .map(({ address }) => address);
    for (const pod of objectsOf<PodObject>(cluster, 'Pod')) {
      const name = `${pod.metadata.namespace}/${pod.metadata.name}`;
      for (const { ip } of (pod.status?.podIPs ?? []).toReversed()) {
        this.#addresses.set(`${name} ${requireAddress(ip).family}`, ip);
      }
    }
    for (const { ipv4, ipv6, ifindex } of agent.tables.endpoints.all()) {
      for (const ip of [ipv4, ipv6]) if (ip !== undefined) this.#devices.set(ip, ifindex);
    }
  }

  /**
   * Undefined if no program of this node sees such a packet. With a host firewall, a question about
   * two ends elsewhere becomes one about this node.
   */
  caseOf(query: Query): VerdictCase | undefined {
    const from = this.#end(query.from, query);
    const to = this.#end(query.to, query);
    const passage = this.#passage(from, to);
    if (passage !== undefined) return { query, from, to, passage };
    if (from.kind !== 'elsewhere' || to.kind !== 'elsewhere') return undefined;
    const host = this.#host.find((one) => requireAddress(one).family === query.family);
    if (!this.#kernel.hostFirewall || host === undefined) return undefined;
    return this.caseOf(
      query.from.includes('/') ? { ...query, from: host } : { ...query, to: host },
    );
  }

  expected({ query, from, to }: VerdictCase): PacketVerdict {
    const verdict = judge(this.#cluster, query);
    const { family, protocol, port } = query;
    const ofNode = (peer: string, direction: Direction) =>
      judgeHost(this.#cluster, { peer, direction, family, protocol, port });
    const sideOf = (end: End, side: SideVerdict | undefined, peer: string, way: Direction) => {
      if (end.kind === 'local') return side;
      return end.kind === 'host' && this.#kernel.hostFirewall ? ofNode(peer, way) : undefined;
    };
    const egress = sideOf(from, verdict.egress, query.to, 'egress');
    // Denied on its way out, nobody else is asked.
    const ingress =
      egress?.allowed === false ? undefined : sideOf(to, verdict.ingress, query.from, 'ingress');
    const allowed = egress?.allowed !== false && ingress?.allowed !== false;
    const told = !allowed || !isError(query);
    return {
      allowed,
      reason: reasonOf(egress) ?? reasonOf(ingress),
      egress: told ? askedSide(egress) : undefined,
      ingress: told ? askedSide(ingress) : undefined,
    };
  }

  #end(name: string, { family }: Query): End {
    const address = this.#addresses.get(`${name} ${family}`) ?? name;
    const ifindex = this.#devices.get(address);
    if (ifindex !== undefined) return { address, kind: 'local', ifindex };
    return { address, kind: this.#host.includes(address) ? 'host' : 'elsewhere', ifindex: 0 };
  }

  #passage(from: End, to: End): Passage | undefined {
    if (from.kind === 'local') return { program: 'fromContainer', ifindex: from.ifindex };
    if (to.kind === 'local') return { program: 'toContainer', ifindex: to.ifindex };
    if (!this.#kernel.hostFirewall || from.kind === to.kind) return undefined;
    const ifindex = this.#kernel.fixture.ifindex.native;
    return { program: from.kind === 'host' ? 'toNetdev' : 'fromNetdev', ifindex };
  }
}

/** An error is judged when it is about nothing that is known; allowed, it is not told of. */
function isError({ protocol, port }: Query): boolean {
  return (protocol === 'ICMP' && port === 3) || (protocol === 'ICMPv6' && port < 128);
}

function askedSide(side: SideVerdict | undefined): AskedSide | undefined {
  return side?.enforced === true ? { allowed: side.allowed, rules: side.rules } : undefined;
}

function reasonOf(side: SideVerdict | undefined): string | undefined {
  if (side === undefined || side.allowed) return undefined;
  // A cause of a default deny has the direction for its path, a denying rule an item of a list.
  const isDefault = side.rules.every((rule) => rule === enabledAlways || !rule.endsWith(']'));
  return isDefault ? 'DROP_POLICY' : 'DROP_POLICY_DENY';
}

/** The connection's first packet. The number makes it a connection of its own, where one can. */
export function packetOf({ query, from, to }: VerdictCase, number: number): Uint8Array {
  const { protocol, port } = query;
  const ip = { from: from.address, to: to.address };
  const ports = { sport: number, dport: port };
  if (protocol === 'TCP') return tcp(ip, { ...ports, flags: 'S' });
  if (protocol === 'UDP') return udp(ip, ports);
  if (protocol === 'SCTP') return sctp(ip, ports);
  const { request, reply } = echoTypes[protocol];
  if (port === request) return echo(ip, { kind: 'request', id: number });
  if (port === reply) return echo(ip, { kind: 'reply', id: number });
  if (!isError(query)) return icmp(ip, port, 0, new Uint8Array(16));
  const quoted = udp({ from: ip.to, to: ip.from }, { sport: number, dport: number });
  return icmpError(ip, 'unreachable', quoted);
}

/** Messages that conntrack tells apart by their type only: a second one is not asked about. */
export function sharesConnection({ protocol, port }: Query): boolean {
  if (protocol !== 'ICMP' && protocol !== 'ICMPv6') return false;
  const { request, reply } = echoTypes[protocol];
  return port !== request && port !== reply && !isError({ protocol, port } as Query);
}

/** What was seen of a packet, with names in place of cookies. */
export function seenVerdict(
  passed: boolean,
  events: readonly SeenEvent[],
  cookieRow: (cookie: number) => CookieRow | undefined,
): PacketVerdict {
  const [event] = events;
  if (event === undefined) {
    const reason = passed ? undefined : 'dropped without an event';
    return { allowed: passed, reason, egress: undefined, ingress: undefined };
  }
  const kind = passed ? 'NEW' : 'DROP';
  if (events.length !== 1 || event.type !== kind)
    throw new Error(`events of one packet: ${JSON.stringify(events)}`);
  const side = (direction: Direction): AskedSide | undefined => {
    const word = direction.toUpperCase();
    const cookie = event.cookie[direction];
    if (!event.flags.includes(`${word}_JUDGED`)) {
      return cookie === 0 ? undefined : { allowed: true, rules: [`unasked: cookie ${cookie}`] };
    }
    const allowed = !event.flags.includes(`${word}_DENIED`);
    const isDefault = !allowed && event.reason === 'DROP_POLICY';
    return { allowed, rules: namesOf(cookieRow(cookie), direction, isDefault) };
  };
  return {
    allowed: passed,
    reason: event.reason,
    egress: side('egress'),
    ingress: side('ingress'),
  };
}

function namesOf(row: CookieRow | undefined, direction: Direction, isDefault: boolean): string[] {
  if (row === undefined) return ['a cookie that nobody knows'];
  if (row.direction !== direction) return [`a cookie of ${row.direction}`];
  const { policies } = row;
  return ruleNames({ enforced: true, allowed: !isDefault, isDefault, policies }, direction);
}
