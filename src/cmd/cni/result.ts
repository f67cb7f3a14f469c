/**
 * @module CNI results: one internal form, printed in the shape of each version of the specification,
 * and merged behind the result of the plugins that ran before.
 */
import { isObject } from './conf.ts';
import { CniError } from './error.ts';
import { type CniVersion, isAtLeast } from './version.ts';

export interface ResultInterface {
  readonly name: string;
  readonly mac: string;
  readonly sandbox: string;
}

export interface ResultAddress {
  readonly family: 4 | 6;
  /** With its length, `10.0.0.5/32`. */
  readonly address: string;
  readonly gateway: string;
  /** Index into the interfaces. */
  readonly interface: number;
}

export interface ResultRoute {
  readonly destination: string;
  readonly gateway: string;
  readonly mtu: number;
}

/** What our ADD made. */
export interface CniResult {
  readonly interfaces: readonly ResultInterface[];
  readonly addresses: readonly ResultAddress[];
  readonly routes: readonly ResultRoute[];
  readonly dns: object | undefined;
}

type Fields = Readonly<Record<string, unknown>>;

/** The result as JSON, behind the previous one if there is one. */
export function formatResult(
  result: CniResult,
  version: CniVersion,
  previous: Fields | undefined,
): string {
  const shape = isAtLeast(version, '0.3.0')
    ? currentShape(result, version, previous ?? {})
    : oldShape(result, version, previous ?? {});
  return `${JSON.stringify(shape, null, 4)}\n`;
}

/** 0.3.0 and later: lists of interfaces, addresses and routes. */
function currentShape(result: CniResult, version: CniVersion, previous: Fields): object {
  const hasIpVersion = !isAtLeast(version, '1.0.0');
  const earlier = listOf(previous, 'interfaces');
  const ips = result.addresses.map((entry) => ({
    ...(hasIpVersion ? { version: String(entry.family) } : {}),
    // Indexes count in the merged list.
    interface: entry.interface + earlier.length,
    address: entry.address,
    gateway: entry.gateway,
  }));
  const interfaces = result.interfaces.map(({ name, mac, sandbox }) => ({
    name,
    mac,
    ...(sandbox === '' ? {} : { sandbox }),
  }));
  const routes = result.routes.map(({ destination, gateway, mtu }) => ({
    dst: destination,
    ...(gateway === '' ? {} : { gw: gateway }),
    ...(mtu === 0 ? {} : { mtu }),
  }));
  const dns = previous['dns'] ?? result.dns ?? (hasIpVersion ? {} : undefined);
  return {
    cniVersion: version,
    interfaces: [...earlier, ...interfaces],
    ips: [...listOf(previous, 'ips'), ...ips],
    routes: [...listOf(previous, 'routes'), ...routes],
    ...(dns === undefined ? {} : { dns }),
  };
}

/** 0.1.0 and 0.2.0: one address of each family, no interfaces. */
function oldShape(result: CniResult, version: CniVersion, previous: Fields): object {
  const shape: Record<string, unknown> = { ...previous, cniVersion: version };
  for (const { family, address, gateway } of result.addresses) {
    const routes = result.routes
      .filter((route) => route.destination.includes(':') === (family === 6))
      .map((route) => ({
        dst: route.destination,
        ...(route.gateway === '' ? {} : { gw: route.gateway }),
      }));
    shape[`ip${family}`] ??= { ip: address, gateway, routes };
  }
  shape['dns'] ??= result.dns ?? {};
  return shape;
}

function listOf(previous: Fields, name: string): readonly unknown[] {
  const value = previous[name];
  if (value === undefined || value === null) return [];
  if (Array.isArray(value)) return value;
  throw new CniError('invalidNetworkConfig', `prevResult.${name}: has to be a list`);
}

/** An interface and its addresses as an earlier result lists them, for CHECK. */
export interface ExpectedInterface {
  readonly mac: string;
  /** With their lengths. */
  readonly addresses: readonly string[];
  /** Host sides of the same attachment: interfaces without sandbox that the result lists. */
  readonly hostInterfaces: readonly string[];
}

/** What a result says of the container's interface of this name. Throws `CniError`. */
export function expectedInterface(previous: Fields, ifname: string): ExpectedInterface {
  const interfaces = listOf(previous, 'interfaces');
  const index = interfaces.findIndex(
    (one) => isObject(one) && one['name'] === ifname && Boolean(one['sandbox']),
  );
  const found = interfaces[index];
  if (!isObject(found)) {
    const message = `prevResult.interfaces: ${ifname} is not among them`;
    throw new CniError('invalidNetworkConfig', message);
  }
  const addresses = listOf(previous, 'ips').flatMap((one) => {
    if (!isObject(one) || one['interface'] !== index) return [];
    const { address } = one;
    return typeof address === 'string' ? [address] : [];
  });
  const hostInterfaces = interfaces.flatMap((one) =>
    isObject(one) && !one['sandbox'] && typeof one['name'] === 'string' ? [one['name']] : [],
  );
  return { mac: String(found['mac'] ?? ''), addresses, hostInterfaces };
}
