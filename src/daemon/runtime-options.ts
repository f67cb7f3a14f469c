/**
 * @module
 * The options that can change while the agent runs (PATCH /config), by upstream's names: which kinds
 * of events programs send. Pure.
 */
import type { EventSwitches } from '../bpf/map/runtime-config.ts';
import type { Refusal } from './ipam/table.ts';

export interface RuntimeOptions extends EventSwitches {
  /** What policy denies goes on, and is told. */
  readonly audit: boolean;
}

const switches: Readonly<Record<string, keyof RuntimeOptions>> = {
  DropNotification: 'drop',
  TraceNotification: 'trace',
  PolicyVerdictNotification: 'verdict',
  PolicyAuditMode: 'audit',
};

const words: Readonly<Record<string, boolean>> = {
  enabled: true,
  enable: true,
  true: true,
  disabled: false,
  disable: false,
  false: false,
};

/** All of the wanted options, or why one of them cannot be. */
export function writeRuntimeOptions(
  before: RuntimeOptions,
  wanted: Readonly<Record<string, string>>,
): RuntimeOptions | Refusal {
  const next = { ...before };
  for (const [name, value] of Object.entries(wanted)) {
    const option = switches[name];
    const on = words[value.toLowerCase()];
    if (option === undefined) {
      return {
        refused: 'invalid',
        message: `option ${name} cannot be changed while the agent runs`,
      };
    }
    if (on === undefined) {
      return {
        refused: 'invalid',
        message: `option ${name}: ${JSON.stringify(value)} is neither enabled nor disabled`,
      };
    }
    next[option] = on;
  }
  return next;
}
