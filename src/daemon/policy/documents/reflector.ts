/**
 * @module
 * The policy directory → tables `policy-rules`, `cluster-objects` and `policy-files`. A file is taken as a whole or
 * not at all: while its content is wrong or missing, the rules of its last good content stay in
 * force and the error is in its row, also when an earlier agent read it. Only deleting the file
 * takes its rules away. For a file that is there when the agent starts and of which nothing good is
 * known, a rule that denies everything stands until it is mended.
 */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { type ClusterObject, objectKey } from '../../../k8s/object.ts';
import { formatProblem } from '../../../k8s/problem.ts';
import { done, failed, type Status } from '../../../kv/status.ts';
import type { Table } from '../../../kv/table.ts';
import type { ClusterObjectRow } from '../../cluster/table.ts';
import {
  fileBytesMax,
  type ParsedPolicy,
  type ParseResult,
  parseDocuments,
} from '../parse/parse.ts';
import type { PolicyFileRow, PolicyRevision, PolicyRuleRow } from '../table.ts';
import { DirectoryWatch, type FileContent } from './directory.ts';
import type { LastGoodPolicies } from './last-good.ts';
import { ruleRows } from './rule-row.ts';
import { isClosedBy, standInRow } from './stand-in.ts';

export interface PolicyReflectorOptions {
  readonly directory: string;
  readonly cluster: string;
  readonly rules: Table<PolicyRuleRow>;
  readonly objects: Table<ClusterObjectRow>;
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
  /** Why the directory cannot be read, and why it is read without being told of changes. */
  #trouble: string | undefined;
  #polling: string | undefined;
  /** Objects that another file has, too, by file and key. */
  readonly #shadowed = new Map<string, ClusterObjectRow>();
  /** What is found now was there before the agent: who wrote it may rely on it. */
  #starting = true;

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
        this.#reportTrouble();
        if (message !== undefined) return;
        this.#closeUnread();
        this.#dropMissing();
      },
      onPolling: (message) => {
        this.#polling = message;
        this.#reportTrouble();
      },
    });
  }

  /** The rows of the files that are there are in the tables when it returns. */
  start(): void {
    this.#watch.start();
    const { directory, files, lastGood, onApplied } = this.#options;
    const known = lastGood?.names() ?? [];
    const restored: string[] = [];
    for (const name of known) {
      if (files.get(name) !== undefined) continue;
      // Being written, or in a directory that cannot be read: else it was deleted meanwhile.
      if (this.#trouble === undefined && !existsSync(join(directory, name))) lastGood?.forget(name);
      else {
        this.#refuse(name, [this.#trouble ?? 'is being written']);
        restored.push(name);
      }
    }
    if (restored.length > 0) onApplied?.(restored);
    if (this.#trouble === undefined) this.#closeUnread();
    else if (known.length === 0) {
      // It may hold anything.
      this.#refuse(directory, [this.#trouble]);
      onApplied?.([directory]);
    }
  }

  /** The files that are there at the first look and have not been read yet. The start ends here. */
  #closeUnread(): void {
    if (!this.#starting) return;
    const { directory, files, onApplied } = this.#options;
    const unread = policyFilesIn(directory).filter((name) => files.get(name) === undefined);
    for (const name of unread) this.#refuse(name, ['is being written']);
    this.#starting = false;
    if (unread.length > 0) onApplied?.(unread);
  }

  #reportTrouble(): void {
    this.#options.onTrouble?.(this.#trouble ?? this.#polling);
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
        if (this.#replace(name, [], [])) next ??= revision.next();
        table.delete(name);
        this.#options.lastGood?.forget(name);
        continue;
      }
      const result =
        content.kind === 'text'
          ? parseDocuments(content.text, { cluster })
          : refused(content.message);
      if (result.kind === 'refused') {
        this.#refuse(name, problemTexts(result));
      } else if (result.documents === 0) {
        // An empty file is one that is about to be written; to remove policies, remove the file.
        this.#refuse(name, ['holds no document']);
      } else {
        next ??= revision.next();
        const rules = this.#install(name, result, next);
        const objects = result.objects.length;
        table.upsert({ name, rules, objects, revision: next, status: done });
        if (content.kind === 'text') this.#options.lastGood?.keep(name, content.text);
      }
    }
    onApplied?.([...files.keys()]);
  }

  #refuse(name: string, problems: readonly string[]): void {
    const { files: table, revision, rules } = this.#options;
    const before = table.get(name) ?? this.#restore(name);
    if (before === undefined && this.#starting) {
      this.#replace(name, [standInRow(name, revision.next())], []);
    }
    const attempts = before?.status.kind === 'error' ? before.status.attempts + 1 : 1;
    const first = problems[0] ?? 'cannot be read';
    const all = problems.join('; ');
    const text =
      all.length > Math.max(messageLengthMax, first.length) ? all.slice(0, messageLengthMax) : all;
    const message = isClosedBy(rules, name) ? `${text} (${closedText})` : text;
    table.upsert({
      name,
      rules: before?.rules ?? 0,
      objects: before?.objects ?? 0,
      revision: before?.revision ?? 0,
      status: failed(message, attempts),
    });
  }

  /** The rules that an earlier agent has read from a file that this one cannot. */
  #restore(name: string): Restored | undefined {
    const { cluster, lastGood, revision } = this.#options;
    const text = lastGood?.read(name);
    const result = text === undefined ? undefined : parseDocuments(text, { cluster });
    if (result === undefined || result.kind === 'refused') return undefined;
    const at = revision.next();
    const rules = this.#install(name, result, at);
    return { rules, objects: result.objects.length, revision: at, status: done };
  }

  /** Returns how many rules there are. */
  #install(name: string, content: Content, revision: number): number {
    const rows = content.policies.flatMap((policy) => ruleRows(policy, name, revision));
    this.#replace(name, rows, content.objects);
    return rows.length;
  }

  /** Makes these the rules and objects of the file. True if there were any before. */
  #replace(
    name: string,
    rows: readonly PolicyRuleRow[],
    objects: readonly ClusterObject[],
  ): boolean {
    const { rules } = this.#options;
    const before = rules.by('origin', name);
    const keys = new Set(rows.map((row) => row.key));
    for (const row of before) if (!keys.has(row.key)) rules.delete(row.key);
    for (const row of rows) rules.upsert(row);
    return this.#replaceObjects(name, objects) || before.length > 0;
  }

  #replaceObjects(origin: string, objects: readonly ClusterObject[]): boolean {
    const { objects: table } = this.#options;
    const before = table.by('origin', origin);
    const keys = new Set(objects.map(objectKey));
    for (const { object } of before) {
      const key = objectKey(object);
      if (keys.has(key)) continue;
      // Another file may have it as well.
      this.#shadowed.delete(`${origin} ${key}`);
      const other = [...this.#shadowed.values()].find((row) => objectKey(row.object) === key);
      if (other === undefined) table.delete(key);
      else {
        this.#shadowed.delete(`${other.origin} ${key}`);
        table.upsert(other);
      }
    }
    for (const object of objects) this.#putObject({ object, origin });
    return before.length > 0;
  }

  /** Of an object that several files have, that of the first file by name counts. */
  #putObject(row: ClusterObjectRow): void {
    const { objects: table } = this.#options;
    const key = objectKey(row.object);
    const other = table.get(key);
    if (other === undefined || other.origin === row.origin) table.upsert(row);
    else if (row.origin < other.origin) {
      this.#shadowed.set(`${other.origin} ${key}`, other);
      table.upsert(row);
    } else this.#shadowed.set(`${row.origin} ${key}`, row);
  }
}

type Content = {
  readonly policies: readonly ParsedPolicy[];
  readonly objects: readonly ClusterObject[];
};

interface Restored {
  readonly rules: number;
  readonly objects: number;
  readonly revision: number;
  readonly status: Status;
}

type Refused = ReturnType<typeof refused> | Extract<ParseResult, { kind: 'refused' }>;

function problemTexts({ problems }: Refused): string[] {
  return problems.map((each) => (typeof each === 'string' ? each : formatProblem(each)));
}

const deleted: FileContent = { kind: 'deleted' };
const closedText = 'never read before: all pods are closed until it is mended or deleted';

/** None if the directory cannot be read. */
function policyFilesIn(directory: string): string[] {
  try {
    return readdirSync(directory).filter(isPolicyFile);
  } catch {
    return [];
  }
}

function isPolicyFile(name: string): boolean {
  return /^[^.].*\.(ya?ml|json)$/s.test(name);
}

function refused(message: string) {
  return { kind: 'refused' as const, problems: [message] };
}
