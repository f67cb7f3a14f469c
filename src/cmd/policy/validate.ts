/**
 * @module `cilium policy validate FILE…` (`cilium dbg policy validate`): every error with its line and
 * field, and warnings about what is hardly meant as it is written.
 */

import { statSync } from 'node:fs';
import { loadDocuments, type ManifestFile } from '../../daemon/policy/documents/manifest.ts';
import { lintPolicies, type Warning } from '../../daemon/policy/explain/lint.ts';
import { documentsMax, fileBytesMax, type ParsedPolicy } from '../../daemon/policy/parse/parse.ts';
import { type Problem, Problems, printable } from '../../k8s/problem.ts';
import type { Invocation } from '../command.ts';
import { UsageError } from '../flags.ts';
import { renderValue } from '../rendering.ts';
import { printOut } from '../terminal.ts';
import { answering, exitCode } from './options.ts';
import { manifestConfig, problemLines } from './source.ts';

interface Finding {
  readonly line?: number;
  readonly column?: number;
  readonly field: string;
  readonly message: string;
}

interface FileAnswer {
  readonly file: string;
  readonly valid: boolean;
  readonly policies: number;
  readonly objects: number;
  readonly errors: readonly Finding[];
  readonly warnings: readonly Finding[];
}

/** An agent refuses it, too: most likely it is being written. */
const emptyText = 'holds no document';

export function validate(invocation: Invocation): Promise<number> {
  return answering(invocation, async () => {
    const { args, flags } = invocation;
    const paths = [...args, ...flags.strings('file')];
    if (paths.length === 0) throw new UsageError('a file or a folder is needed');
    const config = manifestConfig(invocation);
    const files = loadDocuments(paths, { cluster: config.cluster });
    const parsed = files.flatMap(({ result }) => (result.kind === 'parsed' ? [result] : []));
    const warnings = Map.groupBy(
      lintPolicies(
        parsed.flatMap((each) => each.policies),
        parsed.flatMap((each) => each.objects),
        config,
      ),
      (each) => each.policy,
    );
    const twice = duplicates(files);
    const answers = files.map((file) => answerOf(file, warnings, twice));
    const isEmpty = files.length === 0;
    const form = flags.string('output');
    if (form !== undefined) printOut(await renderValue(form, answers));
    else if (isEmpty) printOut(`${paths.map(printable).join(', ')}: no *.yaml, *.yml or *.json\n`);
    else for (const [index, file] of files.entries()) printOut(text(file, answers[index]));
    if (isEmpty || files.some(({ result }) => result.kind === 'unreadable')) return exitCode.usage;
    return answers.every((each) => each.valid) ? exitCode.fine : exitCode.negative;
  });
}

function answerOf(
  file: ManifestFile,
  warnings: ReadonlyMap<ParsedPolicy, readonly Warning[]>,
  twice: ReadonlyMap<string, string>,
): FileAnswer {
  const { path, result } = file;
  const name = printable(path);
  if (result.kind !== 'parsed') {
    const errors =
      result.kind === 'unreadable'
        ? [{ field: 'file', message: printable(result.reason) }]
        : result.problems.map(findingOf);
    return { file: name, valid: false, policies: 0, objects: 0, errors, warnings: [] };
  }
  if (result.documents === 0) {
    const errors = [{ field: 'file', message: emptyText }];
    return { file: name, valid: false, policies: 0, objects: 0, errors, warnings: [] };
  }
  // All of them: one that opens something may be behind many that do nothing.
  const found = new Problems(undefined, Infinity);
  for (const each of result.policies) {
    const first = twice.get(titleOf(each)) ?? path;
    const [place] = each.places;
    if (first !== path && place !== undefined) found.add(place, `is in ${first}, too`);
    for (const warning of warnings.get(each) ?? []) found.add(warning.place, warning.message);
  }
  return {
    file: name,
    valid: true,
    policies: result.policies.length,
    objects: result.objects.length,
    errors: [],
    warnings: [
      ...tooLarge(path, result.documents).map((message) => ({ field: 'file', message })),
      ...result.warnings.map(findingOf),
      ...found.list.map(findingOf),
    ],
  };
}

function findingOf({ line, column, path, message }: Problem): Finding {
  return {
    ...(line === undefined ? {} : { line }),
    ...(column === undefined ? {} : { column }),
    field: path,
    message,
  };
}

/** What is read here, and is more than an agent takes from one file of its folder. */
function tooLarge(path: string, documents: number): string[] {
  const bytes = path === '-' ? 0 : (statSync(path, { throwIfNoEntry: false })?.size ?? 0);
  const refused = "an agent's folder refuses it, so make it several files";
  return [
    ...(bytes > fileBytesMax ? [`${bytes} bytes, more than ${fileBytesMax}: ${refused}`] : []),
    ...(documents > documentsMax
      ? [`${documents} documents, more than ${documentsMax}: ${refused}`]
      : []),
  ];
}

/** Policies that more than one file has, with the first of these files. */
function duplicates(files: readonly ManifestFile[]): Map<string, string> {
  const first = new Map<string, string>();
  for (const { path, result } of files) {
    for (const policy of result.kind === 'parsed' ? result.policies : []) {
      const title = titleOf(policy);
      if (!first.has(title)) first.set(title, path);
    }
  }
  return first;
}

function titleOf({ kind, namespace, name }: ParsedPolicy): string {
  return `${kind} ${namespace === '' ? name : `${namespace}/${name}`}`;
}

function text(file: ManifestFile, answer: FileAnswer | undefined): string {
  if (answer === undefined) return '';
  const lines = answer.valid
    ? [
        `${answer.file}: ok (${count(answer.policies, 'policy', 'policies')}, ${count(answer.objects, 'object', 'objects')})`,
      ]
    : answer.errors.length > 0 && file.result.kind === 'parsed'
      ? answer.errors.map(({ message }) => `${answer.file}: ${message}`)
      : problemLines(file);
  for (const { line, field, message } of answer.warnings) {
    const where = line === undefined ? answer.file : `${answer.file}:${line}`;
    lines.push(`${where}: warning: ${field === 'file' ? '' : `${field}: `}${message}`);
  }
  return `${lines.join('\n')}\n`;
}

function count(number: number, one: string, many: string): string {
  return `${number} ${number === 1 ? one : many}`;
}
