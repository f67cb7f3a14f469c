/**
 * @module
 * What a person wrote, after parsing: plain rows without behaviour, so that they can be frozen and
 * sent to a worker. `parse.ts` makes them, `compiler.ts` and `format.ts` read them.
 */

import type { Label } from '../identity/table.ts';

export type Direction = 'ingress' | 'egress';

export const directions: readonly Direction[] = ['ingress', 'egress'];

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

/** A destination port range of one protocol; 0 to 65535 is every port. */
export interface PortRange {
  /** IANA number: 6 or 17. */
  readonly proto: number;
  readonly first: number;
  readonly last: number;
}

/** A port as written. `ANY` stands for both protocols. */
export interface Port {
  readonly port: number;
  readonly endPort: number | undefined;
  readonly protocol: 'TCP' | 'UDP' | 'ANY';
}

/** One entry of an ingress or egress list. */
export interface RuleItem {
  /** Its place in that list. */
  readonly item: number;
  readonly deny: boolean;
  /** Who is meant; an empty list is nobody. */
  readonly peers: readonly Selector[] | 'any';
  /** Undefined is everything, ICMP included. */
  readonly ports: readonly PortRange[] | undefined;
  /** As written. */
  readonly endpoints: readonly Selector[] | undefined;
  readonly entities: readonly string[] | undefined;
  readonly toPorts: readonly (readonly Port[])[] | undefined;
}

/** One `spec`, or one of the `specs`. */
export interface Rule {
  readonly subject: Selector;
  readonly description: string | undefined;
  /** Those that the person gave; the policy's own are in the row. */
  readonly labels: readonly Label[];
  /** Per direction: whether pods that this rule selects refuse what nothing allows. */
  readonly defaultDeny: Readonly<Record<Direction, boolean>>;
  /** Undefined where the section is absent, and then the rule does not touch that direction. */
  readonly ingress: readonly RuleItem[] | undefined;
  readonly egress: readonly RuleItem[] | undefined;
}
