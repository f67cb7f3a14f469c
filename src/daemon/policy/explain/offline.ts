/**
 * @module
 * A cluster without a kernel: every pod gets its policy from the compiler that agents use, and any
 * two ends can be asked about. Made from documents or from what an agent has (`offline-model.ts`).
 * Behind `cilium policy`.
 */

import type { NodeObject } from '../../../k8s/object.ts';
import { type Family, formatAddress, parseAddress, requireAddress } from '../../../net/address.ts';
import { hostPrefix, prefixContains, requirePrefix } from '../../../net/prefix.ts';
import { clusterObjects } from '../../cluster/table.ts';
import {
  type IdentityId,
  identityHost,
  identityRemoteNode,
  worldIdentity,
} from '../../identity/table.ts';
import { spanOf } from '../compile/address-sets.ts';
import { type CompiledPolicy, PolicyCompiler } from '../compile/compiler.ts';
import { addressSetOf, type PeerNumber, peerNumber } from '../compile/peer.ts';
import { tableReferences } from '../compile/references.ts';
import { type References, resolveRule } from '../compile/resolve.ts';
import type { PeerClasses } from '../compile/selector-cache.ts';
import { verdictOf } from '../compile/verdict.ts';
import type { Direction } from '../rule.ts';
import { addressLabel } from '../selector.ts';
import {
  type CookiePolicy,
  type PolicyRuleRow,
  type PolicySubject,
  policySubject,
} from '../table.ts';
import { hostName, hostPrefixText, type OfflineModel, type OfflinePod } from './offline-model.ts';

/** One end of a connection. */
export interface End {
  /** `namespace/name` of a pod, the name of a node, `host`, `world`, else the address. */
  readonly name: string;
  readonly address: string;
  readonly family: Family;
  readonly identity: IdentityId;
  readonly pod: OfflinePod | undefined;
  /** Its policy; a pod has one, and the node if it is protected. */
  readonly subject: PolicySubject | undefined;
}

/** What one end's policy says about a connection. */
export interface SideVerdict {
  readonly enforced: boolean;
  readonly allowed: boolean;
  readonly isDefault: boolean;
  /** The rules that decided; for a default deny the policies that caused it. */
  readonly policies: readonly CookiePolicy[];
}

export interface PairVerdict {
  /** What policy says. */
  readonly allowed: boolean;
  /** Denied, and let through: each side that denies is only audited. */
  readonly audit: boolean;
  /** Undefined where the end has no policy. */
  readonly egress: SideVerdict | undefined;
  readonly ingress: SideVerdict | undefined;
}

const open: SideVerdict = { enforced: false, allowed: true, isDefault: false, policies: [] };
const itself: PairVerdict = { allowed: true, audit: false, egress: open, ingress: open };
/** For examples in documents: nobody's. The first that no rule names is `world`. */
const nobodys: Readonly<Record<Family, readonly string[]>> = {
  4: ['192.0.2.1', '198.51.100.1', '203.0.113.1', '233.252.0.1', '198.18.0.1', '8.8.4.4'],
  6: ['2001:db8::1', '3fff::1', '2001:db8:ffff::1', '2620:fe::9'],
};

/** Peers that policy cannot tell apart share a number. */
interface PeerSeen {
  readonly classes: PeerClasses;
  readonly index: number;
}

/** Subjects with the same rules share one. */
interface PolicySeen {
  readonly policy: CompiledPolicy;
  readonly index: number;
  readonly verdicts: Map<number, SideVerdict>;
}

export class OfflineCluster {
  readonly compiler: PolicyCompiler;
  readonly model: OfflineModel;
  readonly references: References;
  readonly #ends = new Map<string, End>();
  readonly #byAddress = new Map<string, End>();
  readonly #peers = new Map<string, PeerSeen>();
  readonly #seen = new WeakMap<End, PeerSeen>();
  readonly #policies = new Map<PolicySubject, PolicySeen>();
  readonly #contents = new Map<CompiledPolicy['entries'], PolicySeen>();
  readonly #hostSubject: PolicySubject | undefined;
  readonly #hostSources = new Map<Family, End>();
  readonly #nodeAt = new Map<string, string>();
  readonly #asSeen = new Map<string, End>();

