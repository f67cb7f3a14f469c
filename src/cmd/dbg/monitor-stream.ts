/**
 * @module The flow stream of a Hubble server on a unix socket, as an async iteration.
 */
import { credentials, status } from '@grpc/grpc-js';
import type { Flow } from '../../api/gen/flow/flow.ts';
import {
  GetFlowsRequest,
  type GetFlowsResponse,
  ObserverClient,
} from '../../api/gen/observer/observer.ts';

/** A flow, or a number of lost ones. */
export interface StreamEvent {
  readonly flow: Flow | undefined;
  readonly lost: number;
}

export interface ObserverStream {
  readonly events: AsyncIterable<StreamEvent>;
  readonly cancel: () => void;
}

/** Follows from now on. Iterating throws when the server cannot be reached; cancelling ends it. */
export function observerStream(socketPath: string): ObserverStream {
  const client = new ObserverClient(`unix://${socketPath}`, credentials.createInsecure());
  const call = client.getFlows(GetFlowsRequest.fromPartial({ follow: true }));
  async function* events(): AsyncGenerator<StreamEvent> {
    try {
      for await (const response of call as AsyncIterable<GetFlowsResponse>) {
        yield { flow: response.flow, lost: Number(response.lost_events?.num_events_lost ?? 0) };
      }
    } catch (error) {
      const { code, details } = error as { code?: number; details?: string };
      if (code === status.CANCELLED) return;
      throw new Error(`follow flows on ${socketPath}: ${details ?? String(error)}`, {
        cause: error,
      });
    } finally {
      client.close();
    }
  }
  return { events: events(), cancel: () => call.cancel() };
}
