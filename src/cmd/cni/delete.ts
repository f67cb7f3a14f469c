/**
 * @module CNI DEL: idempotent, and quick because the agent removes the interface after it has
 * answered. Without an agent the deletion is queued and the interface removed here.
 */
import { Agent } from './agent.ts';
import type { NetworkConf } from './conf.ts';
import { AgentDownError } from './connection.ts';
import type { CniEnvironment } from './environment.ts';

/** Detaches a pod. */
export async function del(environment: CniEnvironment, conf: NetworkConf): Promise<string> {
  try {
    if (await deleteByAgent(environment, conf)) return '';
  } catch (error) {
    if (!(error instanceof AgentDownError)) throw error;
    await deleteLater(environment, conf);
  }
  // The agent knows nothing of it: an ADD that never came to its end may have left the interface.
  await removeInterface(environment);
  return '';
}

/** False if the agent knows no such endpoint. */
async function deleteByAgent(
  { containerId, ifname }: CniEnvironment,
  conf: NetworkConf,
): Promise<boolean> {
  using agent = await Agent.connect(conf.socketPath, 0);
  return await agent.deleteAttachment(containerId, ifname);
}

/**
 * Leaves the deletion to the next agent. One that began to listen meanwhile may have read the queue
 * before the file was there, so it is asked once more: either it reads the file or it hears us.
 */
async function deleteLater(environment: CniEnvironment, conf: NetworkConf): Promise<void> {
  const { queueDeletion } = await import('../../daemon/endpoint/delete-queue.ts');
  const path = queueDeletion(conf.stateDirectory, environment.containerId);
  try {
    await deleteByAgent(environment, conf);
  } catch (error) {
    if (error instanceof AgentDownError) return;
    throw error;
  }
  const { rmSync } = await import('node:fs');
  rmSync(path, { force: true });
}

async function removeInterface({ netns, ifname }: CniEnvironment): Promise<void> {
  if (netns === '') return;
  const { removeFromNetns } = await import('./pod-interface.ts');
  removeFromNetns(netns, ifname);
}
