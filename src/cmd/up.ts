/**
 * @module `cilium up`: a sandbox without the demonstration: a node, a world, an agent, and as many plain
 * pods as asked for.
 */
import { nextCommands } from '../sandbox/demo.ts';
import { sandboxPaths } from '../sandbox/paths.ts';
import type { PodSpec } from '../sandbox/pod.ts';
import { readRecord } from '../sandbox/record.ts';
import { addPods, finishSandbox, startSandbox } from '../sandbox/sandbox.ts';
import type { Command } from './command.ts';
import { UsageError } from './flags.ts';
import { alreadyUp, buildOrRemove, requireRoot, sayStep, showNext } from './sandbox-steps.ts';

const podsMax = 200;

export const command: Command = {
  name: 'up',
  summary: 'A node of its own on this machine: namespaces, agent, pods',
  flags: [{ name: 'pods', kind: 'number', help: 'pods to attach, pod-1 to pod-N (default 0)' }],
  examples: [
    ['cilium up --pods 3', 'three pods that may talk to everybody'],
    ['cilium exec pod-1 -- cilium sandbox-get http://10.244.0.3:8080/', 'from one to the next'],
  ],
  run: async ({ flags }) => {
    requireRoot('up');
    const count = flags.number('pods') ?? 0;
    if (count > podsMax) throw new UsageError(`--pods ${count}: at most ${podsMax}`);
    const paths = sandboxPaths();
    if (await alreadyUp(paths)) {
      if (flags.number('pods') !== undefined) {
        throw new Error("--pods makes pods with a new sandbox only: run 'cilium down' first");
      }
      showNext(nextCommands(readRecord(paths)?.pods ?? []));
      return 0;
    }
    return buildOrRemove(paths, async (signal) => {
      const { agentPid } = await startSandbox(paths, sayStep, signal);
      const pods = await addPods(paths, agentPid, plainPods(count), sayStep, signal);
      finishSandbox(paths, agentPid, pods, signal);
      sayStep(`policies: put CiliumNetworkPolicy files into ${paths.policyFolder}`);
      showNext(nextCommands(pods));
    });
  },
};

function plainPods(count: number): PodSpec[] {
  return Array.from({ length: count }, (_, index) => {
    const name = `pod-${index + 1}`;
    return { namespace: 'default', name, labels: { app: name } };
  });
}
