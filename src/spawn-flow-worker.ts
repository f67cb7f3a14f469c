/**
 * @module
 * Makes the thread of the flow worker. A file of its own beside main and the worker, because a
 * compiled executable finds a worker relative to its root only.
 */
export function spawnFlowWorker(): Worker {
  return new Worker(new URL('./worker-hubble.ts', import.meta.url));
}
