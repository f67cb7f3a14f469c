/**
 * @module CNI GC: deletes the endpoints of attachments that the runtime does not have any more.
 */
import { Agent, agentDown, connectRetryMs } from './agent.ts';
import type { NetworkConf } from './conf.ts';

/**
 * Deletes every endpoint that is not among the valid attachments. An agent serves one network, so
 * those of the list are all that it may have. Without a list nothing is deleted.
 */
export async function collect(conf: NetworkConf): Promise<string> {
  if (conf.validAttachments === undefined) return '';
  const valid = new Set(
    conf.validAttachments.map(({ containerId, ifname }) => `${containerId}:${ifname}`),
  );
  try {
    using agent = await Agent.connect(conf.socketPath, connectRetryMs);
    for (const attachment of await agent.attachments()) {
      if (valid.has(attachment)) continue;
      const colon = attachment.lastIndexOf(':');
      await agent.deleteAttachment(attachment.slice(0, colon), attachment.slice(colon + 1));
    }
    return '';
  } catch (error) {
    throw agentDown(error);
  }
}
