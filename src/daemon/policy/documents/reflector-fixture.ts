/**
 * @module
 * A policy reflector over a directory of its own, with its tables: for the tests of this folder.
 */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { clusterObjects } from '../../cluster/table.ts';
import { PolicyRevision, policyFiles, policyRules } from '../table.ts';
import { LastGoodPolicies } from './last-good.ts';
import { PolicyReflector } from './reflector.ts';

export const policy = (name: string, app = 'web') => `apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: ${name}}
spec:
  endpointSelector: {matchLabels: {app: ${app}}}
  ingress: [{}]
`;

export class ReflectorFixture implements Disposable {
  readonly root = mkdtempSync(join(tmpdir(), 'policy-'));
  readonly #running: PolicyReflector[] = [];

  /** A new agent; the one before has stopped. */
  start(directory = this.root, lastGood?: LastGoodPolicies) {
    this.stop();
    const rules = policyRules();
    const objects = clusterObjects();
    const files = policyFiles();
    const revision = new PolicyRevision();
    const batches: string[][] = [];
    const reflector = new PolicyReflector({
      directory,
      cluster: 'default',
      rules,
      objects,
      files,
      revision,
      ...(lastGood === undefined ? {} : { lastGood }),
      onApplied: (names) => batches.push([...names].sort()),
    });
    this.#running.push(reflector);
    reflector.start();
    const names = () => [...rules.all()].map((row) => row.name).sort();
    /** The names after every batch, without those that are like the ones before. */
    const states = [names().join()];
    rules.subscribe(() => {
      const state = names().join();
      if (state !== states.at(-1)) states.push(state);
    });
    const message = (name: string) => {
      const status = files.get(name)?.status;
      return status?.kind === 'error' ? status.message : undefined;
    };
    return { rules, objects, files, revision, batches, names, states, message };
  }

  stop(): void {
    for (const reflector of this.#running.splice(0)) reflector.stop();
  }

  /** What an agent with this state directory keeps. */
  lastGood(stateDirectory: string): LastGoodPolicies {
    return new LastGoodPolicies(stateDirectory, (error) => {
      throw error;
    });
  }

  [Symbol.dispose](): void {
    this.stop();
    rmSync(this.root, { recursive: true, force: true });
  }
}

export async function until(condition: () => boolean): Promise<void> {
  const deadline = performance.now() + 3000;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error('condition not met');
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}