  constructor(model: OfflineModel) {
    this.model = model;
    this.compiler = new PolicyCompiler(model.config);
    for (const { id, labels } of model.identities) this.compiler.upsertIdentity(id, labels);
    if (model.nodeLabels !== undefined) {
      this.#hostSubject = policySubject(identityHost, '');
      const { nodeLabels } = model;
      const local = { subject: this.#hostSubject, identity: identityHost, ports: '', nodeLabels };
      this.compiler.setLocal(local);
    }
    for (const { prefix, identity } of model.places) this.#place(prefix, identity);
    for (const pod of model.pods) this.#placePod(pod);
    for (const { name, addresses } of model.hostPods) {
      for (const address of addresses) {
        const end = this.#endAt(address);
        this.#ends.set(`${name} ${end.family}`, end);
      }
    }
    this.#nameNodes();
    const table = clusterObjects();
    for (const object of model.objects) table.upsert({ object, origin: '' });
    this.references = tableReferences(table);
    for (const row of model.rules) {
      this.compiler.upsertRule(row, resolveRule(row.rule, this.references));
    }
    this.compiler.compile();
  }

  /**
   * A pod by `namespace/name`, a node, an address, `host` or `world`, in a family. Undefined if there
   * is no such end. An address that nobody has is an end outside of the cluster.
   */
  end(name: string, family?: Family): End | undefined {
    const address = parseAddress(name);
    if (address !== undefined) {
      return family === undefined || family === address.family
        ? this.#endAt(formatAddress(address))
        : undefined;
    }
    for (const one of family === undefined ? ([4, 6] as const) : [family]) {
      const key = `${name} ${one}`;
      const found = this.#ends.get(key) ?? this.#special(name, one);
      if (found === undefined) continue;
      this.#ends.set(key, found);
      return found;
    }
    return undefined;
  }

  /** An end as it opens connections: the node does not use the address that it is asked by. */
  asSource(end: End): End {
    if (end.name !== hostName) return end;
    const known = this.#hostSources.get(end.family);
    if (known !== undefined) return known;
    const address = this.model.hostSources.find(
      (each) => requireAddress(each).family === end.family,
    );
    const source = address === undefined ? end : { ...this.#endAt(address), name: hostName };
    this.#hostSources.set(end.family, source);
    return source;
  }

  /** Whether there is a pod of this `namespace/name`, be it without an address. */
  has(name: string): boolean {
    const { pods, hostPods } = this.model;
    return pods.some((pod) => pod.name === name) || hostPods.some((pod) => pod.name === name);
  }

  hasNode(name: string): boolean {
    return this.#nodeOf(name) !== undefined;
  }

  #nodeOf(name: string): NodeObject | undefined {
    return this.model.objects.find(
      (one): one is NodeObject => one.kind === 'Node' && one.name === name,
    );
  }

  /** `port` is the ICMP type for ICMP. The answer is shared: nobody changes it. */
  judge(from: End, to: End, proto: number, port: number): PairVerdict {
    if (this.isItself(from, to)) return itself;
    const egress = this.#side('egress', from, to, proto, port);
    const ingress = this.#side('ingress', to, from, proto, port);
    const deniers = [
      ...(egress?.allowed === false ? [from] : []),
      ...(ingress?.allowed === false ? [to] : []),
    ];
    const allowed = deniers.length === 0;
    const audit = !allowed && deniers.every((end) => this.isAudited(end));
    return { allowed, audit, egress, ingress };
  }

  /** A pod reaches itself without leaving, and so does the node: no policy is asked. */
  isItself(from: End, to: End): boolean {
    if (from.pod !== undefined && from.name === to.name) return true;
    return from.identity === identityHost && to.identity === identityHost;
  }

  /** Whether what the end's policy denies goes on. */
  isAudited({ pod, subject }: End): boolean {
    return subject !== undefined && this.model.audited.has(pod?.name ?? hostName);
  }

  /** Ends with the same text are judged the same, as either end of a connection with another. */
  likeness(end: End, other: End): string {
    return `${this.#policyOf(end)?.index ?? ''} ${this.#peerOf(this.asSeenBy(other, end)).index}`;
  }

  /** A node is the host to the pods that run on it, and a remote node to all others. */
  asSeenBy({ pod }: End, peer: End): End {
    if (pod?.nodeName === undefined) return peer;
    if (peer.identity !== identityHost && peer.identity !== identityRemoteNode) return peer;
    // The host's own address may not be known.
    const node = peer.address === '' ? this.model.localNode : this.#nodeAt.get(peer.address);
    if (node === undefined) return peer;
    const identity = node === pod.nodeName ? identityHost : identityRemoteNode;
    if (identity === peer.identity) return peer;
    const key = `${peer.name} ${peer.address} ${peer.family}`;
    const seen = this.#asSeen.get(key) ?? { ...peer, identity };
    this.#asSeen.set(key, seen);
    return seen;
  }

  #nameNodes(): void {
    const { objects, hostPods } = this.model;
    for (const one of objects) {
      if (one.kind !== 'Node') continue;
      for (const address of one.addresses) this.#nodeAt.set(address, one.name);
    }
    for (const { addresses, nodeName } of hostPods) {
      if (nodeName === undefined) continue;
      for (const address of addresses) {
        if (!this.#nodeAt.has(address)) this.#nodeAt.set(address, nodeName);
      }
    }
    if (this.model.pods.every((pod) => pod.nodeName === undefined)) return;
    // Either may be asked about.
    for (const address of this.#nodeAt.keys()) {
      for (const identity of [identityHost, identityRemoteNode]) {
        this.compiler.place(hostPrefixText(address), identity);
      }
    }
  }

  /**
   * The rules for nodes that may speak about an end and were not asked: it is a node, and not the one
   * that a host firewall protects here.
   */
  unaskedOf({ identity, subject }: End, direction: Direction): readonly PolicyRuleRow[] {
    const isNode = identity === identityHost || identity === identityRemoteNode;
    if (!isNode || subject !== undefined) return [];
    return this.model.rules.filter(
      ({ rule }) => rule.subjectKind === 'node' && rule[direction] !== undefined,
    );
  }

  /** The rules that select an end. */
  rulesOf(end: End): readonly PolicyRuleRow[] {
    return end.subject === undefined ? [] : this.compiler.rulesOf(end.subject);
  }

  /** What selectors of peers are asked about an end: its identity's labels and its address. */
  peerLabels(end: End): readonly string[] {
    const { sets } = this.compiler;
    const isOutside = this.compiler.sideOf(end.identity) === 'outside';
    return [
      ...this.identityLabels(end),
      ...sets.labels(addressSetOf(this.#peerNumber(end))),
      ...(isOutside ? [addressLabel.outside] : []),
    ];
  }

  identityLabels(end: End): readonly string[] {
    return this.compiler.labels(end.identity) ?? [];
  }

  #side(
    direction: Direction,
    own: End,
    peer: End,
    proto: number,
    port: number,
  ): SideVerdict | undefined {
    const found = this.#policyOf(own);
    if (found === undefined) return undefined;
    const { policy, verdicts } = found;
    const enforced = direction === 'ingress' ? policy.ingressEnforced : policy.egressEnforced;
    if (!enforced) return open;
    const { classes, index } = this.#peerOf(this.asSeenBy(own, peer));
    const key = ((index * 2 + (direction === 'ingress' ? 1 : 0)) * 256 + proto) * 65536 + port;
    let side = verdicts.get(key);
    if (side === undefined) {
      const { allowed, isDefault, cookie } = verdictOf(policy, direction, classes, proto, port);
      const policies = this.compiler.cookies.row(cookie)?.policies ?? [];
      side = { enforced, allowed, isDefault, policies };
      if (verdicts.size >= verdictsMax) verdicts.clear();
      verdicts.set(key, side);
    }
    return side;
  }

  #policyOf({ subject }: End): PolicySeen | undefined {
    if (subject === undefined) return undefined;
    const known = this.#policies.get(subject);
    if (known !== undefined) return known;
    const policy = this.compiler.policy(subject);
    if (policy === undefined) return undefined;
    // The compiler gives equal policies the same list of entries.
    const seen = this.#contents.get(policy.entries) ?? {
      policy,
      index: this.#contents.size,
      verdicts: new Map(),
    };
    this.#contents.set(policy.entries, seen);
    this.#policies.set(subject, seen);
    return seen;
  }

