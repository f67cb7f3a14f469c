/**
 * @module
 * The gRPC service `observer.Observer` over an Observer. Flow and agent event streams
 * carry bytes that are encoded already, so their serializers pass them through.
 */
import {
  Metadata,
  type ServerUnaryCall,
  type ServerWritableStream,
  type ServiceDefinition,
  type sendUnaryData,
  status,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import {
  type GetAgentEventsRequest,
  type GetDebugEventsRequest,
  type GetFlowsRequest,
  type GetNamespacesRequest,
  GetNamespacesResponse,
  ObserverService,
  type ServerStatusRequest,
  type ServerStatusResponse,
} from '../../api/gen/observer/observer.ts';
import { FilterError } from '../filters/predicate.ts';
import type { Observer } from '../observer/observer.ts';
import { pump, type Query } from './stream.ts';

const passThrough = (bytes: Uint8Array): Buffer =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);

export const observerDefinition: ServiceDefinition = {
  ...ObserverService,
  getFlows: { ...ObserverService.getFlows, responseSerialize: passThrough },
  getAgentEvents: { ...ObserverService.getAgentEvents, responseSerialize: passThrough },
  getDebugEvents: { ...ObserverService.getDebugEvents, responseSerialize: passThrough },
};

const versionHeader = 'hubble-server-version';

export function observerImplementation(observer: Observer): UntypedServiceImplementation {
  const header = (): Metadata => {
    const metadata = new Metadata();
    metadata.set(versionHeader, observer.version.replace(/^cilium v/, ''));
    return metadata;
  };
  const stream = <Request>(
    call: ServerWritableStream<Request, Uint8Array>,
    open: () => Query,
  ): void => {
    let query: Query;
    try {
      query = open();
    } catch (error) {
      const code = error instanceof FilterError ? status.INVALID_ARGUMENT : status.INTERNAL;
      call.emit('error', { code, details: error instanceof Error ? error.message : String(error) });
      return;
    }
    call.sendMetadata(header());
    pump(call, query, (listener) => observer.follow(listener));
  };
  return {
    getFlows: (call: ServerWritableStream<GetFlowsRequest, Uint8Array>) =>
      stream(call, () => observer.queryFlows(call.request)),
    getAgentEvents: (call: ServerWritableStream<GetAgentEventsRequest, Uint8Array>) =>
      stream(call, () => observer.queryAgentEvents(call.request)),
    // Our datapath has no debug messages: the stream is open but empty.
    getDebugEvents: (call: ServerWritableStream<GetDebugEventsRequest, Uint8Array>) =>
      stream(call, () => ({ next: () => (call.request.follow ? 'wait' : 'end') })),
    getNodes: (_call: ServerUnaryCall<unknown, unknown>, answer: sendUnaryData<unknown>) =>
      answer({ code: status.UNIMPLEMENTED, details: 'GetNodes not implemented' }),
    getNamespaces: (
      call: ServerUnaryCall<GetNamespacesRequest, GetNamespacesResponse>,
      answer: sendUnaryData<GetNamespacesResponse>,
    ) => {
      call.sendMetadata(header());
      answer(null, GetNamespacesResponse.fromPartial({ namespaces: observer.namespaces() }));
    },
    serverStatus: (
      call: ServerUnaryCall<ServerStatusRequest, ServerStatusResponse>,
      answer: sendUnaryData<ServerStatusResponse>,
    ) => {
      call.sendMetadata(header());
      answer(null, observer.status());
    },
  };
}
