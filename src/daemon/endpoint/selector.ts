/**
 * @module The ways to name an endpoint, `[prefix:]id` in REST and on command lines, and looking one
 * up in the table `endpoints`.
 */

import type { TableView } from '../../kv/table.ts';
import { formatAddress, parseAddress } from '../../net/address.ts';
import type { Refusal } from '../ipam/table.ts';
import { type EndpointId, type EndpointRow, endpointId } from './table.ts';

/** A named endpoint: by number, by an index of the table, or by something that we never have. */
export type EndpointSelector =
  | { readonly by: 'id'; readonly id: number }
  | { readonly by: 'containerId' | 'attachment' | 'podName' | 'ip'; readonly value: string }
  | { readonly by: 'nothing' };

/** Reads `[prefix:]id`. A number alone is this node's endpoint id; 0 asks for a new one. */
export function parseEndpointSelector(text: string): EndpointSelector | Refusal {
  const colon = text.indexOf(':');
  const prefix = colon < 0 ? 'cilium-local' : text.slice(0, colon);
  const value = text.slice(colon + 1);
  switch (prefix) {
    case 'cilium-local':
      return parseNumber(value);
    case 'container-id':
      return { by: 'containerId', value };
    case 'cni-attachment-id':
      return { by: 'attachment', value };
    case 'pod-name':
    case 'cep-name':
    case 'k8s-pod-name':
      return { by: 'podName', value };
    case 'ipv4':
    case 'ipv6':
      return parseIp(prefix, value);
    case 'container-name':
    case 'docker-endpoint':
    case 'cilium-global':
      return { by: 'nothing' };
    default:
      return invalid(`unknown endpoint ID prefix ${JSON.stringify(prefix)}`);
  }
}

/** The endpoint that a selector names, or `undefined`. Of several, the one that was made first. */
export function findEndpoint(
  table: TableView<EndpointRow, EndpointId>,
  selector: EndpointSelector,
): EndpointRow | undefined {
  switch (selector.by) {
    case 'id':
      return selector.id === 0 ? undefined : table.get(endpointId(selector.id));
    case 'nothing':
      return undefined;
    default:
      return table.by(selector.by, selector.value)[0];
  }
}

function parseNumber(text: string): EndpointSelector | Refusal {
  if (!/^[+-]?[0-9]+$/.test(text)) {
    const quoted = JSON.stringify(text);
    return invalid(
      `invalid numeric cilium id: strconv.ParseInt: parsing ${quoted}: invalid syntax`,
    );
  }
  const id = Number(text);
  // What is no 16-bit number cannot exist, which is not the same as being malformed.
  return id >= 0 && id <= 0xffff ? { by: 'id', id } : { by: 'nothing' };
}

function parseIp(prefix: 'ipv4' | 'ipv6', text: string): EndpointSelector | Refusal {
  const address = parseAddress(text);
  if (address?.family !== (prefix === 'ipv4' ? 4 : 6)) {
    return invalid(`invalid ${prefix} address ${JSON.stringify(text)}`);
  }
  return { by: 'ip', value: formatAddress(address) };
}

function invalid(message: string): Refusal {
  return { refused: 'invalid', message };
}
