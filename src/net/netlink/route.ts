/**
 * @module Routes over rtnetlink: add, replace, delete, list; both families, one next hop each.
 */
import {
  type Address,
  addressFromBytes,
  type Family,
  formatAddress,
  wireBytes,
} from '../address.ts';
import type { IfIndex } from '../if-index.ts';
import { formatPrefix, type Prefix, prefixOf } from '../prefix.ts';
import {
  NLM_F_CREATE,
  NLM_F_EXCL,
  NLM_F_REPLACE,
  RTM_DELROUTE,
  RTM_GETROUTE,
  RTM_NEWROUTE,
} from './constants.ts';
import {
  addressAttribute,
  deviceAttribute,
  familyFromNumber,
  familyNumber,
  prefixAttribute,
} from './family.ts';
import { Attributes, type Message, type MessageWriter, type Request, request } from './message.ts';
import type { NetlinkSocket } from './socket.ts';

const RTA_DST = 1;
const RTA_OIF = 4;
const RTA_GATEWAY = 5;
const RTA_PRIORITY = 6;
const RTA_PREFSRC = 7;
const RTA_METRICS = 8;
const RTA_TABLE = 15;
const RTAX_MTU = 2;
const RTNH_F_ONLINK = 4;
const RTM_F_CLONED = 0x200;

/** sizeof(struct rtmsg). */
const headerLength = 12;

/** Tables that every namespace has. */
export const routeTables = { default: 253, main: 254, local: 255 } as const;
/** Who made a route (`rtm_protocol`). */
export const routeProtocols = { kernel: 2, boot: 3, static: 4 } as const;
/** What a route does (`rtm_type`). */
export const routeTypes = {
  unicast: 1,
  local: 2,
  broadcast: 3,
  anycast: 4,
  multicast: 5,
  blackhole: 6,
  unreachable: 7,
  prohibit: 8,
  throw: 9,
} as const;
export type RouteType = keyof typeof routeTypes;

const typeNames = new Map<number | undefined, RouteType>(
  Object.entries(routeTypes).map(([name, value]) => [value, name as RouteType]),
);

/** A route. What is absent takes the kernel's default (table main, protocol boot, unicast). */
export interface RouteSpec {
  /** `0.0.0.0/0` or `::/0` is the default route. */
  readonly destination: Prefix;
  readonly via?: Address;
  readonly device?: IfIndex;
  /** Preferred source address. */
  readonly source?: Address;
  readonly table?: number;
  /** `link` for a neighbour without gateway; chosen from the other fields when absent. */
  readonly scope?: number;
  readonly protocol?: number;
  readonly type?: RouteType;
  readonly mtu?: number;
  readonly priority?: number;
  /** The gateway counts as directly reachable even if no route says so. */
  readonly onlink?: boolean;
}

/** A route as the kernel describes it. */
export interface Route extends RouteSpec {
  readonly table: number;
  readonly scope: number;
  readonly protocol: number;
  readonly type: RouteType;
}

/** Adds a route; `EEXIST` if one with the same destination, table and priority is there. */
export function addRoute(route: RouteSpec): Request {
  return encode(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, 'add', route);
}

/** Adds a route or takes the place of the one with the same destination, table and priority. */
export function replaceRoute(route: RouteSpec): Request {
  return encode(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, 'replace', route);
}

/** Deletes the first route that agrees with all given fields. Absent is success. */
export function deleteRoute(route: RouteSpec): Request {
  return encode(RTM_DELROUTE, 0, 'delete', route, ['ESRCH', 'ENOENT', 'ENODEV']);
}

function encode(
  type: number,
  flags: number,
  verb: string,
  route: RouteSpec,
  settled: readonly string[] = [],
): Request {
  const via = route.via === undefined ? '' : ` via ${formatAddress(route.via)}`;
  const doing = `${verb} route ${formatPrefix(route.destination)}${via}`;
  for (const address of [route.via, route.source]) {
    if (address !== undefined && address.family !== route.destination.family) {
      throw new RangeError(`${doing}: address families differ`);
    }
  }
  // RT_SCOPE_NOWHERE matches any scope in a deletion.
  const anyScope = type === RTM_DELROUTE ? 255 : defaultScope(route);
  const fill = (writer: MessageWriter) => {
    writeHeader(
      writer,
      route.destination.family,
      { ...route, scope: route.scope ?? anyScope },
      type,
    );
    if (route.destination.length > 0) {
      writer.bytes(RTA_DST, wireBytes(route.destination.address));
    }
    if (route.via !== undefined) writer.bytes(RTA_GATEWAY, wireBytes(route.via));
    if (route.source !== undefined) writer.bytes(RTA_PREFSRC, wireBytes(route.source));
    if (route.device !== undefined) writer.u32(RTA_OIF, route.device);
    writer.u32(RTA_TABLE, route.table ?? routeTables.main);
    if (route.priority !== undefined) writer.u32(RTA_PRIORITY, route.priority);
    const { mtu } = route;
    if (mtu !== undefined) writer.nested(RTA_METRICS, (metrics) => metrics.u32(RTAX_MTU, mtu));
  };
  return request(type, flags, doing, fill, settled);
}

