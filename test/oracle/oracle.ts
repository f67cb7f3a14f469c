/**
 * @module The verdict on any connection of any cluster, worked out from the published meaning of
 * the policies, rule by rule and without anything of the agent's. Tests compare the agent with it.
 */
import { addCiliumPolicies } from './cilium-policies.ts';
import { clusterPolicyRules } from './cluster-policies.ts';
import type {
  CiliumPolicyObject,
  Cluster,
  ClusterPolicyObject,
  Direction,
  Family,
  NetworkPolicyObject,
  Protocol,
  Query,
} from './documents.ts';
import { addNetworkPolicies } from './network-policies.ts';
import { createDirectory, type Directory, objectsOf, type Party } from './parties.ts';
import { anyPort, type NetworkTier, type Rule } from './rules.ts';

/** What one end's policy says. */
export interface SideVerdict {
  /** Whether anything is written for this pod and direction. */
  readonly enforced: boolean;
  readonly allowed: boolean;
  /** Sorted names of the rules that decided, or of the policies behind a default deny. */
  readonly rules: readonly string[];
}

/** A side is undefined where its end is no pod with a policy of its own. */
export interface Verdict {
  readonly allowed: boolean;
  readonly egress: SideVerdict | undefined;
  readonly ingress: SideVerdict | undefined;
}

/** A question about the local node itself. */
export interface HostQuery {
  readonly peer: string;
  readonly direction: Direction;
  readonly family: Family;
  readonly protocol: Protocol;
  readonly port: number;
}

/** The rules of one subject and direction that are about one peer. */
interface View {
  readonly admin: readonly Rule[];
  readonly denies: readonly Rule[];
  readonly allows: readonly Rule[];
  readonly baseline: readonly Rule[];
}

interface Side extends View {
  readonly enforced: boolean;
  readonly causes: readonly string[];
  readonly views: Readonly<Record<Family, Map<Party, View>>>;
}

interface Prepared {
  readonly directory: Directory;
  readonly network: readonly NetworkPolicyObject[];
  readonly cilium: readonly CiliumPolicyObject[];
  readonly clusterWide: readonly ClusterPolicyObject[];
  readonly sides: Readonly<Record<Direction, Map<Party | undefined, Side>>>;
}

const prepared = new WeakMap<Cluster, Prepared>();
const unenforced: SideVerdict = { enforced: false, allowed: true, rules: [] };

/** Throws when an end is neither a pod nor an address, or has no address of the family. */
export function judge(cluster: Cluster, query: Query): Verdict {
  const world = prepare(cluster);
  const from = world.directory.resolve(query.from, query.family);
  const to = world.directory.resolve(query.to, query.family);
  const open = from === to || cluster.config.enablePolicy === 'never';
  const verdictOf = (subject: Party, peer: Party, direction: Direction) => {
    if (subject.kind !== 'pod') return undefined;
    return open ? unenforced : judgeSide(sideOf(world, subject, direction), peer, query, to);
  };
  const egress = verdictOf(from, to, 'egress');
  const ingress = verdictOf(to, from, 'ingress');
  return { allowed: egress?.allowed !== false && ingress?.allowed !== false, egress, ingress };
}

/** The local node's own policy: cluster-wide rules with a nodeSelector, and nothing else. */
export function judgeHost(cluster: Cluster, query: HostQuery): SideVerdict {
  if (cluster.config.enablePolicy === 'never') return unenforced;
  const world = prepare(cluster);
  const peer = world.directory.resolve(query.peer, query.family);
  const { family, protocol, port } = query;
  const flow = { from: query.peer, to: query.peer, family, protocol, port };
  // The node has no container ports, so a name means nothing on it.
  const node: Party = { kind: 'host', identityLabels: [], addresses: new Map() };
  const receiver = query.direction === 'ingress' ? node : peer;
  return judgeSide(sideOf(world, undefined, query.direction), peer, flow, receiver);
}

function prepare(cluster: Cluster): Prepared {
  let world = prepared.get(cluster);
  if (world === undefined) {
    world = {
      directory: createDirectory(cluster),
      network: objectsOf(cluster, 'NetworkPolicy'),
      cilium: [
        ...objectsOf<CiliumPolicyObject>(cluster, 'CiliumNetworkPolicy'),
        ...objectsOf<CiliumPolicyObject>(cluster, 'CiliumClusterwideNetworkPolicy'),
      ],
      clusterWide: objectsOf(cluster, 'ClusterNetworkPolicy'),
      sides: { ingress: new Map(), egress: new Map() },
    };
    prepared.set(cluster, world);
  }
  return world;
}

