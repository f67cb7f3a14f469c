/**
 * @module
 * An agent's policy over a kernel in memory, and the question what that says of everybody: for the
 * tests of this folder.
 */

import type { IdentityId } from '../../identity/table.ts';
import type { Someone } from '../compile/arbitrary.ts';
import { World } from '../compile/world-model.ts';
import type { RuleItem } from '../rule.ts';
import { selectorOf } from '../selector.ts';
import type { PolicyRuleRow } from '../table.ts';
import type { KernelModel } from './kernel-model.ts';
import { PolicyReconciler, type PolicyReconcilerOptions } from './reconciler.ts';

/** What packets are asked about: protocol and port. */
const questions = [
  [6, 80],
  [6, 8080],
  [6, 8083],
  [17, 80],
  [132, 1],
  [1, 8],
  [58, 128],
] as const;

/** The verdicts on all pairs of a slot and somebody, as one text: a letter each. */
export function verdicts(
  kernel: KernelModel,
  slots: readonly number[],
  people: readonly Someone[],
): string {
  let text = '';
  for (const slot of slots) {
    for (const peer of people) {
      for (const direction of ['ingress', 'egress'] as const) {
        for (const [proto, port] of questions) {
          text += kernel.judge(slot, direction, peer, proto, port);
        }
      }
    }
  }
  return text;
}

/** The states without those that are like the one before. */
export function changes(states: readonly string[]): string[] {
  return states.filter((state, at) => state !== states[at - 1]);
}

export type Agent = ReturnType<typeof startAgent>;

type AgentTimes = Pick<PolicyReconcilerOptions, 'lingerMs' | 'peersMax' | 'settleMs'> & {
  /** How long the controller keeps what is gone. */
  readonly graceMs?: number;
};

/** A rule for the pods with `app=own`: what comes in. */
export function ingressRule(items: readonly Pick<RuleItem, 'action' | 'peers'>[]): PolicyRuleRow {
  const ingress = items.map((item, index) => ({
    ...item,
    path: `ingress[${index}]`,
    name: undefined,
    requires: [],
    ports: undefined,
    written: '{}',
  }));
  return {
    key: 'rule',
    kind: 'CiliumNetworkPolicy',
    namespace: 'ns',
    name: 'rule',
    ruleIndex: 0,
    origin: 'test',
    labels: [],
    revision: 2,
    rule: {
      tier: 'network',
      priority: 0,
      subjectKind: 'endpoint',
      subject: selectorOf({ 'k8s:app': 'own' }),
      description: undefined,
      labels: [],
      defaultDeny: { ingress: true, egress: false },
      ingress,
      egress: undefined,
    },
  };
}

/** Tables, controller and reconciler, over what the kernel has already. */
export function startAgent<K extends KernelModel>(
  kernel: K,
  labels: ReadonlyMap<IdentityId, readonly string[]>,
  people: readonly Someone[],
  { graceMs = 0, ...options }: AgentTimes = {},
) {
  const world = new World(labels, people, kernel, graceMs);
  const reconciler = new PolicyReconciler({
    policies: world.tables.policies,
    peers: world.tables.peers,
    addressSets: world.tables.addressSets,
    target: kernel,
    initialized: Promise.resolve(),
    lingerMs: 0,
    settleMs: 0,
    ...options,
  });
  world.follow(reconciler);
  /** Computes, and returns when everything is in the kernel. */
  const settled = async () => {
    world.run();
    await world.settled();
  };
  return {
    kernel,
    world,
    settled,
    slots: () => world.local().map(({ slot }) => slot),
    async apply(rules: readonly PolicyRuleRow[]): Promise<void> {
      world.setRules(rules);
      await settled();
    },
    [Symbol.dispose]() {
      reconciler[Symbol.dispose]();
      world[Symbol.dispose]();
    },
  };
}
