/**
 * @module
 * Filters by what happened and where: verdict, event_type, drop_reason_desc, reply,
 * traffic_direction, interface, uuid, trace ids, node_name.
 */
import {
  type EventTypeFilter,
  type FlowFilter,
  type NetworkInterface,
  Verdict,
} from '../../api/gen/flow/flow.ts';
import { addEach, addOneOf, FilterError, type Predicate, starPattern } from './predicate.ts';

export function eventFilters(filter: FlowFilter): Predicate[] {
  const tests: Predicate[] = [];
  addOneOf<number>(tests, filter.verdict, (flow) => flow.verdict());
  addEach(tests, filter.event_type, eventTypeTest);
  addOneOf<number>(tests, filter.drop_reason_desc, (flow) => flow.dropReason());
  addEach(tests, filter.reply, replyTest);
  addOneOf<number>(tests, filter.traffic_direction, (flow) => flow.trafficDirection());
  addEach(tests, filter.interface, interfaceTest);
  addOneOf(tests, filter.uuid, (flow) => flow.uuid());
  addOneOf(tests, filter.trace_id, (flow) => flow.traceId());
  addOneOf(tests, filter.ip_trace_id, (flow) => flow.ipTraceId());
  addEach(tests, filter.node_name, nodeNameTest);
  return tests;
}

function eventTypeTest(wanted: EventTypeFilter): Predicate {
  return (flow) => {
    if (wanted.type !== 0 && flow.eventType() !== wanted.type) return false;
    return !wanted.match_sub_type || flow.eventSubType() === wanted.sub_type;
  };
}

/** Drops have no is_reply, but for replies; whoever asks for requests wants to see them. */
function replyTest(wanted: boolean): Predicate {
  return (flow) => {
    const isReply = flow.isReply();
    if (isReply !== undefined) return isReply === wanted;
    return flow.verdict() === Verdict.DROPPED && !wanted;
  };
}

function interfaceTest(wanted: NetworkInterface): Predicate {
  return (flow) =>
    (wanted.index === 0 || flow.interfaceIndex() === wanted.index) &&
    (wanted.name === '' || flow.interfaceName() === wanted.name);
}

/** `[cluster/]node`, both with `*`; a node of ours without a cluster is of cluster `default`. */
function nodeNameTest(text: string): Predicate {
  if (text === '') throw new FilterError('filter by node: the name is empty');
  const slash = text.indexOf('/');
  const anything = '[-.0-9a-z]*';
  const cluster = starPattern(slash < 0 ? '*' : text.slice(0, slash), anything);
  const node = starPattern(text.slice(slash + 1) || '*', anything);
  return (flow) => {
    const name = flow.nodeName();
    const at = name.indexOf('/');
    return cluster.test(at < 0 ? 'default' : name.slice(0, at)) && node.test(name.slice(at + 1));
  };
}
