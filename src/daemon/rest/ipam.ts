/**
 * @module `/ipam`: addresses for pods. A plugin asks for the next ones, with the time limit that a
 * later PUT of the endpoint lifts; ours asks for its configuration in the same answer.
 */
import type { Family } from '../../net/address.ts';
import { type AddressRow, isRefusal } from '../ipam/table.ts';
import { hostAddressing } from './addressing.ts';
import { booleanParameter, RequestRejected } from './body.ts';
import { pluginConfiguration } from './config.ts';
import { type Reply, reply, replyEmpty, replyInvalid, replyRefusal } from './reply.ts';
import type { Call, Route } from './router.ts';

/** Request header by which our plugin saves the round trip of `GET /config`. */
export const configurationHeader = 'with-configuration';

function postIpam({ context, request, url }: Call): Reply {
  const family = familyParameter(url.searchParams.get('family'));
  const expiration = booleanParameter(request.headers['expiration'], 'expiration', 'header');
  const withConfiguration = booleanParameter(
    request.headers[configurationHeader],
    configurationHeader,
    'header',
  );
  const allocation = context.ipam.allocateNext({
    ...(family === undefined ? {} : { family }),
    owner: url.searchParams.get('owner') ?? '',
    expiration,
  });
  if (isRefusal(allocation)) return replyRefusal(allocation, 502);
  const { ipv4, ipv6 } = allocation;
  const body = {
    address: { ...addressPair('ipv4', ipv4), ...addressPair('ipv6', ipv6) },
    'host-addressing': hostAddressing(context),
    ...(ipv4 === undefined ? {} : { ipv4: addressModel(ipv4) }),
    ...(ipv6 === undefined ? {} : { ipv6: addressModel(ipv6) }),
    ...(withConfiguration ? { configuration: pluginConfiguration(context) } : {}),
  };
  return reply(body, 201);
}

function familyParameter(text: string | null): Family | undefined {
  switch (text) {
    case null:
    case '':
      return undefined;
    case 'ipv4':
      return 4;
    case 'ipv6':
      return 6;
    default: {
      const message = 'family in query should be one of [ipv4 ipv6]';
      throw new RequestRejected(replyInvalid(422, message, 606));
    }
  }
}

function addressPair(family: 'ipv4' | 'ipv6', row: AddressRow | undefined): object {
  return row === undefined ? {} : { [family]: row.address, [`${family}-pool-name`]: row.pool };
}

function addressModel(row: AddressRow): object {
  return {
    cidrs: null,
    ...(row.expirationUuid === undefined ? {} : { 'expiration-uuid': row.expirationUuid }),
    ip: row.address,
  };
}

function postIpamIp({ context, parameters, url }: Call): Reply {
  const [ip = ''] = parameters;
  const owner = url.searchParams.get('owner') ?? '';
  if (!url.searchParams.get('pool')) {
    const message = `unable to restore IP ${ip} for ${JSON.stringify(owner)}: pool name must be provided`;
    return reply(message, 500);
  }
  const row = context.ipam.allocateAddress(ip, owner);
  // Upstream's class for every reason why it cannot be had.
  return isRefusal(row) ? replyRefusal(row, 500) : replyEmpty();
}

function deleteIpamIp({ context, parameters, url }: Call): Reply {
  const [ip = ''] = parameters;
  if (!url.searchParams.get('pool')) {
    return reply(`no IPAM pool provided for IP release of ${ip}`, 500);
  }
  const holder = context.reflector.holderOf(ip);
  if (holder !== undefined && context.endpoints.get(holder.id) === holder) {
    return reply(`IP is in use by endpoint ${holder.id}`, 500);
  }
  // A deleted endpoint gives it back by itself when no program knows it any more.
  if (holder !== undefined) return replyEmpty();
  const refusal = context.ipam.release(ip);
  if (refusal === undefined) return replyEmpty();
  return replyRefusal(refusal, refusal.refused === 'invalid' ? 400 : 500);
}

export const ipamRoutes: readonly Route[] = [
  { method: 'POST', path: '/ipam', operation: 'PostIPAM', run: postIpam },
  { method: 'POST', path: '/ipam/{}', operation: 'PostIPAMIP', run: postIpamIp },
  { method: 'DELETE', path: '/ipam/{}', operation: 'DeleteIPAMIP', run: deleteIpamIp },
];
