/**
 * @module
 * What the main thread and the flow worker say to each other. Table rows travel as
 * MirrorMessages (kv/mirror.ts), everything else is here. All of it can be cloned.
 */
import type { MirrorMessage } from '../kv/mirror.ts';

export interface FlowWorkerOptions {
  readonly nodeName: string;
  readonly clusterName: string;
  /** Flows in the ring: one less than a power of two. */
  readonly capacity: number;
  /** As `hubble status` shows it, `cilium v1.2.3`. */
  readonly version: string;
  readonly socketPath: string;
  /** `host:port`; checked by `checkListenAddress` before. */
  readonly listenAddress?: string | undefined;
  /** Pinned maps; without them the worker serves an empty ring. */
  readonly eventsMapPath?: string | undefined;
  readonly lostMapPath?: string | undefined;
}

/** One agent event, in the words of the main thread. */
export type AgentNotice =
  | { readonly type: 'agent-started' }
  | {
      readonly type: 'policy-updated' | 'policy-deleted';
      readonly labels: readonly string[];
      readonly revision: number;
      readonly ruleCount: number;
    }
  | {
      readonly type: 'endpoint-created' | 'endpoint-deleted';
      readonly id: number;
      readonly labels: readonly string[];
      readonly podName: string;
      readonly namespace: string;
    }
  | {
      readonly type: 'endpoint-regenerated';
      readonly id: number;
      readonly labels: readonly string[];
      readonly error: string;
    };

export type ToFlowWorker =
  | { readonly kind: 'init'; readonly options: FlowWorkerOptions }
  | { readonly kind: 'agent-notice'; readonly notice: AgentNotice; readonly timeMs: number }
  | { readonly kind: 'status'; readonly request: number }
  | { readonly kind: 'stop' }
  | MirrorMessage;

export interface FlowWorkerStatus {
  readonly flows: number;
  readonly capacity: number;
  readonly seenFlows: number;
  readonly flowsPerSecond: number;
  readonly uptimeMs: number;
  readonly followers: number;
  readonly events: number;
  readonly malformedEvents: number;
  /** Losses so far by source, in the words of the metric label. */
  readonly lost: Readonly<Record<string, number>>;
  readonly port: number;
}

export type FromFlowWorker =
  | { readonly kind: 'ready'; readonly port: number }
  | { readonly kind: 'failed'; readonly message: string }
  | { readonly kind: 'problem'; readonly message: string }
  | { readonly kind: 'status'; readonly request: number; readonly status: FlowWorkerStatus }
  | { readonly kind: 'stopped' };
