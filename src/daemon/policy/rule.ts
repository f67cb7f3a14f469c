/**
 * @module
 * What a person wrote, after parsing: plain rows without behaviour, so that they can be frozen and
 * sent to a worker. All kinds of policy have this one form. `parse/` makes it, `compile/resolve.ts` turns
 * its references into selectors, `compile/compiler.ts` reads the result, `format.ts` prints it.
 */

import type { Label } from '../identity/table.ts';

export type Direction = 'ingress' | 'egress';

export const directions: readonly Direction[] = ['ingress', 'egress'];

/** `pass` leaves the tier: the next one is asked (ClusterNetworkPolicy only). */
export type Action = 'allow' | 'deny' | 'pass';

/**
 * In the order in which they are asked. In `network` a deny beats every allow, and an endpoint with
 * a default deny gets no further; in the others the first rule that matches decides.
 */
export type Tier = 'admin' | 'network' | 'baseline';

export const tiers: readonly Tier[] = ['admin', 'network', 'baseline'];

export type PolicyKind =
  | 'CiliumNetworkPolicy'
  | 'CiliumClusterwideNetworkPolicy'
  | 'NetworkPolicy'
  | 'ClusterNetworkPolicy';

export type Operator = 'In' | 'NotIn' | 'Exists' | 'DoesNotExist';

/** One condition on an identity's labels. The source `any` matches every source. */
export interface Requirement {
  readonly source: string;
  readonly key: string;
  readonly operator: Operator;
  /** Sorted, each once; empty for Exists and DoesNotExist. */
  readonly values: readonly string[];
}

/** All requirements must hold; none means every identity. */
export interface Selector {
  /** The same for selectors that mean the same: requirements in order, as text. */
  readonly key: string;
  readonly requirements: readonly Requirement[];
  /** As written, keys with their source, for printing. */
  readonly matchLabels: Readonly<Record<string, string>>;
  readonly matchExpressions: readonly Requirement[];
}

/**
 * Whom an address block means. `outside`: only what no identity of the cluster has (CIDR rules of
 * the Cilium kinds); `address`: whoever has the address, pods and nodes included (ipBlock, networks,
 * nodes).
 */
export type CidrScope = 'outside' | 'address';

/** One peer as written. References are resolved against the objects that are known at the time. */
export type Peer =
  | { readonly kind: 'labels'; readonly selector: Selector }
  | {
      readonly kind: 'cidr';
      /** Canonical text, host bits cleared. */
      readonly cidr: string;
      /** Canonical, sorted, each inside `cidr`. */
      readonly except: readonly string[];
      readonly scope: CidrScope;
    }
  | {
      /** CiliumCIDRGroups by name or by label; every block of each, without `except`. */
      readonly kind: 'cidr-group';
      readonly name: string | undefined;
      readonly selector: Selector | undefined;
      readonly except: readonly string[];
    }
  | {
      /** Services by name or by label; `namespace` undefined is every namespace. */
      readonly kind: 'service';
      readonly namespace: string | undefined;
      readonly name: string | undefined;
      readonly selector: Selector | undefined;
    }
  | {
      /** The addresses of the nodes whose labels the selector matches (source `any` or `node`). */
      readonly kind: 'nodes';
      readonly selector: Selector;
    };

/** Destination ports of one protocol, by number. 0 to 65535 is every port of the protocol. */
export interface PortRange {
  /** IANA number: 6, 17, 132; 1 and 58 with the ICMP type as the port. */
  readonly proto: number;
  readonly first: number;
  readonly last: number;
}

/** A container port by name: that of the receiving pod, whatever number it has there. */
export interface NamedPort {
  readonly proto: number;
  readonly name: string;
}

export type PortMatch = PortRange | NamedPort;

/** One entry of an ingress or egress list. */
export interface RuleItem {
  /** Its list and place as a person finds it: `ingress[0]`, `egressDeny[2]`. */
  readonly path: string;
  /** The entry's own name (ClusterNetworkPolicy). */
  readonly name: string | undefined;
  readonly action: Action;
  /** Who is meant, any of them; an empty list is nobody. */
  readonly peers: readonly Peer[] | 'any';
  /** From `fromRequires` or `toRequires`: every peer that any rule allows must meet these. */
  readonly requires: readonly Selector[];
  /** Undefined is everything, ICMP included; an empty list is nothing. */
  readonly ports: readonly PortMatch[] | undefined;
  /** JSON text, as upstream prints it: `{"fromEndpoints":[...],"toPorts":[...]}`. */
  readonly written: string;
}

/** One `spec`, or one of the `specs`. */
export interface Rule {
  readonly tier: Tier;
  /** Within the tier, lower first; 0 in tier `network`. */
  readonly priority: number;
  /** `node`: the host endpoints of nodes, by the node's labels; else pods. */
  readonly subjectKind: 'endpoint' | 'node';
  readonly subject: Selector;
  readonly description: string | undefined;
  /** Those that the person gave; the policy's own are in the row. */
  readonly labels: readonly Label[];
  /** Per direction: whether endpoints that this rule selects refuse what nothing allows. */
  readonly defaultDeny: Readonly<Record<Direction, boolean>>;
  /** Undefined where the section is absent, and then the rule does not touch that direction. */
  readonly ingress: readonly RuleItem[] | undefined;
  readonly egress: readonly RuleItem[] | undefined;
}
