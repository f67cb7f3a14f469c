/**
 * @module
 * The Peer service of a single node: it tells the caller about itself and then keeps
 * the stream open, as nothing else ever changes.
 */
import type { ServerWritableStream, UntypedServiceImplementation } from '@grpc/grpc-js';
import {
  type ChangeNotification,
  ChangeNotificationType,
  type NotifyRequest,
} from '../../api/gen/peer/peer.ts';

export function peerImplementation(name: string, address: string): UntypedServiceImplementation {
  return {
    notify: (call: ServerWritableStream<NotifyRequest, ChangeNotification>) => {
      call.write({ name, address, type: ChangeNotificationType.PEER_ADDED, tls: undefined });
    },
  };
}
