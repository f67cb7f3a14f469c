/**
 * @module
 * Agent notices of the main thread → AgentEvent messages.
 */
import { AgentEvent, AgentEventType } from '../api/gen/flow/flow.ts';
import type { FlowTime } from './observer/loss-window.ts';
import type { AgentNotice } from './protocol.ts';

export function agentEventOf(notice: AgentNotice, time: FlowTime): AgentEvent {
  switch (notice.type) {
    case 'agent-started':
      return AgentEvent.fromPartial({
        type: AgentEventType.AGENT_STARTED,
        agent_start: { time: { seconds: BigInt(time.seconds), nanos: time.nanos } },
      });
    case 'policy-updated':
    case 'policy-deleted':
      return AgentEvent.fromPartial({
        type:
          notice.type === 'policy-updated'
            ? AgentEventType.POLICY_UPDATED
            : AgentEventType.POLICY_DELETED,
        policy_update: {
          labels: [...notice.labels],
          revision: BigInt(notice.revision),
          rule_count: BigInt(notice.ruleCount),
        },
      });
    case 'endpoint-created':
    case 'endpoint-deleted':
      return AgentEvent.fromPartial({
        type:
          notice.type === 'endpoint-created'
            ? AgentEventType.ENDPOINT_CREATED
            : AgentEventType.ENDPOINT_DELETED,
        endpoint_update: {
          id: BigInt(notice.id),
          labels: [...notice.labels],
          pod_name: notice.podName,
          namespace: notice.namespace,
        },
      });
    case 'endpoint-regenerated':
      return AgentEvent.fromPartial({
        type:
          notice.error === ''
            ? AgentEventType.ENDPOINT_REGENERATE_SUCCESS
            : AgentEventType.ENDPOINT_REGENERATE_FAILURE,
        endpoint_regenerate: {
          id: BigInt(notice.id),
          labels: [...notice.labels],
          error: notice.error,
        },
      });
  }
}
