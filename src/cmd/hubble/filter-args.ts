/**
 * @module
 * Filter flags → FlowFilters. Values of one flag are alternatives, different flags must
 * all hold; a flag for either end holds if it holds for one of them, so the flags for
 * either end are multiplied out. Each `--not` is a filter of its own on the blacklist.
 */
import {
  DropReason,
  type EventTypeFilter,
  FlowFilter,
  IPVersion,
  TCPFlags,
  TrafficDirection,
  Verdict,
} from '../../api/gen/flow/flow.ts';
import { JsonFieldError, readMessage } from '../../api/json/read.ts';
import type { ParsedFlag } from './flags.ts';
import { type EndKind, endKinds } from './observe-flags.ts';
import { UsageError } from './usage-error.ts';
import { eventTypes, reservedIdentities, tracePoints, translationPoints } from './words.ts';

type Fields = Partial<FlowFilter>;
type Side = 'source' | 'destination';

/** Every kind of flag for either end doubles the number of filters. */
const filtersMax = 256;

export interface FilterLists {
  readonly whitelist: FlowFilter[];
  readonly blacklist: FlowFilter[];
}

/** Takes the filter flags of the line; ignores others. Throws UsageError. */
export function buildFilterLists(flags: readonly ParsedFlag[]): FilterLists {
  const wanted: ParsedFlag[] = [];
  const blacklist: FlowFilter[] = [];
  const whitelist: FlowFilter[] = [];
  let negate = false;
  for (const flag of flags) {
    if (flag.name === 'not') {
      if (negate) throw new UsageError('--not --not: name a filter after --not');
      negate = flag.value === 'true';
    } else if (flag.name === 'allowlist') whitelist.push(rawFilter(flag));
    else if (flag.name === 'denylist') blacklist.push(rawFilter(flag));
    else if (!isFilterFlag(flag.name)) continue;
    else if (negate) {
      blacklist.push(...combine([flag, ...flags.filter((one) => isScope(one.name))]));
      negate = false;
    } else wanted.push(flag);
  }
  if (negate) throw new UsageError('--not: name a filter after it');
  const scopes = wanted.filter((flag) => isScope(flag.name));
  if (wanted.length > scopes.length) whitelist.push(...combine(wanted));
  return { whitelist, blacklist };
}

function rawFilter(flag: ParsedFlag): FlowFilter {
  try {
    return FlowFilter.fromPartial(readMessage('flow.FlowFilter', JSON.parse(flag.value)) as Fields);
  } catch (cause) {
    if (cause instanceof SyntaxError || cause instanceof JsonFieldError) {
      throw new UsageError(`--${flag.name}: ${cause.message}`, { cause });
    }
    throw cause;
  }
}

/** Not a filter by itself: says what a pod's name without namespace means. */
function isScope(name: string): boolean {
  return name.endsWith('all-namespaces');
}

function isFilterFlag(name: string): boolean {
  return isScope(name) || name in simpleFilters || endOf(name) !== undefined;
}

function endOf(name: string): { kind: EndKind; sides: readonly Side[] } | undefined {
  const match = /^(from-|to-)?(.+)$/.exec(name);
  const kind = endKinds.find(([one]) => one === match?.[2])?.[0];
  if (kind === undefined) return undefined;
  if (match?.[1] === undefined) return { kind, sides: ['source', 'destination'] };
  return { kind, sides: [match[1] === 'from-' ? 'source' : 'destination'] };
}

/** One filter per choice of ends. */
function combine(flags: readonly ParsedFlag[]): FlowFilter[] {
  let filters: Fields[] = [{}];
  for (const flag of flags) {
    const simple = simpleFilters[flag.name];
    if (simple !== undefined) for (const filter of filters) merge(filter, simple(flag.value));
  }
  for (const [group, values] of groupByEnd(flags)) {
    const [from, kind] = group;
    const sides: readonly Side[] = from === 'either' ? ['source', 'destination'] : [from as Side];
    filters = filters.flatMap((filter) =>
      sides.map((side) => {
        const copy = structuredClone(filter);
        for (const value of values) merge(copy, endFilter(kind, side, value));
        return copy;
      }),
    );
    if (filters.length > filtersMax) throw new UsageError('too many filters for either end');
  }
  return filters.map((filter) => FlowFilter.fromPartial(filter));
}

