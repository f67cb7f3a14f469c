/**
 * @module
 * The policy directory → tables `policy-rules`, `cluster-objects` and `policy-files`. A file is taken as a whole or
 * not at all: while its content is wrong or missing, the rules of its last good content stay in
 * force and the error is in its row, also when an earlier agent read it. Only deleting the file
 * takes its rules away, and to rename it, or to put one in its place that is refused, is not to delete
 * it. For a file that is there when the agent starts and of which nothing good is known, a rule that
 * denies everything stands until it is mended. A new one that is refused changes nothing.
 */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { ClusterObject } from '../../../k8s/object.ts';
import { formatProblem, printable } from '../../../k8s/problem.ts';
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
import { DirectoryWatch } from './directory.ts';
import type { FileContent } from './file-content.ts';
import type { LastGoodPolicies } from './last-good.ts';
import { ruleRows } from './rule-row.ts';
import { SharedObjects } from './shared-objects.ts';
import { folderRowName, isClosedBy, isFolderRow, isStandIn, standInRow } from './stand-in.ts';

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
  readonly #objects: SharedObjects;
  /** Files that are gone, by the refused file for which their content stays. */
  readonly #inherited = new Map<string, Set<string>>();
  /** What is found now was there before the agent: who wrote it may rely on it. */
  #starting = true;

  constructor(options: PolicyReflectorOptions) {
    this.#options = options;
    this.#objects = new SharedObjects(options.objects);
    this.#watch = new DirectoryWatch({
      path: options.directory,
      accepts: isPolicyFile,
      bytesMax: fileBytesMax,
      filesMax,
      onFiles: (files) => this.#apply(files),
      onFolders: (names) => this.#tellFolders(names),
      expectsFiles: () => (options.lastGood?.names().length ?? 0) > 0,
      onTrouble: (message) => {
        this.#trouble = message;
        this.#reportTrouble();
        if (message !== undefined || !this.#starting) return;
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
    const folders = [...files.keys()].filter(isFolderRow);
    const told = [...unread, ...folders];
    if (told.length > 0) onApplied?.(told);
  }

  /** Who puts a file into a folder in the directory expects it to be in force. */
  #tellFolders(names: ReadonlySet<string>): void {
    const { files, onApplied } = this.#options;
    const rows = new Set([...names].map(folderRowName));
    const gone = [...files.keys()].filter((name) => isFolderRow(name) && !rows.has(name));
    const found = [...rows].filter((name) => files.get(name) === undefined);
    for (const name of gone) files.delete(name);
    for (const name of found) {
      files.upsert({ name, rules: 0, objects: 0, revision: 0, status: failed(folderText, 1) });
    }
    // While the agent starts, the rules are not there yet: the end of the start tells.
    if (!this.#starting) onApplied?.([...gone, ...found]);
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
    const deleted = { kind: 'deleted', renamedTo: undefined } as const;
    if (missing.length > 0) this.#apply(new Map(missing.map((name) => [name, deleted])));
  }

  [Symbol.dispose](): void {
    this.stop();
  }

  /** One batch, one transaction, one revision. */
  #apply(files: ReadonlyMap<string, FileContent>): void {
    const { revision, onApplied } = this.#options;
    let next: number | undefined;
    const revisionOfBatch = () => {
      next ??= revision.next();
      return next;
    };
    const gone: (readonly [string, string | undefined])[] = [];
    const strangers: string[] = [];
    for (const [name, content] of files) {
      if (content.kind === 'deleted') gone.push([name, content.renamedTo]);
      else if (!this.#take(name, content, revisionOfBatch) && !this.#isInForce(name)) {
        strangers.push(name);
      }
    }
    // Last, so that what is theirs can go to others.
    const unexplained = strangers.filter((name) =>
      gone.every(([, renamedTo]) => renamedTo !== name),
    );
    for (const [name, renamedTo] of gone) {
      const heirs = renamedTo === undefined ? unexplained : [renamedTo];
      for (const heir of heirs) this.#inherit(heir, name);
      if (this.#replace(name, [], [])) revisionOfBatch();
      this.#forget(name);
    }
    onApplied?.([...files.keys()]);
  }

  /** False if the content is refused. */
  #take(
    name: string,
    content: Exclude<FileContent, { kind: 'deleted' }>,
    revisionOfBatch: () => number,
  ): boolean {
    const { cluster, files: table, lastGood } = this.#options;
    const result =
      content.kind === 'text'
        ? parseDocuments(content.text, { cluster })
        : refused(content.message);
    if (result.kind === 'refused') {
      this.#refuse(name, problemTexts(result));
      return false;
    }
    if (result.documents === 0) {
      // An empty file is one that is about to be written; to remove policies, remove the file.
      this.#refuse(name, ['holds no document']);
      return false;
    }
    const next = revisionOfBatch();
    const rules = this.#install(name, result, next);
    const objects = result.objects.length;
    const warnings = result.warnings.map(formatProblem);
    table.upsert({ name, rules, objects, revision: next, warnings, status: done });
    this.#inherited.delete(name);
    if (content.kind === 'text') lastGood?.keep(name, content.text);
    return true;
  }

  #forget(name: string): void {
    this.#options.files.delete(name);
    this.#options.lastGood?.forget(name);
    this.#inherited.delete(name);
  }

  #isInForce(name: string): boolean {
    return this.#options.rules.by('origin', name).length > 0 || this.#objects.of(name).length > 0;
  }

  /**
   * What is in force of a file that goes stays for the sake of another one that is refused: it is the
   * same file under a new name, or one that was to take its place.
   */
  #inherit(heir: string, gone: string): void {
    const { files, rules, lastGood } = this.#options;
    const row = files.get(heir);
    const said = this.#inForceText(heir);
    if (row?.status.kind !== 'error' || !this.#isInForce(gone)) return;
    const texts = (this.#isInForce(heir) ? [heir, gone] : [gone]).map((name) =>
      lastGood?.read(name),
    );
    const left = rules.by('origin', gone).map((each) => bequeathed(each, heir));
    const objects = [...this.#objects.of(gone), ...this.#objects.of(heir)];
    this.#replace(heir, [...rules.by('origin', heir), ...left], objects);
    // The next agent restores all of it, or closes.
    if (texts.includes(undefined)) lastGood?.forget(heir);
    else lastGood?.keep(heir, texts.join('\n---\n'));
    const names = this.#inherited.get(heir) ?? new Set();
    this.#inherited.set(heir, names.add(gone));
    files.upsert({
      ...row,
      rules: rules.by('origin', heir).filter((each) => !isStandIn(each)).length,
      objects: this.#objects.of(heir).length,
      revision: Math.max(row.revision, files.get(gone)?.revision ?? 0),
      status: {
        ...row.status,
        message: `${row.status.message.slice(0, -said.length || undefined)}${this.#inForceText(heir)}`,
      },
    });
  }

  #refuse(name: string, problems: readonly string[]): void {
    const { files: table, revision } = this.#options;
    const before = table.get(name) ?? this.#restore(name);
    if (before === undefined && this.#starting) {
      this.#replace(name, [standInRow(name, revision.next())], []);
    }
    const attempts = before?.status.kind === 'error' ? before.status.attempts + 1 : 1;
    const first = problems[0] ?? 'cannot be read';
    const all = problems.join('; ');
    const text =
      all.length > Math.max(messageLengthMax, first.length) ? all.slice(0, messageLengthMax) : all;
    table.upsert({
      name,
      rules: before?.rules ?? 0,
      objects: before?.objects ?? 0,
      revision: before?.revision ?? 0,
      status: failed(`${text}${this.#inForceText(name)}`, attempts),
    });
  }

  /** What is in force of a refused file, unless it is its own last good content. */
  #inForceText(name: string): string {
    if (isClosedBy(this.#options.rules, name)) return ` (${closedText})`;
    const names = [...(this.#inherited.get(name) ?? [])].map(printable).sort();
    if (names.length === 0) return '';
    return ` (what was in ${names.join(', ')} stays in force until it is mended or deleted)`;
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
    return this.#objects.replace(name, objects) || before.length > 0;
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

const closedText = 'never read before: all pods are closed until it is mended or deleted';
const folderText = 'is a folder: policy files in it are not read';

/** A rule of a file that goes, as one of its heir. Both may have one of the same name. */
function bequeathed(row: PolicyRuleRow, heir: string): PolicyRuleRow {
  if (isStandIn(row)) return standInRow(heir, row.revision);
  return { ...row, key: `${heir}|${row.key}`, origin: heir };
}

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
