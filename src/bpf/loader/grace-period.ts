/**
 * @module
 * Shortens what the kernel waits for RCU while a program is attached. A tcx attachment waits for a
 * grace period (some 12 ms with a tick of 4) under the lock of all interfaces; an expedited one takes
 * 0.1 ms, as the kernel itself uses when it removes an interface. The switch is the machine's, so
 * it is on for the length of one call only. Any number but 0 means on: ours tells whose it is, so
 * that the next agent can undo it after one that was killed in between.
 */
import { readFileSync, writeFileSync } from 'node:fs';

const control = '/sys/kernel/rcu_expedited';
const off = '0';
/** "cil" in ASCII. */
const ours = String(0x63696c);

/** Runs `body` with expedited grace periods where the machine has the switch and lets us. */
export function withShortGracePeriods<T>(body: () => T): T {
  // On already: by the administrator, or by another agent that will switch it off.
  if (!switchTo(off, ours)) return body();
  try {
    return body();
  } finally {
    switchTo(ours, off);
  }
}

/** Switches off what an agent that was killed has left on. */
export function healGracePeriods(): void {
  switchTo(ours, off);
}

function switchTo(from: string, to: string): boolean {
  try {
    if (readFileSync(control, 'utf8').trim() !== from) return false;
    writeFileSync(control, to);
    return true;
  } catch {
    // A kernel without it, or /sys that may not be written: attaching takes longer, no more.
    return false;
  }
}