/** Values by (either | source | destination, kind), pods and services with their namespace. */
function groupByEnd(
  flags: readonly ParsedFlag[],
): [readonly [string, EndKind], readonly string[]][] {
  const values = new Map<string, string[]>();
  const scopes = new Set<string>();
  for (const flag of flags) {
    if (isScope(flag.name)) scopes.add(flag.name.replace(/-?all-namespaces$/, ''));
    const end = isScope(flag.name) ? undefined : endOf(flag.name);
    if (end === undefined) continue;
    const key = `${end.sides.length === 2 ? 'either' : end.sides[0]} ${end.kind}`;
    values.set(key, [...(values.get(key) ?? []), flag.value]);
  }
  const shared = values.get('either namespace');
  const named = [...values.keys()].some((key) => /pod$|service$/.test(key));
  for (const from of ['either', 'source', 'destination']) {
    const own = values.get(`${from} namespace`);
    const scope = { either: '', source: 'from', destination: 'to' }[from] ?? '';
    const any = scopes.has('') || scopes.has(scope);
    const namespaces = any ? [''] : (own ?? shared ?? ['default']);
    for (const kind of ['pod', 'service']) {
      const names = values.get(`${from} ${kind}`) ?? [];
      const full = names.flatMap((name) =>
        name.includes('/') ? [name] : namespaces.map((namespace) => `${namespace}/${name}`),
      );
      if (full.length > 0) values.set(`${from} ${kind}`, full);
    }
    values.delete(`${from} namespace`);
    // A namespace without names is all of its pods; with names it only completes them.
    if (own !== undefined && !named && !any) {
      const whole = own.map((namespace) => `${namespace}/`);
      values.set(`${from} pod`, whole);
    }
  }
  return [...values].map(([key, list]) => {
    const [from = '', kind = 'pod'] = key.split(' ');
    return [[from, kind as EndKind], list];
  });
}

function endFilter(kind: EndKind, side: Side, value: string): Fields {
  switch (kind) {
    case 'pod':
    case 'namespace':
      return { [`${side}_pod`]: [value] };
    case 'identity':
      return { [`${side}_identity`]: [identity(value)] };
    case 'workload': {
      const slash = value.indexOf('/');
      const workload = {
        kind: slash < 0 ? '' : value.slice(0, slash),
        name: value.slice(slash + 1),
      };
      return { [`${side}_workload`]: [workload] };
    }
    case 'cluster':
      return { [`${side}_cluster_name`]: [value] };
    default:
      return { [`${side}_${kind}`]: [value] };
  }
}

function identity(value: string): number {
  if (/^\d{1,10}$/.test(value)) return Number(value);
  const number = reservedIdentities.indexOf(value.replace(/^reserved:/, ''));
  if (number < 0) throw new UsageError(`--identity ${value}: neither a number nor a reserved name`);
  return number;
}

/** Appends the lists of one filter to another's. */
function merge(into: Fields, from: Fields): void {
  const target = into as Record<string, unknown[] | object>;
  for (const [name, value] of Object.entries(from)) {
    const known = target[name];
    target[name] =
      Array.isArray(known) && Array.isArray(value) ? [...known, ...value] : (value as object);
  }
}

const oneOf = <Value>(
  table: Readonly<Record<string, Value>>,
  flag: string,
  text: string,
): Value => {
  const value = table[text];
  if (value !== undefined) return value;
  throw new UsageError(`--${flag} ${text}: one of ${Object.keys(table).join(', ')}`);
};

