/**
 * @module
 * The flags of `hubble observe`, as data: parsing, help and completion come from here.
 */
import type { FlagSpec } from './flags.ts';

const flag = (group: string, name: string, value: string, help: string, short = ''): FlagSpec => ({
  group,
  name,
  help,
  ...(value === '' ? {} : { value }),
  ...(short === '' ? {} : { short }),
});

/** Flags that name a server, of every command that asks one. */
export const serverFlags: readonly FlagSpec[] = [
  flag('Server', 'server', 'address', 'Hubble server: unix:///path or host:port'),
  flag('Server', 'timeout', 'duration', 'How long to wait for the connection (5s)'),
  flag('Server', 'request-timeout', 'duration', 'How long a single answer may take (12s)'),
  flag('Server', 'debug', '', 'Tell what is being done', 'D'),
  flag('Server', 'help', '', 'Show this help', 'h'),
];

/** Which part of what the server has. */
export const selectorFlags: readonly FlagSpec[] = [
  flag('Selectors', 'last', 'n', 'The last n flows (20, unless something else is asked for)'),
  flag('Selectors', 'first', 'n', 'The first n flows'),
  flag('Selectors', 'all', '', 'All flows that the server has'),
  flag('Selectors', 'follow', '', 'Go on with what comes', 'f'),
  flag('Selectors', 'since', 'time', 'From this time on: 5m ago, or 2006-01-02T15:04:05Z'),
  flag('Selectors', 'until', 'time', 'Up to this time'),
];

/** Flags that exist for either end (`--pod`) and for each (`--from-pod`, `--to-pod`). */
export const endKinds = [
  ['pod', '[namespace/]prefix', 'pods whose name begins so'],
  ['namespace', 'name', 'pods of the namespace'],
  ['ip', 'address|prefix', 'this address, or those in the prefix'],
  ['port', 'n', 'this port'],
  ['label', 'selector', 'labels, such as app=web,tier!=front'],
  ['identity', 'n|name', 'this identity, by number or reserved name'],
  ['fqdn', 'name', 'this DNS name; * stands for anything'],
  ['service', '[namespace/]prefix', 'services whose name begins so'],
  ['workload', '[kind/]name', 'pods of the workload'],
  ['cluster', 'name', 'pods of the cluster'],
] as const;

export type EndKind = (typeof endKinds)[number][0];

const shorts: Readonly<Record<string, string>> = { namespace: 'n', label: 'l' };

const endFlags: readonly FlagSpec[] = endKinds.flatMap(([kind, value, help]) => [
  flag('Filters', kind, value, `Either end: ${help}`, shorts[kind]),
  flag('Filters', `from-${kind}`, value, `Source: ${help}`),
  flag('Filters', `to-${kind}`, value, `Destination: ${help}`),
]);

