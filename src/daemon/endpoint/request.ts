/**
 * @module What a client may ask of an endpoint: REST's `EndpointChangeRequest` and the forms of an
 * endpoint id, taken from outside text and checked field by field. Pure.
 */
import { type Family, formatAddress, parseAddress } from '../../net/address.ts';
import { type IfIndex, ifIndex } from '../../net/if-index.ts';
import { formatMac, parseMac } from '../../net/mac.ts';
import type { Refusal } from '../ipam/table.ts';
import type { EndpointState } from './table.ts';

/** A checked request. Text fields that were absent are empty. */
export interface EndpointRequest {
  /** 0: the agent chooses. */
  readonly id: number;
  readonly containerId: string;
  readonly containerInterfaceName: string;
  readonly netnsPath: string;
  readonly podName: string;
  readonly namespace: string;
  readonly podUid: string;
  /** As asked for; the label source decides what becomes of them. */
  readonly labels: readonly string[];
  readonly interfaceName: string;
  readonly ifindex: IfIndex;
  readonly mac: string;
  readonly hostMac: string;
  readonly ipv4: string | undefined;
  readonly ipv6: string | undefined;
  readonly ipv4ExpirationUuid: string | undefined;
  readonly ipv6ExpirationUuid: string | undefined;
  readonly syncBuild: boolean;
}

/** What a PATCH names; absent fields stay. */
export interface EndpointPatch {
  readonly labels?: readonly string[];
}

/** The states of the REST model. */
export const endpointStates: readonly EndpointState[] = [
  'waiting-for-identity',
  'not-ready',
  'waiting-to-regenerate',
  'regenerating',
  'restoring',
  'ready',
  'disconnecting',
  'disconnected',
  'invalid',
];

/** Longest container id, path and pod name that are accepted; runtimes use 64, 108 and 253. */
const textMax = 1024;
/** Interface names are 15 bytes in the kernel (IFNAMSIZ). */
const interfaceNameMax = 15;
const podNameMax = 253;
const namespaceMax = 63;
/** Labels on one endpoint. Kubernetes limits the size of an object, not the number. */
const labelsMax = 512;
const labelTextMax = 1024;

/** Stops the walk over the fields at the first that is wrong. */
class FieldError extends Error {}

type Fields = Readonly<Record<string, unknown>>;

/** True for a JSON object. */
export function isObject(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Checks a whole EndpointChangeRequest. The refusal names the field and what is wrong with it. */
export function parseEndpointRequest(body: unknown): EndpointRequest | Refusal {
  return refusing(() => {
    const fields = objectAt(body, 'endpoint');
    const addressing = objectAt(fields['addressing'] ?? {}, 'addressing');
    checkState(fields['state']);
    const ipv4 = addressField(addressing, 'ipv4', 4);
    const ipv6 = addressField(addressing, 'ipv6', 6);
    if (ipv4 === undefined && ipv6 === undefined) {
      throw new FieldError('addressing: at least one of ipv4 and ipv6 is required');
    }
    const containerId = idField(fields, 'container-id');
    return {
      id: integerField(fields, 'id', 0xffff) ?? 0,
      containerId,
      containerInterfaceName: interfaceField(fields, 'container-interface-name', 'eth0'),
      netnsPath: textField(fields, 'container-netns-path'),
      podName: podField(fields, 'k8s-pod-name', podNameMax) || containerId.slice(0, 12),
      namespace: podField(fields, 'k8s-namespace', namespaceMax) || 'default',
      podUid: textField(fields, 'k8s-uid'),
      labels: labelsField(fields),
      interfaceName: interfaceField(fields, 'interface-name', undefined),
      ifindex: indexField(fields, 'interface-index'),
      mac: macField(fields, 'mac'),
      hostMac: macField(fields, 'host-mac'),
      ipv4,
      ipv6,
      ipv4ExpirationUuid: textField(addressing, 'ipv4-expiration-uuid') || undefined,
      ipv6ExpirationUuid: textField(addressing, 'ipv6-expiration-uuid') || undefined,
      syncBuild: booleanField(fields, 'sync-build-endpoint'),
    };
  });
}

/** Checks the fields of a PATCH. Only labels can change while an endpoint lives. */
export function parseEndpointPatch(body: unknown): EndpointPatch | Refusal {
  return refusing(() => {
    const fields = objectAt(body, 'endpoint');
    checkState(fields['state']);
    return fields['labels'] === undefined || fields['labels'] === null
      ? {}
      : { labels: labelsField(fields) };
  });
}

function refusing<T>(parse: () => T): T | Refusal {
  try {
    return parse();
  } catch (error) {
    if (error instanceof FieldError) return { refused: 'invalid', message: error.message };
    throw error;
  }
}

function objectAt(value: unknown, name: string): Fields {
  if (!isObject(value)) throw new FieldError(`${name}: has to be an object`);
  return value;
}

function textField(fields: Fields, name: string): string {
  const value = fields[name];
  if (value === undefined || value === null) return '';
  if (typeof value !== 'string') throw new FieldError(`${name}: has to be a string`);
  if (value.length > textMax) throw new FieldError(`${name}: longer than ${textMax} characters`);
  if (hasControlCharacter(value)) throw new FieldError(`${name}: holds a control character`);
  return value;
}

function hasControlCharacter(text: string): boolean {
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code < 0x20 || code === 0x7f) return true;
  }
  return false;
}