  #peerNumber(end: End): PeerNumber {
    const { sets } = this.compiler;
    // The host's own address may not be known.
    const span = end.address === '' ? undefined : spanOf(hostPrefix(requireAddress(end.address)));
    return peerNumber(
      end.identity,
      span === undefined ? 0 : sets.setOf(span, this.compiler.sideOf(end.identity)),
    );
  }

  #peerOf(end: End): PeerSeen {
    let seen = this.#seen.get(end);
    if (seen !== undefined) return seen;
    const classes = this.compiler.selectors.classesOfPeer(this.#peerNumber(end));
    const key = `${classes.classId} ${classes.groupId}`;
    seen = this.#peers.get(key) ?? { classes, index: this.#peers.size };
    this.#peers.set(key, seen);
    this.#seen.set(end, seen);
    return seen;
  }

  #place(prefix: string, identity: IdentityId): void {
    this.compiler.place(prefix, identity);
    const { family, length, address } = requirePrefix(prefix);
    if (length !== (family === 4 ? 32 : 128)) return;
    const text = formatAddress(address);
    const subject = identity === identityHost ? this.#hostSubject : undefined;
    const end = { name: text, address: text, family, identity, pod: undefined, subject };
    this.#byAddress.set(text, end);
    const hostKey = `${hostName} ${family}`;
    if (identity === identityHost && !this.#ends.has(hostKey)) {
      this.#ends.set(hostKey, { ...end, name: hostName });
    }
  }

  #placePod(pod: OfflinePod): void {
    const { identity, ports, name } = pod;
    const subject = policySubject(identity, ports);
    this.compiler.setLocal({ subject, identity, ports });
    for (const address of pod.addresses) {
      const { family } = requireAddress(address);
      this.compiler.place(hostPrefixText(address), identity);
      this.compiler.setPodPorts(address, ports);
      const end: End = { name, address, family, identity, pod, subject };
      this.#byAddress.set(address, end);
      if (!this.#ends.has(`${name} ${family}`)) this.#ends.set(`${name} ${family}`, end);
    }
  }

  /** Whoever has the address; else outside, unless a wider place says otherwise. */
  #endAt(address: string): End {
    const known = this.#byAddress.get(address);
    if (known !== undefined) return known;
    const parsed = requireAddress(address);
    const { family } = parsed;
    let identity = worldIdentity(family, true);
    let longest = -1;
    for (const place of this.model.places) {
      const prefix = requirePrefix(place.prefix);
      if (prefix.family !== family || prefix.length <= longest) continue;
      if (!prefixContains(prefix, parsed)) continue;
      longest = prefix.length;
      identity = place.identity;
    }
    const end = { name: address, address, family, identity, pod: undefined, subject: undefined };
    this.#byAddress.set(address, end);
    return end;
  }

  #special(name: string, family: Family): End | undefined {
    if (name === hostName) {
      const subject = this.#hostSubject;
      return { name, address: '', family, identity: identityHost, pod: undefined, subject };
    }
    if (name !== 'world') {
      const address = this.#nodeOf(name)?.addresses.find(
        (each) => requireAddress(each).family === family,
      );
      return address === undefined ? undefined : { ...this.#endAt(address), name };
    }
    const [address = ''] = nobodys[family]
      .map((text) => ({ text, blocks: this.#blocksAround(text) }))
      .sort((a, b) => a.blocks - b.blocks)
      .map((each) => each.text);
    return { ...this.#endAt(address), name };
  }

  #blocksAround(address: string): number {
    return this.compiler.sets.labels(
      this.compiler.sets.setOf(spanOf(hostPrefix(requireAddress(address))), 'outside'),
    ).length;
  }
}

/** Verdicts kept of one policy. */
const verdictsMax = 65_536;
