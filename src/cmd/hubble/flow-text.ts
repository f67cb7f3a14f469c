/**
 * @module
 * The parts of a flow as text: who, what, verdict. Same words in every text form.
 */
import { type Endpoint, type Flow, type Policy, Verdict } from '../../api/gen/flow/flow.ts';
import type { Colors } from './colors.ts';
import { printable } from './output.ts';
import { dropText, identityText, matchTypes, tracePoints, translationPoints } from './words.ts';

export interface TextOptions {
  readonly colors: Colors;
  readonly translateIps: boolean;
  readonly policyNames: boolean;
  readonly numeric: boolean;
}

const verdictNames = new Map<number, string>(
  Object.entries(Verdict).map(([name, number]) => [number, name]),
);
const event = { drop: 1, capture: 3, trace: 4, policyVerdict: 5, traceSock: 7, accessLog: 129 };
const policyDenied = 133;

export interface EndText {
  readonly name: string;
  readonly identity: string;
}

/** One end: `shop/web:8080`, the address, or the MAC address; and `(ID:1)`. */
export function endText(flow: Flow, isSource: boolean, options: TextOptions): EndText {
  const end = isSource ? flow.source : flow.destination;
  const ports = flow.l4?.TCP ?? flow.l4?.UDP ?? flow.l4?.SCTP;
  const port = (isSource ? ports?.source_port : ports?.destination_port) ?? 0;
  return {
    name: withPort(hostName(flow, end, isSource, options), port, options),
    identity: options.colors.identity(identityOf(end, options)),
  };
}

function identityOf(end: Endpoint | undefined, options: TextOptions): string {
  const identity = end?.identity ?? 0;
  return options.numeric ? `(ID:${identity})` : `(${identityText(identity)})`;
}

function hostName(
  flow: Flow,
  end: Endpoint | undefined,
  isSource: boolean,
  options: TextOptions,
): string {
  if (flow.IP === undefined) {
    const mac = isSource ? flow.ethernet?.source : flow.ethernet?.destination;
    return printable(mac ?? '');
  }
  const address = isSource ? flow.IP.source : flow.IP.destination;
  if (!options.translateIps || options.numeric) return printable(address);
  if (end !== undefined && end.pod_name !== '') return printable(join(end.namespace, end.pod_name));
  const service = isSource ? flow.source_service : flow.destination_service;
  if (service !== undefined && service.name !== '') {
    return printable(join(service.namespace, service.name));
  }
  const names = isSource ? flow.source_names : flow.destination_names;
  return printable(names.length > 0 ? names.join(',') : address);
}

function join(namespace: string, name: string): string {
  return namespace === '' ? name : `${namespace}/${name}`;
}

function withPort(host: string, port: number, options: TextOptions): string {
  const shown = options.colors.host(host);
  if (port === 0) return shown;
  const bracketed = host.includes(':') ? `[${shown}]` : shown;
  return `${bracketed}:${options.colors.port(String(port))}`;
}

/** `to-endpoint`, `Policy denied`, `policy-verdict:L3-L4 INGRESS`. */
export function typeText(flow: Flow): string {
  const type = flow.event_type?.type ?? 0;
  const subType = flow.event_type?.sub_type ?? 0;
  if (flow.l7 !== undefined) return layer7Text(flow);
  switch (type) {
    case event.drop:
      return dropText(flow.drop_reason_desc || subType);
    case event.trace:
      return tracePoints[flow.trace_observation_point || subType] ?? `trace ${subType}`;
    case event.policyVerdict: {
      const direction = ['UNKNOWN', 'INGRESS', 'EGRESS'][flow.traffic_direction] ?? 'UNKNOWN';
      return `policy-verdict:${matchTypes[flow.policy_match_type] ?? 'unknown'} ${direction}`;
    }
    case event.traceSock:
      return translationPoints[flow.sock_xlate_point] ?? 'unknown';
    case event.capture:
      return `capture ${subType}`;
    default:
      return 'UNKNOWN';
  }
}

function layer7Text(flow: Flow): string {
  const l7 = flow.l7;
  const kind = ['l7', 'request', 'response', 'sample'][l7?.type ?? 0] ?? 'l7';
  if (l7?.dns !== undefined) {
    return printable(`dns-${kind} ${l7.dns.observation_source}`.trimEnd());
  }
  if (l7?.http !== undefined) return `http-${kind}`;
  return l7?.kafka !== undefined ? `kafka-${kind}` : `l7-${kind}`;
}

/** `FORWARDED`; for policy verdicts `ALLOWED BY name (kind)`, `DENIED BY name (default deny)`. */
export function verdictText(flow: Flow, options: TextOptions): string {
  const { colors } = options;
  const isVerdict = flow.event_type?.type === event.policyVerdict;
  const by = options.policyNames ? policyText(flow) : '';
  switch (flow.verdict) {
    case Verdict.FORWARDED:
      // A trace names no policy: it tells where the packet was, not who let it.
      return isVerdict
        ? `${colors.verdictForwarded('ALLOWED')}${by}`
        : colors.verdictForwarded('FORWARDED');
    case Verdict.DROPPED:
    case Verdict.ERROR: {
      const name = verdictNames.get(flow.verdict) ?? '';
      return `${colors.verdictDropped(isVerdict ? 'DENIED' : name)}${by}`;
    }
    case Verdict.AUDIT:
      return `${colors.verdictAudit(isVerdict ? 'AUDITED' : 'AUDIT')}${by}`;
    default:
      return colors.verdictOther(verdictNames.get(flow.verdict) ?? String(flow.verdict));
  }
}

/** ` BY a (kind), b (kind)`, or nothing. */
function policyText(flow: Flow): string {
  const allowed = [...flow.egress_allowed_by, ...flow.ingress_allowed_by];
  const denied = [...flow.egress_denied_by, ...flow.ingress_denied_by];
  const policies = (flow.verdict === Verdict.FORWARDED ? allowed : denied).filter(
    (policy) => policy.name !== '',
  );
  if (policies.length === 0) return '';
  // No rule said no: these policies select the pod, and none of them allows this.
  const isDefaultDeny =
    flow.verdict !== Verdict.FORWARDED &&
    (flow.drop_reason_desc === policyDenied ||
      (flow.verdict === Verdict.AUDIT && flow.policy_match_type === 0));
  if (isDefaultDeny) {
    return printable(` BY ${policies.map((one) => one.name).join(', ')} (default deny)`);
  }
  return printable(` BY ${policies.map(policyName).join(', ')}`);
}

function policyName(policy: Policy): string {
  return policy.kind === '' ? policy.name : `${policy.name} (${policy.kind})`;
}

export function summaryText(flow: Flow): string {
  return printable(flow.Summary);
}
