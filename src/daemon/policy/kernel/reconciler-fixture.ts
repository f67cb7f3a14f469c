/**
 * @module
 * An agent's policy over a kernel in memory, and the question what that says of everybody: for the
 * tests of this folder.
 */

import type { IdentityId } from '../../identity/table.ts';
import type { Someone } from '../compile/arbitrary.ts';
import { World } from '../compile/world-model.ts';
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

/** Tables, controller and reconciler, over what the kernel has already. */
export function startAgent<K extends KernelModel>(
  kernel: K,
  labels: ReadonlyMap<IdentityId, readonly string[]>,
  people: readonly Someone[],
  options: Pick<PolicyReconcilerOptions, 'lingerMs' | 'peersMax' | 'settleMs'> = {},
) {
  const world = new World(labels, people, kernel);
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
