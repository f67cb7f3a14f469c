/**
 * @module
 * Moves what a query yields into a gRPC stream: as long as the client takes it, in
 * portions so that other clients and the reader of the kernel's events get their turn.
 */
import type { ServerWritableStream } from '@grpc/grpc-js';

/** Responses written before others get a turn. */
const portion = 256;

export interface Query {
  next(): Uint8Array | 'wait' | 'end';
}

/** Runs until the query ends or the client goes. Never throws into the caller. */
export function pump<Request>(
  call: ServerWritableStream<Request, Uint8Array>,
  query: Query,
  follow: (listener: () => void) => Disposable,
): void {
  let waiting: Disposable | undefined;
  let paused = false;
  let scheduled = false;
  let done = false;
  const stop = (): void => {
    done = true;
    waiting?.[Symbol.dispose]();
    waiting = undefined;
  };
  const run = (): void => {
    scheduled = false;
    if (done || paused) return;
    for (let written = 0; written < portion; written++) {
      const response = query.next();
      if (response === 'end') {
        stop();
        call.end();
        return;
      }
      if (response === 'wait') {
        waiting ??= follow(schedule);
        return;
      }
      if (!call.write(response)) {
        paused = true;
        return;
      }
    }
    schedule();
  };
  const schedule = (): void => {
    if (scheduled || done || paused) return;
    scheduled = true;
    setImmediate(run);
  };
  call.on('drain', () => {
    paused = false;
    run();
  });
  for (const event of ['cancelled', 'close', 'error', 'finish']) call.on(event, stop);
  run();
}
