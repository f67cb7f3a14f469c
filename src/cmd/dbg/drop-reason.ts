/**
 * @module Drop and forward reasons as words, as upstream's commands print them.
 */
import { dropReasonNames } from '../../bpf/gen/constants.ts';

const texts: ReadonlyMap<number, string> = new Map([
  [0, 'Success'],
  [130, 'Invalid source mac'],
  [131, 'Invalid destination mac'],
  [132, 'Invalid source ip'],
  [133, 'Policy denied'],
  [134, 'Invalid packet'],
  [135, 'CT: Truncated or invalid header'],
  [137, 'CT: Unknown L4 protocol'],
  [139, 'Unsupported L3 protocol'],
  [141, 'Error writing to packet'],
  [150, 'Unknown L3 target address'],
  [151, 'Stale or unroutable IP'],
  [155, 'CT: Map insertion failed'],
  [156, 'Invalid IPv6 extension header'],
  [157, 'IP fragmentation not supported'],
  [165, 'No configuration available'],
  [166, 'Unsupported L2 protocol'],
  [167, 'No mapping for NAT masquerade'],
  [169, 'FIB lookup failed'],
  [175, 'First logical datagram fragment not found'],
  [176, 'Forbidden ICMPv6 message'],
  [181, 'Policy denied by denylist'],
  [196, 'TTL exceeded'],
  [201, 'Multicast handled'],
  [203, 'Endpoint policy not ready'],
]);

/** Words for a reason; a number without words prints the name of its constant. */
export function dropReasonText(reason: number): string {
  return texts.get(reason) ?? dropReasonNames.get(reason) ?? `${reason}`;
}
