/**
 * @module
 * Entries of the maps that hold state (not connections) as text: the one form in which REST's
 * `/map/{name}` and the debug commands show them.
 */
import { formatMac } from '../../net/mac.ts';
import { endpointFlags, ipcacheFlags } from '../gen/constants.ts';
import type {
  AddressSet,
  Device,
  Endpoint,
  IdentityClass,
  IdentityClassKey,
  IpcacheEntry,
  IpcacheKey,
  PolicyConfig,
  RuntimeConfig,
} from '../gen/layouts.ts';
import { addressText, hex, prefixText } from './address-text.ts';
import { peerClassText } from './peer-class.ts';

/** Key of cilium_lxc. */
export function lxcKeyText(address: Uint8Array): string {
  return `${addressText(address)}:0`;
}

/** An endpoint row on one line. */
export function endpointText(value: Endpoint): string {
  if ((value.flags & endpointFlags.ENDPOINT_HOST) !== 0) return '(localhost)';
  return (
    `id=${pad(value.id, 5)} sec_id=${pad(value.identity, 5)} flags=${hex(value.flags, 4)} ` +
    `ifindex=${pad(value.ifindex, 3)} mac=${macText(value.mac)} nodemac=${macText(value.nodeMac)} ` +
    `parent_ifindex=0  `
  );
}

function pad(value: number, columns: number): string {
  return String(value).padEnd(columns);
}

function macText(bytes: Uint8Array): string {
  return formatMac(bytes).toUpperCase();
}

export function ipcacheKeyText({ addr, prefixlen }: IpcacheKey): string {
  return prefixText(addr, prefixlen);
}

/** An ipcache entry on one line. */
export function ipcacheText(entry: IpcacheEntry): string {
  const tunnel = addressText(entry.tunnelEndpoint);
  const endpoint = tunnel === '::' ? '0.0.0.0' : tunnel;
  const names = [
    (entry.flags & ipcacheFlags.IPCACHE_HOST) !== 0 ? 'host' : '',
    (entry.flags & ipcacheFlags.IPCACHE_UNROUTABLE) !== 0 ? 'unroutable' : '',
  ].filter((name) => name !== '');
  const flags = names.length === 0 ? '<none>' : names.join(',');
  return `identity=${entry.identity} encryptkey=0 tunnelendpoint=${endpoint} flags=${flags}`;
}

export function identityClassKeyText(key: IdentityClassKey): string {
  return `identity=${key.identity} set=${key.addressSet}`;
}

/** The class and the group in each bank. */
export function identityClassText({ classId, groupId }: IdentityClass): string {
  return `class=${classId.map(peerClassText).join('/')} group=${groupId.map(peerClassText).join('/')}`;
}

/** The sets in each bank. */
export function addressSetText({ outside, inside }: AddressSet): string {
  return `outside=${outside.join('/')} inside=${inside.join('/')}`;
}

export function deviceText({ ipv4, ipv6 }: Device): string {
  return `ipv4=${addressText(ipv4)} ipv6=${addressText(ipv6)}`;
}

export function policyConfigText({ flags, denyCookie }: PolicyConfig): string {
  const [ingress, egress] = denyCookie;
  return `flags=${hex(flags, 4)} deny_ingress=${hex(ingress, 8)} deny_egress=${hex(egress, 8)}`;
}

export function runtimeConfigText({ epoch, flags, hostPolicyId }: RuntimeConfig): string {
  return `epoch=${epoch} bank=${epoch & 1} flags=${hex(flags, 4)} host_policy=${hostPolicyId}`;
}
