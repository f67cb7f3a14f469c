/**
 * @module
 * Agent events as text: the name of the type and what there is to say in brackets.
 */
import { type AgentEvent, AgentEventType } from '../../api/gen/flow/flow.ts';
import { formatTime, type TimeFormat } from './time.ts';

const names = new Map<number, string>(
  Object.entries(AgentEventType).map(([name, number]) => [number, name]),
);

export function agentEventName(event: AgentEvent): string {
  return names.get(event.type) ?? String(event.type);
}

export function agentEventDetails(event: AgentEvent, timeFormat: TimeFormat): string {
  const parts: string[] = [];
  const add = (name: string, value: string | number | bigint | undefined): void => {
    if (value !== undefined && value !== '' && value !== 0) parts.push(`${name}: ${value}`);
  };
  const list = (labels: readonly string[]) => `[${labels.join(',')}]`;
  if (event.agent_start !== undefined) {
    add('start time', formatTime(event.agent_start.time, timeFormat));
  } else if (event.policy_update !== undefined) {
    const update = event.policy_update;
    add('labels', list(update.labels));
    parts.push(`revision: ${update.revision}`, `count: ${update.rule_count}`);
  } else if (event.endpoint_regenerate !== undefined) {
    add('id', event.endpoint_regenerate.id);
    add('labels', list(event.endpoint_regenerate.labels));
    add('error', event.endpoint_regenerate.error);
  } else if (event.endpoint_update !== undefined) {
    add('id', event.endpoint_update.id);
    add('namespace', event.endpoint_update.namespace);
    add('pod name', event.endpoint_update.pod_name);
    add('error', event.endpoint_update.error);
  } else if (event.ipcache_update !== undefined) {
    const update = event.ipcache_update;
    add('cidr', update.cidr);
    parts.push(`identity: ${update.identity}`);
    add('old identity', update.old_identity);
    add('host ip', update.host_ip);
    add('old host ip', update.old_host_ip);
    add('encrypt key', update.encrypt_key);
    add('namespace', update.namespace);
    add('pod name', update.pod_name);
  } else if (event.unknown !== undefined) {
    add('type', event.unknown.type);
    add('notification', event.unknown.notification);
  }
  return parts.join(', ');
}
