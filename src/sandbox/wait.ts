/**
 * @module Waiting for a condition with a deadline.
 */

const pollMs = 5;

/**
 * Asks until the answer is not undefined. Throws `what: …` after `timeoutMs`, or when `signal` aborts.
 */
export async function waitFor<T>(
  what: string,
  timeoutMs: number,
  ask: () => T | undefined | Promise<T | undefined>,
  signal?: AbortSignal,
): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    signal?.throwIfAborted();
    const answer = await ask();
    if (answer !== undefined) return answer;
    if (performance.now() > deadline) {
      throw new Error(`wait for ${what}: not within ${timeoutMs / 1000} s`);
    }
    await Bun.sleep(pollMs);
  }
}