/** What `ip route` assumes: a destination on the wire has link scope, the own host host scope. */
function defaultScope(route: RouteSpec): number {
  if (route.type === 'local') return 254;
  const isUnicast = route.type === undefined || route.type === 'unicast';
  return isUnicast && route.via === undefined && route.device !== undefined ? 253 : 0;
}

function writeHeader(
  writer: MessageWriter,
  family: Family | undefined,
  route: Partial<RouteSpec>,
  messageType: number,
): void {
  const table = route.table ?? (messageType === RTM_GETROUTE ? 0 : routeTables.main);
  // In a deletion or a dump, 0 matches every protocol and type.
  const isNew = messageType === RTM_NEWROUTE;
  const type = route.type ?? (isNew ? 'unicast' : undefined);
  writer.struct(headerLength, (view) => {
    view.setUint8(0, familyNumber(family));
    view.setUint8(1, route.destination?.length ?? 0);
    // A table above 255 stands in RTA_TABLE only.
    view.setUint8(4, table > 255 ? 0 : table);
    view.setUint8(5, route.protocol ?? (isNew ? routeProtocols.boot : 0));
    view.setUint8(6, route.scope ?? 0);
    view.setUint8(7, type === undefined ? 0 : routeTypes[type]);
    view.setUint32(8, route.onlink === true ? RTNH_F_ONLINK : 0, true);
  });
}

/** What a dump of routes is limited to; the kernel does the filtering. */
export interface RouteFilter {
  readonly family?: Family;
  readonly table?: number;
  readonly device?: IfIndex;
  readonly protocol?: number;
}

/** Routes of the namespace. A table that does not exist is empty. */
export function dumpRoutes(socket: NetlinkSocket, filter: RouteFilter = {}): Route[] {
  // Asked for all families the kernel adds those of multicast routing and MPLS.
  const families: readonly Family[] = filter.family === undefined ? [4, 6] : [filter.family];
  return families.flatMap((family) => {
    const dump = request(
      RTM_GETROUTE,
      0,
      'dump routes',
      (writer) => {
        writeHeader(writer, family, filter, RTM_GETROUTE);
        if (filter.table !== undefined) writer.u32(RTA_TABLE, filter.table);
        if (filter.device !== undefined) writer.u32(RTA_OIF, filter.device);
      },
      ['ENOENT', 'ENODEV'],
    );
    return socket.dump(dump, decodeRoute);
  });
}

/**
 * Decodes RTM_NEWROUTE and RTM_DELROUTE; `undefined` for what is not a route of the tables (cached
 * copies, other families, unknown types). A multipath route comes without its next hops.
 */
export function decodeRoute(message: Message): Route | undefined {
  const { payload } = message;
  if (payload.length < headerLength) return undefined;
  const view = new DataView(payload.buffer, payload.byteOffset, payload.length);
  const family = familyFromNumber(payload[0]);
  const type = typeNames.get(payload[7]);
  const flags = view.getUint32(8, true);
  if (family === undefined || type === undefined || (flags & RTM_F_CLONED) !== 0) return undefined;
  const attributes = new Attributes(payload, headerLength);
  const length = payload[1] ?? 0;
  const destination =
    prefixAttribute(attributes, RTA_DST, family, length) ??
    (length === 0
      ? prefixOf(addressFromBytes(new Uint8Array(family === 4 ? 4 : 16)), 0)
      : undefined);
  if (destination === undefined) return undefined;
  const via = addressAttribute(attributes, RTA_GATEWAY, family);
  const device = deviceAttribute(attributes, RTA_OIF);
  const source = addressAttribute(attributes, RTA_PREFSRC, family);
  const mtu = attributes.nested(RTA_METRICS)?.u32(RTAX_MTU);
  const priority = attributes.u32(RTA_PRIORITY);
  return {
    destination,
    table: attributes.u32(RTA_TABLE) ?? payload[4] ?? 0,
    protocol: payload[5] ?? 0,
    scope: payload[6] ?? 0,
    type,
    ...(via === undefined ? {} : { via }),
    ...(device === undefined ? {} : { device }),
    ...(source === undefined ? {} : { source }),
    ...(mtu === undefined ? {} : { mtu }),
    ...(priority === undefined ? {} : { priority }),
    ...((flags & RTNH_F_ONLINK) !== 0 ? { onlink: true } : {}),
  };
}
