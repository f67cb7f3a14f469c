/**
 * @module
 * The flow worker's thread: kernel events in, Hubble's gRPC out, beside the control
 * plane and undisturbed by it. Started by hubble/flow-worker.ts, which speaks
 * hubble/protocol.ts with it.
 */
import { FlowService } from './hubble/flow-service.ts';
import type { FromFlowWorker, ToFlowWorker } from './hubble/protocol.ts';

declare const self: Worker;

let service: FlowService | undefined;

const say = (message: FromFlowWorker): void => self.postMessage(message);

async function hear(message: ToFlowWorker): Promise<void> {
  switch (message.kind) {
    case 'init':
      service = new FlowService(message.options, (text) => say({ kind: 'problem', message: text }));
      say({ kind: 'ready', port: await service.start() });
      return;
    case 'table-mirror':
      service?.applyTable(message);
      return;
    case 'agent-notice':
      service?.notice(message.notice, message.timeMs);
      return;
    case 'status':
      if (service !== undefined) {
        say({ kind: 'status', request: message.request, status: service.status() });
      }
      return;
    case 'stop':
      service?.[Symbol.dispose]();
      service = undefined;
      say({ kind: 'stopped' });
  }
}

self.onmessage = (event: MessageEvent<ToFlowWorker>) => {
  hear(event.data).catch((error: unknown) => {
    const cause =
      error instanceof Error && error.cause instanceof Error ? `: ${error.cause.message}` : '';
    say({ kind: 'failed', message: `${error instanceof Error ? error.message : error}${cause}` });
  });
};
