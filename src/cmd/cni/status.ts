/**
 * @module CNI STATUS: whether an ADD would be served now.
 */
import { Agent, agentDown } from './agent.ts';
import type { NetworkConf } from './conf.ts';
import { CniError } from './error.ts';

/** Throws unless the agent answers and is not failing. */
export async function status(conf: NetworkConf): Promise<string> {
  try {
    using agent = await Agent.connect(conf.socketPath, 0);
    const { state, message } = await agent.status();
    if (state !== 'Failure') return '';
    throw new CniError('pluginNotAvailable', 'the agent is failing', message);
  } catch (error) {
    throw agentDown(error, 'pluginNotAvailable');
  }
}
