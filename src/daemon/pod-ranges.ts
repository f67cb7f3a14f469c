/**
 * @module
 * Which address ranges the pods of this node have: the configured ones, or for `auto` free ones,
 * which are remembered in the state directory so that a restart finds its pods inside them.
 */
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Address, requireAddress } from '../net/address.ts';
import {
  addressAt,
  formatPrefix,
  hostPrefix,
  type Prefix,
  parsePrefix,
  prefixOf,
} from '../net/prefix.ts';
import { chooseRange, type UsedPrefix } from './ipam/range.ts';
import { isRefusal } from './ipam/table.ts';
import { hostInterface, podInterfacePrefix } from './node/host-interface.ts';
import type { NodeState } from './node/reflector.ts';
import type { AgentConfig } from './runtime/config.ts';
import { ConfigError } from './runtime/config-error.ts';

export interface PodRange {
  readonly family: 4 | 6;
  readonly range: Prefix;
  /** What pods have as gateway. */
  readonly router: Address;
}

const fileName = 'pod-ranges.json';

/** Throws a ConfigError when a range is unsound or the host uses it already. */
export function choosePodRanges(config: AgentConfig, state: NodeState): PodRange[] {
  const path = join(config.stateDir, fileName);
  const remembered = readRemembered(path);
  const used = usedPrefixes(state);
  const ranges = ([4, 6] as const)
    .filter((family) => (family === 4 ? config.enableIpv4 : config.enableIpv6))
    .map((family) => {
      const configured = family === 4 ? config.ipv4Range : config.ipv6Range;
      const range = chooseFamily(family, configured, remembered, used);
      return { family, range, router: routerOf(config, family, range) };
    });
  if (ranges.length === 0)
    throw new ConfigError('enable-ipv4', 'one of enable-ipv4 and enable-ipv6 must be true');
  const text = JSON.stringify(ranges.map(({ range }) => formatPrefix(range)));
  writeFileSync(`${path}.tmp`, `${text}\n`, { mode: 0o640 });
  renameSync(`${path}.tmp`, path);
  return ranges;
}

function chooseFamily(
  family: 4 | 6,
  configured: string,
  remembered: readonly Prefix[],
  used: readonly UsedPrefix[],
): Prefix {
  const before = remembered.find((range) => range.family === family);
  if ((configured === 'auto' || configured === '') && before !== undefined) return before;
  const chosen = chooseRange(family, configured, used);
  if (isRefusal(chosen)) throw new ConfigError(`ipv${family}-range`, chosen.message);
  return chosen;
}

function routerOf(config: AgentConfig, family: 4 | 6, range: Prefix): Address {
  const configured = family === 4 ? config.localRouterIpv4 : config.localRouterIpv6;
  return configured === '' ? addressAt(range, 1n) : requireAddress(configured);
}

/** What the host uses, apart from what an earlier agent of ours put there. */
function usedPrefixes(state: NodeState): UsedPrefix[] {
  const names = new Map(state.links.map((link) => [link.index, link.name]));
  const isOurs = (device: number | undefined) => {
    const name = device === undefined ? '' : (names.get(device as never) ?? '');
    return name === hostInterface || name.startsWith(podInterfacePrefix);
  };
  const routes = state.routes
    .filter((route) => route.type === 'unicast' && !isOurs(route.device) && route.table !== 255)
    .map((route) => ({
      prefix: route.destination,
      what: `route ${formatPrefix(route.destination)} dev ${names.get(route.device as never) ?? '?'}`,
    }));
  const addresses = state.addresses
    .filter(({ device }) => !isOurs(device))
    .map(({ address, length, device }) => ({
      prefix: length > 0 ? prefixOf(address, length) : hostPrefix(address),
      what: `address ${formatPrefix(hostPrefix(address))} on ${names.get(device) ?? '?'}`,
    }));
  return [...routes, ...addresses];
}

function readRemembered(path: string): Prefix[] {
  if (!existsSync(path)) return [];
  try {
    const parsed: unknown = JSON.parse(readFileSync(path, 'utf8'));
    if (!Array.isArray(parsed)) return [];
    return parsed.flatMap((text) => (typeof text === 'string' ? (parsePrefix(text) ?? []) : []));
  } catch {
    // Unreadable: the endpoints that are restored keep their addresses in any case.
    return [];
  }
}