/** The subject is a pod, or the local node where there is none. */
function sideOf(world: Prepared, subject: Party | undefined, direction: Direction): Side {
  const known = world.sides[direction].get(subject);
  if (known !== undefined) return known;
  const side =
    subject === undefined ? hostSide(world, direction) : podSide(world, subject, direction);
  world.sides[direction].set(subject, side);
  return side;
}

function podSide(world: Prepared, subject: Party, direction: Direction): Side {
  const { pod, identityLabels: labels } = subject;
  if (pod === undefined) throw new Error('subject: no pod');
  const { config } = world.directory.cluster;
  const tier: NetworkTier = { denies: [], allows: [], causes: [], present: false };
  addNetworkPolicies(tier, world.network, pod, direction);
  addCiliumPolicies(tier, world.cilium, world.directory, { pod, labels }, direction);
  if (config.enablePolicy === 'always' && tier.causes.length === 0)
    tier.causes.push('implicit:enable-policy-always');
  if (direction === 'ingress' && config.allowLocalhost) tier.allows.push(localhostRule);
  const admin = clusterPolicyRules(world.clusterWide, 'Admin', pod, direction);
  const baseline = clusterPolicyRules(world.clusterWide, 'Baseline', pod, direction);
  const always = config.enablePolicy === 'always';
  const enforced = always || tier.present || admin.length > 0 || baseline.length > 0;
  return toSide(tier, admin, baseline, enforced);
}

const localhostRule: Rule = {
  name: 'implicit:allow-localhost-ingress',
  action: 'allow',
  matchesPeer: ({ kind }) => kind === 'host',
  matchesPort: anyPort,
};

function hostSide(world: Prepared, direction: Direction): Side {
  const tier: NetworkTier = { denies: [], allows: [], causes: [], present: false };
  const node = world.directory.localNode;
  addCiliumPolicies(tier, world.cilium, world.directory, { node }, direction);
  return toSide(tier, [], [], tier.present);
}

function toSide(
  tier: NetworkTier,
  admin: readonly Rule[],
  baseline: readonly Rule[],
  enforced: boolean,
): Side {
  const byName = (a: Rule, b: Rule) => (a.name < b.name ? -1 : 1);
  return {
    admin,
    denies: tier.denies.sort(byName),
    allows: tier.allows.sort(byName),
    baseline,
    enforced,
    causes: tier.causes.sort(),
    views: { 4: new Map(), 6: new Map() },
  };
}

function viewOf(side: Side, peer: Party, family: Family): View {
  let view = side.views[family].get(peer);
  if (view === undefined) {
    const about = (rules: readonly Rule[]) =>
      rules.filter((rule) => rule.matchesPeer(peer, family));
    view = {
      admin: about(side.admin),
      denies: about(side.denies),
      allows: about(side.allows),
      baseline: about(side.baseline),
    };
    side.views[family].set(peer, view);
  }
  return view;
}

function judgeSide(side: Side, peer: Party, query: Query, receiver: Party): SideVerdict {
  if (!side.enforced) return unenforced;
  const view = viewOf(side, peer, query.family);
  const matches = (rule: Rule) => rule.matchesPort(query, receiver);
  const decided = (allowed: boolean, rules: readonly string[]): SideVerdict => ({
    enforced: true,
    allowed,
    rules,
  });
  const admin = view.admin.find(matches);
  if (admin !== undefined && admin.action !== 'pass')
    return decided(admin.action === 'allow', [admin.name]);
  const denies = view.denies.filter(matches);
  if (denies.length > 0) return decided(false, namesOf(denies));
  const allows = view.allows.filter(matches);
  if (allows.length > 0) return decided(true, namesOf(allows));
  if (side.causes.length > 0) return decided(false, side.causes);
  const baseline = view.baseline.find(matches);
  if (baseline !== undefined && baseline.action !== 'pass')
    return decided(baseline.action === 'allow', [baseline.name]);
  return decided(true, []);
}

function namesOf(rules: readonly Rule[]): string[] {
  return rules.map(({ name }) => name);
}
