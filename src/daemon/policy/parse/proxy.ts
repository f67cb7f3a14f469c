/**
 * @module
 * The parts of `toPorts` that need a proxy: rules of layer 7, server names, TLS contexts and
 * listeners. They are checked as if they were carried out, so that a person learns of mistakes, and
 * then the policy is refused as a whole.
 */

import { FieldReader, readText, readTextMap } from '../../../k8s/field.ts';
import type { Place } from '../../../k8s/place.ts';
import { quote } from '../../../k8s/problem.ts';
import type { Direction } from '../rule.ts';
import type { WrittenPort } from './ports.ts';

/** Where a rule stands. */
export interface ProxyContext {
  readonly direction: Direction;
  readonly deny: boolean;
  /** The policy is in no namespace. */
  readonly isClusterwide: boolean;
  /** The subject is a node, not a pod. */
  readonly isNode: boolean;
}

const entriesMax = 1000;
const families = ['http', 'kafka', 'dns', 'l7proto'] as const;
const httpFields = ['path', 'method', 'host', 'headers', 'headerMatches'];
const kafkaFields = ['role', 'apiKey', 'apiVersion', 'clientID', 'topic'];
const mismatches = ['LOG', 'ADD', 'DELETE', 'REPLACE'] as const;
const listenerKinds = ['CiliumEnvoyConfig', 'CiliumClusterwideEnvoyConfig'] as const;

// The published patterns, in a form that takes no longer than the text is long.
const namePattern = /^[-a-zA-Z0-9_]+(\.[-a-zA-Z0-9_]+)*\.?$/;
const wildcardPattern = /^[-a-zA-Z0-9_*]+(\.[-a-zA-Z0-9_*]+)*\.?$/;
const serverNamePattern = /^(\*?\*\.)?[-a-zA-Z0-9_]+(\.[-a-zA-Z0-9_]+)*\.?$/;

/** Problems for all of it: for what is wrong, or else for what this version does not carry out. */
export function parseProxy(
  entry: FieldReader,
  ports: readonly WrittenPort[],
  context: ProxyContext,
): void {
  const check = (field: string, what: string, parse: () => boolean) => {
    if (!entry.has(field)) return;
    const before = entry.problems.count;
    if (parse() && entry.problems.count === before) refuseUnsupported(entry.at(field), what, entry);
  };
  check('rules', 'rules of layer 7', () => parseRules(entry, ports, context));
  check('serverNames', 'rules for server names', () => parseServerNames(entry));
  check('terminatingTLS', 'TLS contexts', () => parseTls(entry, 'terminatingTLS', context));
  check('originatingTLS', 'TLS contexts', () => parseTls(entry, 'originatingTLS', context));
  check('listener', 'listeners', () => parseListener(entry));
}

/** What is right but beyond this version: nothing of the policy is carried out. */
export function refuseUnsupported(place: Place, what: string, { problems }: FieldReader): void {
  const message = `valid, but ${what} are not carried out yet: the whole policy is refused`;
  problems.add(place, message, true);
}

/** False if they ask for nothing: an empty object restricts no request. */
function parseRules(
  entry: FieldReader,
  ports: readonly WrittenPort[],
  context: ProxyContext,
): boolean {
  const rules = entry.object('rules', [...families, 'l7']);
  if (rules === undefined) return true;
  const present = families.filter((each) => rules.has(each));
  if (present.length > 1) {
    rules.problems.add(rules.place, `has ${present.join(' and ')}; one kind is possible`);
  }
  if (rules.has('l7') && !rules.has('l7proto')) rules.refuse('l7', 'needs l7proto');
  rules.each('http', entriesMax, (value, place) => parseHttp(value, place, rules, context));
  rules.each('kafka', entriesMax, (value, place) => parseKafka(value, place, rules));
  rules.each('dns', entriesMax, (value, place) => parseDnsName(value, place, rules));
  if (rules.text('l7proto') === '') rules.refuse('l7proto', 'must not be empty');
  rules.each('l7', entriesMax, (value, place) =>
    readTextMap(value, place, entriesMax, rules.problems),
  );
  const [family] = present;
  if (family !== undefined) checkCombination(rules, family, ports, context);
  return Object.keys(rules.fields).length > 0;
}

function checkCombination(
  rules: FieldReader,
  family: (typeof families)[number],
  ports: readonly WrittenPort[],
  { direction, isNode }: ProxyContext,
): void {
  if (family === 'dns' && direction === 'ingress')
    rules.refuse('dns', 'is possible in egress only');
  if (isNode && (direction === 'ingress' || family !== 'dns')) {
    rules.refuse(family, 'nodes can have rules of layer 7 for DNS in egress only');
  }
  for (const { port, protocol } of ports) {
    if (port === '0') rules.refuse(family, 'needs ports by number or name, not port 0');
    if (family !== 'dns' && protocol !== 'TCP') rules.refuse(family, 'needs ports of protocol TCP');
  }
}