const otherFilters: readonly FlagSpec[] = [
  flag('Filters', 'all-namespaces', '', 'Pods of any namespace, where a name says none', 'A'),
  flag('Filters', 'from-all-namespaces', '', 'The same for sources'),
  flag('Filters', 'to-all-namespaces', '', 'The same for destinations'),
  flag(
    'Filters',
    'verdict',
    'name',
    'FORWARDED, DROPPED, AUDIT, REDIRECTED, ERROR, TRACED, TRANSLATED',
  ),
  flag('Filters', 'type', 'type[:sub-type]', 'drop, trace[:to-endpoint …], policy-verdict, …', 't'),
  flag('Filters', 'protocol', 'name', 'tcp, udp, icmp, icmpv4, icmpv6, sctp, dns, http, …'),
  flag('Filters', 'traffic-direction', 'name', 'ingress or egress'),
  flag('Filters', 'drop-reason-desc', 'name', 'As in the JSON output: POLICY_DENIED, …'),
  flag('Filters', 'tcp-flags', 'names', 'All of these: syn,ack'),
  flag('Filters', 'ip-version', '4|6', 'This version of IP'),
  flag('Filters', 'ipv4', '', 'IPv4 only', '4'),
  flag('Filters', 'ipv6', '', 'IPv6 only', '6'),
  flag('Filters', 'snat-ip', 'address|prefix', 'Source address after translation'),
  flag('Filters', 'interface', 'name', 'This network interface'),
  flag('Filters', 'uuid', 'uuid', 'This flow'),
  flag('Filters', 'node-name', '[cluster/]name', 'This node; * stands for anything'),
  flag('Filters', 'node-label', 'selector', 'Nodes with these labels'),
  flag('Filters', 'trace-id', 'id', 'This trace'),
  flag('Filters', 'ip-trace-id', 'n', 'This trace in an IP option'),
  flag('Filters', 'encrypted', '', 'Encrypted packets only'),
  flag('Filters', 'unencrypted', '', 'Plain packets only'),
  flag('Filters', 'http-status', 'code|prefix+', 'HTTP answers: 404, 5+'),
  flag('Filters', 'http-method', 'name', 'HTTP requests by method'),
  flag('Filters', 'http-path', 'regex', 'HTTP requests by path'),
  flag('Filters', 'http-url', 'regex', 'HTTP requests by URL'),
  flag('Filters', 'http-header', 'key:value', 'HTTP requests by header'),
  flag('Filters', 'dns-query', 'regex', 'DNS requests by name'),
  flag('Filters', 'cel-expression', 'expression', 'Refused by our server'),
  flag('Filters', 'not', '', 'Leave out what the next flag selects'),
];

const rawFlags: readonly FlagSpec[] = [
  flag('Raw filters', 'allowlist', 'json', 'A FlowFilter; may be repeated'),
  flag('Raw filters', 'denylist', 'json', 'A FlowFilter to leave out; may be repeated'),
  flag('Raw filters', 'print-raw-filters', '', 'Print the filters and do nothing else'),
];

/** How it is shown. */
export const formatFlags: readonly FlagSpec[] = [
  flag('Format', 'output', 'form', 'compact, dict, json, jsonpb or table', 'o'),
  flag('Format', 'time-format', 'name', 'StampMilli, RFC3339[Milli|Micro|Nano] or RFC1123Z'),
  flag('Format', 'print-node-name', '', 'Name the node'),
];

const flowFormatFlags: readonly FlagSpec[] = [
  flag('Format', 'print-policy-names', '', 'Name the policies behind a verdict (true)'),
  flag('Format', 'color', 'when', 'auto, always or never; NO_COLOR is honoured'),
  flag('Format', 'ip-translation', '', 'Show names for addresses (true)'),
  flag('Format', 'numeric', '', 'Show numbers and addresses only'),
  flag('Other', 'input-file', 'path', 'Read JSON lines from a file instead; - is standard input'),
  flag('Other', 'field-mask', 'paths', 'Only these fields: source.pod_name,verdict'),
  flag('Other', 'experimental-field-mask', 'paths', 'The same'),
  flag('Other', 'experimental-use-default-field-masks', '', 'Only the fields that text needs'),
  flag('Other', 'silent-errors', '', 'Say nothing about lost events and nodes', 's'),
];

export const observeFlags: readonly FlagSpec[] = [
  ...selectorFlags,
  ...endFlags,
  ...otherFilters,
  ...rawFlags,
  ...formatFlags,
  ...flowFormatFlags,
  ...serverFlags,
];

export const agentEventFlags: readonly FlagSpec[] = [
  ...selectorFlags,
  ...formatFlags,
  flag('Other', 'input-file', 'path', 'Read JSON lines from a file instead; - is standard input'),
  ...serverFlags,
];

/** What the text forms show. */
export const defaultFieldMask: readonly string[] = [
  'time',
  'source.identity',
  'source.namespace',
  'source.pod_name',
  'destination.identity',
  'destination.namespace',
  'destination.pod_name',
  'source_service',
  'destination_service',
  'l4',
  'IP',
  'ethernet',
  'l7',
  'Type',
  'node_name',
  'is_reply',
  'event_type',
  'verdict',
  'Summary',
];
