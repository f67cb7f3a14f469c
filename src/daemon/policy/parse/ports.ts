/**
 * @module
 * `toPorts` of the Cilium kinds → ports. What an entry asks of a proxy is checked in full and then
 * refused: to carry out the rest alone would allow more than was asked.
 */

import { FieldReader } from '../../../k8s/field.ts';
import { isPortName } from '../../../k8s/name.ts';
import { quote } from '../../../k8s/problem.ts';
import type { PortMatch } from '../rule.ts';
import { type ProxyContext, parseProxy } from './proxy.ts';
import { denyPortHints, portFields, proxyFields } from './schema.ts';

const toPortsMax = 1000;
const portsMax = 40;

export const protocolNumbers = { TCP: 6, UDP: 17, SCTP: 132 } as const;
const protocols = ['TCP', 'UDP', 'SCTP', 'ANY'] as const;

/** One entry of `ports` as written. */
export interface WrittenPort {
  /** A number as text, or a name in lower case. */
  readonly port: string;
  readonly endPort: number | undefined;
  readonly protocol: (typeof protocols)[number];
}

export interface ParsedToPorts {
  readonly ports: readonly PortMatch[];
  readonly written: readonly Record<string, unknown>[];
}

/** Undefined where the field is absent. */
export function parseToPorts(item: FieldReader, context: ProxyContext): ParsedToPorts | undefined {
  const matches: PortMatch[] = [];
  const names = context.deny ? ['ports'] : ['ports', ...proxyFields];
  const hints = context.deny ? denyPortHints : undefined;
  const written = item.each('toPorts', toPortsMax, (value, place) => {
    const entry = FieldReader.open(value, place, names, item.problems, hints);
    if (entry === undefined) return undefined;
    const ports = parsePorts(entry);
    if (!context.deny) parseProxy(entry, ports, context);
    matches.push(...ports.flatMap(portMatches));
    return { ports: ports.map(formatWrittenPort) };
  });
  return written === undefined ? undefined : { ports: matches, written };
}

function parsePorts(entry: FieldReader): WrittenPort[] {
  const list = entry.each('ports', portsMax, (value, place) => {
    const port = FieldReader.open(value, place, portFields, entry.problems);
    return port === undefined ? undefined : parsePort(port);
  });
  const message = 'names no port; leave toPorts out to mean every port and protocol';
  if (entry.has('ports')) entry.refuseEmpty('ports', message);
  else entry.refuse('ports', message);
  return list ?? [];
}

function parsePort(reader: FieldReader): WrittenPort | undefined {
  const before = reader.problems.count;
  const text = reader.require('port') ? reader.text('port') : undefined;
  const port = text?.toLowerCase();
  const isNumber = port !== undefined && /^[0-9]{1,5}$/.test(port) && Number(port) <= 65535;
  if (port !== undefined && !isNumber && !isPortName(port)) {
    reader.refuse('port', `not a port: ${quote(text)}`);
  }
  const protocol = parseProtocol(reader);
  const end = reader.integer('endPort', 0, 65535);
  const endPort = end === 0 ? undefined : end;
  if (endPort !== undefined && port !== undefined) {
    if (!isNumber) reader.refuse('endPort', 'needs a port by number');
    else if (Number(port) === 0) reader.refuse('endPort', 'needs a port above 0');
    else if (endPort < Number(port)) reader.refuse('endPort', `is below port ${Number(port)}`);
  }
  if (reader.problems.count > before || port === undefined || protocol === undefined) {
    return undefined;
  }
  return { port: isNumber ? String(Number(port)) : port, endPort, protocol };
}

function parseProtocol(reader: FieldReader): WrittenPort['protocol'] | undefined {
  if (!reader.has('protocol')) return 'ANY';
  const written = reader.fields['protocol'];
  if (typeof written === 'string' && /^icmp(v6)?$/i.test(written)) {
    reader.refuse('protocol', `${written} has no ports; use icmps`);
    return undefined;
  }
  return reader.choice('protocol', protocols);
}

/** Port 0 is every port of the protocol, ANY every protocol that has ports. */
function portMatches({ port, endPort, protocol }: WrittenPort): PortMatch[] {
  const numbers = protocol === 'ANY' ? Object.values(protocolNumbers) : [protocolNumbers[protocol]];
  if (!/^[0-9]+$/.test(port)) return numbers.map((proto) => ({ proto, name: port }));
  const first = Number(port);
  const last = first === 0 ? 65535 : (endPort ?? first);
  return numbers.map((proto) => ({ proto, first, last }));
}

/** Upstream's printed form. */
export function formatWrittenPort(written: WrittenPort): Record<string, unknown> {
  const { port, endPort, protocol } = written;
  return { port, ...(endPort === undefined ? {} : { endPort }), protocol };
}
