/**
 * @module
 * Files and folders of manifests → parsed documents, file by file, for commands that work without
 * an agent. Kinds that have nothing to do with policy are skipped with a warning.
 */

import { readdirSync, readFileSync, realpathSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { DocumentLimits } from '../../../k8s/document.ts';
import { type ParseResult, parseDocuments } from '../parse/parse.ts';

/** A dump of a whole cluster is larger than any policy file. */
const manifestLimits: DocumentLimits = {
  bytesMax: 64 * 1024 * 1024,
  documentsMax: 200_000,
  nodesMax: 10_000_000,
};
const filesMax = 10_000;

export interface ManifestFile {
  /** The path as it was found; `-` is the standard input. */
  readonly path: string;
  /** A file that cannot be read has its reason here. */
  readonly result: ParseResult | { readonly kind: 'unreadable'; readonly reason: string };
}

export interface ManifestOptions {
  readonly cluster?: string;
  readonly otherKinds?: 'refuse' | 'skip';
  /** Reads the standard input; for tests. */
  readonly readStdin?: () => string;
}

/**
 * Reads files, folders (`*.yaml`, `*.yml`, `*.json` in them and below, without hidden ones) and `-`,
 * in this order, folders by name. Never throws.
 */
export function loadDocuments(
  paths: readonly string[],
  options: ManifestOptions = {},
): ManifestFile[] {
  const { readStdin = () => readFileSync(0, 'utf8'), otherKinds = 'skip', cluster } = options;
  const parseOptions = {
    otherKinds,
    limits: manifestLimits,
    ...(cluster === undefined ? {} : { cluster }),
  };
  const load = (path: string): ManifestFile => {
    let text: string;
    try {
      if (path !== '-' && statSync(path).size > manifestLimits.bytesMax) {
        return unreadable(path, `is larger than ${manifestLimits.bytesMax} bytes`);
      }
      text = path === '-' ? readStdin() : readFileSync(path, 'utf8');
    } catch (cause) {
      return unreadable(path, reasonOf(cause));
    }
    return { path, result: parseDocuments(text, parseOptions) };
  };
  return paths.flatMap((path) => {
    if (path === '-') return [load(path)];
    const found: ManifestFile[] = [];
    const files = filesOf(path, found);
    if (files.length > filesMax) found.push(unreadable(path, `has more than ${filesMax} files`));
    return [...found, ...files.slice(0, filesMax).map(load)];
  });
}

/**
 * The path itself if it is no folder. A folder is read once, for links may lead to it again. Those
 * that cannot be read are added to `failed`.
 */
function filesOf(path: string, failed: ManifestFile[], seen = new Set<string>()): string[] {
  try {
    if (!statSync(path).isDirectory()) return [path];
    const real = realpathSync(path);
    if (seen.has(real)) return [];
    seen.add(real);
    const names = readdirSync(path).filter((name) => !name.startsWith('.'));
    return names.sort().flatMap((name) => childFiles(join(path, name), failed, seen));
  } catch (cause) {
    failed.push(unreadable(path, reasonOf(cause)));
    return [];
  }
}

/** What cannot be looked at, such as a link to itself, is a failure of its own and of nobody else. */
function childFiles(child: string, failed: ManifestFile[], seen: Set<string>): string[] {
  const isManifest = /\.(ya?ml|json)$/.test(child);
  try {
    const stat = statSync(child, { throwIfNoEntry: false });
    if (stat?.isDirectory() === true) return filesOf(child, failed, seen);
    return stat?.isFile() === true && isManifest ? [child] : [];
  } catch (cause) {
    if (isManifest) failed.push(unreadable(child, reasonOf(cause)));
    return [];
  }
}

function unreadable(path: string, reason: string): ManifestFile {
  return { path, result: { kind: 'unreadable', reason } };
}

function reasonOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}