function parseHttp(
  value: unknown,
  place: Place,
  rules: FieldReader,
  context: ProxyContext,
): undefined {
  const http = FieldReader.open(value, place, httpFields, rules.problems);
  if (http === undefined) return;
  for (const field of ['path', 'method', 'host']) {
    const text = http.text(field);
    if (text !== undefined && !isRegex(text)) {
      http.refuse(field, `not a regular expression: ${quote(text)}`);
    }
  }
  http.each('headers', entriesMax, (each, at) => {
    const text = readText(each, at, rules.problems);
    if (text === '') rules.problems.add(at, 'must not be empty');
    return text;
  });
  http.each('headerMatches', entriesMax, (each, at) => {
    const fields = ['name', 'value', 'mismatch', 'secret'];
    const match = FieldReader.open(each, at, fields, rules.problems);
    if (match === undefined) return;
    requireText(match, 'name');
    match.text('value');
    match.choice('mismatch', mismatches);
    parseSecret(match, context);
  });
}

function parseKafka(value: unknown, place: Place, rules: FieldReader): undefined {
  const kafka = FieldReader.open(value, place, kafkaFields, rules.problems);
  if (kafka === undefined) return;
  kafka.choice('role', ['produce', 'consume']);
  for (const field of ['apiKey', 'apiVersion', 'clientID']) kafka.text(field);
  if (kafka.has('role') && kafka.has('apiKey')) {
    kafka.refuse('role', 'cannot stand together with apiKey');
  }
  if ((kafka.text('topic')?.length ?? 0) > 255) {
    kafka.refuse('topic', 'has more than 255 characters');
  }
}

/** A name or a pattern of names: an entry of `toFQDNs` or of `rules.dns`. */
export function parseDnsName(value: unknown, place: Place, { problems }: FieldReader): undefined {
  const reader = FieldReader.open(value, place, ['matchName', 'matchPattern'], problems);
  if (reader === undefined) return;
  if (reader.has('matchName') === reader.has('matchPattern')) {
    problems.add(place, 'must have exactly one of matchName and matchPattern');
  }
  for (const field of ['matchName', 'matchPattern']) {
    const text = reader.text(field);
    if (text === undefined) continue;
    const pattern = field === 'matchName' ? namePattern : wildcardPattern;
    if (text.length > 255) reader.refuse(field, 'has more than 255 characters');
    else if (!pattern.test(text)) reader.refuse(field, `not a DNS name: ${quote(text)}`);
  }
}

function parseServerNames(entry: FieldReader): boolean {
  const names = entry.texts('serverNames', entriesMax);
  entry.refuseEmpty('serverNames', 'must have at least one');
  for (const [index, name] of (names ?? []).entries()) {
    const place = entry.at('serverNames').item(index);
    if (name.length > 255) entry.problems.add(place, 'has more than 255 characters');
    else if (!serverNamePattern.test(name)) {
      entry.problems.add(place, `not a server name: ${quote(name)}`);
    }
  }
  const rules = entry.fields['rules'];
  const hasRules = typeof rules === 'object' && rules !== null && Object.keys(rules).length > 0;
  if (hasRules && !entry.has('terminatingTLS')) {
    entry.refuse('serverNames', 'together with rules needs terminatingTLS');
  }
  return true;
}

function parseTls(entry: FieldReader, field: string, context: ProxyContext): boolean {
  const names = ['secret', 'certificate', 'privateKey', 'trustedCA'];
  const tls = entry.object(field, names);
  if (tls === undefined) return true;
  if (tls.require('secret')) parseSecret(tls, context);
  for (const name of names.slice(1)) tls.text(name);
  return true;
}

/** A clusterwide policy has no namespace in which a secret could be meant without saying so. */
function parseSecret(reader: FieldReader, { isClusterwide }: ProxyContext): void {
  const secret = reader.object('secret', ['name', 'namespace']);
  if (secret === undefined) return;
  requireText(secret, 'name');
  secret.text('namespace');
  if (isClusterwide) secret.require('namespace', 'a clusterwide policy has none of its own');
}

function parseListener(entry: FieldReader): boolean {
  const listener = entry.object('listener', ['envoyConfig', 'name', 'priority']);
  if (listener === undefined) return true;
  requireText(listener, 'name');
  listener.integer('priority', 1, 100);
  const config = listener.require('envoyConfig')
    ? listener.object('envoyConfig', ['kind', 'name'])
    : undefined;
  if (config === undefined) return true;
  config.choice('kind', listenerKinds);
  requireText(config, 'name');
  return true;
}

function requireText(reader: FieldReader, name: string): void {
  if (!reader.require(name)) return;
  if (reader.text(name) === '') reader.refuse(name, 'must not be empty');
}

/** Flags at the beginning are written differently in the proxy's dialect. */
function isRegex(text: string): boolean {
  try {
    new RegExp(text.replace(/^\(\?[a-zA-Z]+\)/, ''));
    return true;
  } catch {
    return false;
  }
}
