/**
 * @module
 * The policy directory → tables `policy-rules` and `policy-files`. A file is taken as a whole or
 * not at all: while its content is wrong or missing, the rules of its last good content stay in
 * force and the error is in its row, also when an earlier agent read it. Only deleting the file
 * takes its rules away.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';

import { done, failed, type Status } from '../../kv/status.ts';
import type { Table } from '../../kv/table.ts';
import { DirectoryWatch, type FileContent } from './directory.ts';
import type { LastGoodPolicies } from './last-good.ts';
import { fileBytesMax, type ParsedRule, parsePolicies } from './parse.ts';
import { ruleRow } from './rule-row.ts';
import type { PolicyFileRow, PolicyRevision, PolicyRuleRow } from './table.ts';

export interface PolicyReflectorOptions {
  readonly directory: string;
  readonly cluster: string;
  readonly rules: Table<PolicyRuleRow>;
  readonly files: Table<PolicyFileRow>;
  readonly revision: PolicyRevision;
  /** What earlier agents and this one have read without an error. */
  readonly lastGood?: LastGoodPolicies;
  /** Hears once about each batch, after the rows are in; for the log and to run the controller. */
  readonly onApplied?: (files: readonly string[]) => void;
  /** The directory cannot be read; undefined when it can again. For health. */
  readonly onTrouble?: (message: string | undefined) => void;
}

/** Files of the directory. */
const filesMax = 4096;
/** Characters of an error that a row shows; the first problem is always whole. */
const messageLengthMax = 4000;

export class PolicyReflector implements Disposable {
  readonly #options: PolicyReflectorOptions;
  readonly #watch: DirectoryWatch;
  #trouble: string | undefined;

  constructor(options: PolicyReflectorOptions) {
    this.#options = options;
    this.#watch = new DirectoryWatch({
      path: options.directory,
      accepts: isPolicyFile,
      bytesMax: fileBytesMax,
      filesMax,
      onFiles: (files) => this.#apply(files),
      expectsFiles: () => (options.lastGood?.names().length ?? 0) > 0,
      onTrouble: (message) => {
        this.#trouble = message;
        options.onTrouble?.(message);
        if (message === undefined) this.#dropMissing();
      },
    });
  }

  /** The rows of the files that are there are in the tables when it returns. */
  start(): void {
    this.#watch.start();
    const { directory, files, lastGood } = this.#options;
    const restored: string[] = [];
    for (const name of lastGood?.names() ?? []) {
      if (files.get(name) !== undefined) continue;
      // Being written, or in a directory that cannot be read: else it was deleted meanwhile.
      if (this.#trouble === undefined && !existsSync(join(directory, name))) lastGood?.forget(name);
      else {
        this.#refuse(name, [this.#trouble ?? 'is being written']);
        restored.push(name);
      }
    }
    if (restored.length > 0) this.#options.onApplied?.(restored);
  }

  stop(): void {
    this.#watch.stop();
    this.#options.lastGood?.flush();
  }

  /** The watch has never seen a file that was deleted before the directory could be read. */
  #dropMissing(): void {
    const { directory, files } = this.#options;
    const missing = [...files.keys()].filter((name) => !existsSync(join(directory, name)));
    if (missing.length > 0) this.#apply(new Map(missing.map((name) => [name, deleted])));
  }

  [Symbol.dispose](): void {
    this.stop();
  }

  /** One batch, one transaction, one revision. */
  #apply(files: ReadonlyMap<string, FileContent>): void {
    const { cluster, files: table, revision, onApplied } = this.#options;
    let next: number | undefined;
    for (const [name, content] of files) {
      if (content.kind === 'deleted') {
        if (this.#replace(name, [])) next ??= revision.next();
        table.delete(name);
        this.#options.lastGood?.forget(name);
        continue;
      }
      const result =
        content.kind === 'text' ? parsePolicies(content.text, cluster) : refused(content.message);
      if (result.kind === 'refused') {
        this.#refuse(name, result.problems);
      } else if (result.documents === 0) {
        // An empty file is one that is about to be written; to remove policies, remove the file.
        this.#refuse(name, ['holds no document']);
      } else {
        next ??= revision.next();
        this.#install(name, result.rules, next);
        table.upsert({ name, rules: result.rules.length, revision: next, status: done });
        if (content.kind === 'text') this.#options.lastGood?.keep(name, content.text);
      }
    }
    onApplied?.([...files.keys()]);
  }

  #refuse(name: string, problems: readonly string[]): void {
    const { files: table } = this.#options;
    const before = table.get(name) ?? this.#restore(name);
    const attempts = before?.status.kind === 'error' ? before.status.attempts + 1 : 1;
    const first = problems[0] ?? 'cannot be read';
    const all = problems.join('; ');
    const message =
      all.length > Math.max(messageLengthMax, first.length) ? all.slice(0, messageLengthMax) : all;
    table.upsert({
      name,
      rules: before?.rules ?? 0,
      revision: before?.revision ?? 0,
      status: failed(message, attempts),
    });
  }

  /** The rules that an earlier agent has read from a file that this one cannot. */
  #restore(name: string): { rules: number; revision: number; status: Status } | undefined {
    const { cluster, lastGood, revision } = this.#options;
    const text = lastGood?.read(name);
    const result = text === undefined ? undefined : parsePolicies(text, cluster);
    if (result === undefined || result.kind === 'refused') return undefined;
    const at = revision.next();
    this.#install(name, result.rules, at);
    return { rules: result.rules.length, revision: at, status: done };
  }

  #install(name: string, rules: readonly ParsedRule[], revision: number): void {
    this.#replace(
      name,
      rules.map((parsed) => ruleRow(parsed, name, revision)),
    );
  }

  /** Makes these the rules of the file. True if there were any before. */
  #replace(name: string, rows: readonly PolicyRuleRow[]): boolean {
    const { rules } = this.#options;
    const before = rules.by('origin', name);
    const keys = new Set(rows.map((row) => row.key));
    for (const row of before) if (!keys.has(row.key)) rules.delete(row.key);
    for (const row of rows) rules.upsert(row);
    return before.length > 0;
  }
}

const deleted: FileContent = { kind: 'deleted' };

function isPolicyFile(name: string): boolean {
  return /^[^.].*\.(ya?ml|json)$/.test(name);
}

function refused(message: string) {
  return { kind: 'refused' as const, problems: [message] };
}
