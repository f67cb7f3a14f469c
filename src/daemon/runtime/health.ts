/**
 * @module
 * How each part of the agent is doing, in its own words: a table with one row per module, written
 * by the parts through reporters, read by the status API and the health port.
 */

import { errorText } from '../../kv/error.ts';
import { Table } from '../../kv/table.ts';

export type HealthLevel = 'ok' | 'degraded' | 'stopped';

export interface HealthRow {
  /** Dotted, from the general to the special: `endpoint.reconciler`. */
  readonly module: string;
  readonly level: HealthLevel;
  readonly message: string;
  /** ISO; when this level began. */
  readonly since: string;
  /** ISO; when it was last said. */
  readonly updatedAt: string;
}

export const healthTable = () =>
  new Table<HealthRow>({
    name: 'health',
    key: (row) => row.module,
    indexes: { level: (row) => [row.level] },
    columns: [
      { name: 'module', value: (row) => row.module },
      { name: 'level', value: (row) => row.level },
      { name: 'message', value: (row) => row.message },
      { name: 'since', value: (row) => row.since },
    ],
  });

/** One module's voice. Saying the same thing again changes nothing. */
export interface HealthReporter {
  ok(message: string): void;
  degraded(message: string, error?: unknown): void;
  stopped(message: string): void;
  /** The module is gone, and nobody need know of it any more. */
  remove(): void;
}

export class Health {
  readonly table: Table<HealthRow>;

  constructor(table: Table<HealthRow> = healthTable()) {
    this.table = table;
  }

  reporter(module: string): HealthReporter {
    return {
      ok: (message) => this.#say(module, 'ok', message),
      degraded: (message, error) =>
        this.#say(
          module,
          'degraded',
          error === undefined ? message : `${message}: ${errorText(error)}`,
        ),
      stopped: (message) => this.#say(module, 'stopped', message),
      remove: () => void this.table.delete(module),
    };
  }

  /** The worst level of all modules, with one degraded module's words. Stopping is not an illness. */
  overall(): { readonly level: HealthLevel; readonly message: string } {
    const degraded = this.table.by('level', 'degraded');
    const first = degraded[0];
    if (first === undefined) return { level: 'ok', message: '' };
    const more = degraded.length > 1 ? ` (and ${degraded.length - 1} more)` : '';
    return { level: 'degraded', message: `${first.module}: ${first.message}${more}` };
  }

  #say(module: string, level: HealthLevel, message: string): void {
    const before = this.table.get(module);
    if (before?.level === level && before.message === message) return;
    const updatedAt = new Date().toISOString();
    const since = before?.level === level ? before.since : updatedAt;
    this.table.upsert({ module, level, message, since, updatedAt });
  }
}