function nameField(fields: Fields, name: string): string {
  const value = textField(fields, name);
  if (value === '') throw new FieldError(`${name}: is required`);
  return value;
}

/** A container id as the CNI specification wants it. */
function idField(fields: Fields, name: string): string {
  const value = nameField(fields, name);
  if (/^[A-Za-z0-9][A-Za-z0-9_.-]*$/.test(value)) return value;
  throw new FieldError(`${name}: ${JSON.stringify(value)} is not a container id`);
}

/** A pod's name or namespace: becomes part of labels and flows, so it must not hold separators. */
function podField(fields: Fields, name: string, max: number): string {
  const value = textField(fields, name);
  if (
    value === '' ||
    (/^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$/.test(value) && value.length <= max)
  ) {
    return value;
  }
  throw new FieldError(`${name}: ${JSON.stringify(value)} is not a Kubernetes name`);
}

function interfaceField(fields: Fields, name: string, absent: string | undefined): string {
  const value = textField(fields, name) || absent;
  if (value === undefined) throw new FieldError(`${name}: is required`);
  if (!isInterfaceName(value)) {
    throw new FieldError(`${name}: ${JSON.stringify(value)} is not an interface name`);
  }
  return value;
}

/** True for a name that the kernel accepts (dev_valid_name in net/core/dev.c). */
export function isInterfaceName(name: string): boolean {
  if (name === '' || name === '.' || name === '..') return false;
  return name.length <= interfaceNameMax && !/[/:\s]/.test(name) && !hasControlCharacter(name);
}

function integerField(fields: Fields, name: string, max: number): number | undefined {
  const value = fields[name];
  if (value === undefined || value === null) return undefined;
  if (typeof value !== 'number' || !Number.isInteger(value) || value < 0 || value > max) {
    throw new FieldError(`${name}: has to be an integer from 0 to ${max}`);
  }
  return value;
}

function indexField(fields: Fields, name: string): IfIndex {
  const value = integerField(fields, name, 0x7fffffff) ?? 0;
  if (value === 0) throw new FieldError(`${name}: is required`);
  return ifIndex(value);
}

function booleanField(fields: Fields, name: string): boolean {
  const value = fields[name];
  if (value === undefined || value === null) return false;
  if (typeof value !== 'boolean') throw new FieldError(`${name}: has to be true or false`);
  return value;
}

function macField(fields: Fields, name: string): string {
  const value = nameField(fields, name);
  const mac = parseMac(value);
  if (mac === undefined) {
    throw new FieldError(`${name}: ${JSON.stringify(value)} is not a MAC address`);
  }
  return formatMac(mac);
}

function addressField(fields: Fields, name: string, family: Family): string | undefined {
  const value = textField(fields, name);
  if (value === '') return undefined;
  const address = parseAddress(value);
  if (address?.family !== family) {
    throw new FieldError(
      `addressing.${name}: ${JSON.stringify(value)} is not an IPv${family} address`,
    );
  }
  return formatAddress(address);
}

function labelsField(fields: Fields): readonly string[] {
  const value = fields['labels'];
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) throw new FieldError('labels: has to be a list of strings');
  if (value.length > labelsMax) throw new FieldError(`labels: more than ${labelsMax}`);
  return value.map((label, index) => {
    const isText = typeof label === 'string' && label !== '' && label.length <= labelTextMax;
    if (!isText || hasControlCharacter(label)) {
      throw new FieldError(`labels[${index}]: has to be a text of 1 to ${labelTextMax} characters`);
    }
    return label;
  });
}

function checkState(value: unknown): void {
  if (value === undefined || value === null || value === '') return;
  if (!endpointStates.some((state) => state === value)) {
    throw new FieldError(`state: has to be one of ${endpointStates.join(' ')}`);
  }
}