/** Flags that say nothing about ends. */
const simpleFilters: Readonly<Record<string, (value: string) => Fields>> = {
  verdict: (text) => ({ verdict: [oneOf(Verdict, 'verdict', text.toUpperCase())] }),
  type: (text) => ({ event_type: [eventType(text)] }),
  protocol: (text) => ({ protocol: [text.toLowerCase()] }),
  'traffic-direction': (text) => ({
    traffic_direction: [oneOf(TrafficDirection, 'traffic-direction', text.toUpperCase())],
  }),
  'drop-reason-desc': (text) => ({
    drop_reason_desc: [oneOf(DropReason, 'drop-reason-desc', text.toUpperCase())],
  }),
  'tcp-flags': (text) => ({ tcp_flags: [tcpFlags(text)] }),
  'ip-version': (text) => ({ ip_version: [ipVersion(text)] }),
  ipv4: () => ({ ip_version: [IPVersion.IPv4] }),
  ipv6: () => ({ ip_version: [IPVersion.IPv6] }),
  'snat-ip': (text) => ({ source_ip_xlated: [text] }),
  interface: (text) => ({ interface: [{ index: 0, name: text }] }),
  uuid: (text) => ({ uuid: [text] }),
  'node-name': (text) => ({ node_name: [text] }),
  'node-label': (text) => ({ node_labels: [text] }),
  'trace-id': (text) => ({ trace_id: [text] }),
  'ip-trace-id': (text) => ({ ip_trace_id: [BigInt(/^\d+$/.test(text) ? text : 0)] }),
  encrypted: () => ({ encrypted: [true] }),
  unencrypted: () => ({ encrypted: [false] }),
  'http-status': (text) => ({ http_status_code: [text] }),
  'http-method': (text) => ({ http_method: [text] }),
  'http-path': (text) => ({ http_path: [text] }),
  'http-url': (text) => ({ http_url: [text] }),
  'http-header': (text) => ({ http_header: [header(text)] }),
  'dns-query': (text) => ({ dns_query: [text] }),
  'cel-expression': (text) => ({ experimental: { cel_expression: [text] } }),
};

function eventType(text: string): EventTypeFilter {
  const colon = text.indexOf(':');
  const name = colon < 0 ? text : text.slice(0, colon);
  const type = /^\d+$/.test(name) ? Number(name) : oneOf(eventTypes, 'type', name);
  if (colon < 0) return { type, match_sub_type: false, sub_type: 0 };
  return { type, match_sub_type: true, sub_type: subType(type, text.slice(colon + 1), text) };
}

function subType(type: number, name: string, text: string): number {
  if (/^\d+$/.test(name)) return Number(name);
  if (type === eventTypes['trace']) {
    const found = Object.entries(tracePoints).find(([, point]) => point === name);
    if (found !== undefined) return Number(found[0]);
  }
  if (type === eventTypes['trace-sock']) {
    const found = translationPoints.indexOf(name);
    if (found >= 0) return found;
  }
  if (type === eventTypes['drop']) {
    const reason = (DropReason as Readonly<Record<string, number>>)[
      name.toUpperCase().replaceAll('-', '_')
    ];
    if (reason !== undefined) return reason;
  }
  throw new UsageError(`--type ${text}: unknown sub-type ${JSON.stringify(name)}`);
}

function tcpFlags(text: string): TCPFlags {
  const flags = TCPFlags.fromPartial({});
  const known = Object.keys(flags) as (keyof TCPFlags)[];
  for (const word of text.toUpperCase().split(',')) {
    const name = known.find((one) => one === word);
    if (name === undefined) {
      throw new UsageError(`--tcp-flags ${text}: a list of ${known.join(', ')}`);
    }
    flags[name] = true;
  }
  return flags;
}

function ipVersion(text: string): IPVersion {
  const version = text.replace(/^(ip)?v/i, '');
  if (version === '4') return IPVersion.IPv4;
  if (version === '6') return IPVersion.IPv6;
  throw new UsageError(`--ip-version ${text}: 4 or 6`);
}

function header(text: string): { key: string; value: string } {
  const colon = text.indexOf(':');
  if (colon < 1) throw new UsageError(`--http-header ${text}: key:value is needed`);
  return { key: text.slice(0, colon).trim(), value: text.slice(colon + 1).trim() };
}
