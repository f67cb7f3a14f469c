/**
 * @module
 * Text (YAML or JSON, several documents, `List` kinds) → objects, each with its place. Bounded in
 * bytes, documents, depth, size and aliases, for anybody may have written it.
 */

import {
  type Document,
  isAlias,
  isMap,
  isNode,
  isScalar,
  isSeq,
  LineCounter,
  type ParsedNode,
  parseAllDocuments,
} from 'yaml';
import { FieldReader, isFields } from './field.ts';
import { type DocumentPlace, Place, type Position, type Step } from './place.ts';
import type { Problems } from './problem.ts';

export interface DocumentLimits {
  /** Bytes of the text. */
  readonly bytesMax: number;
  /** Documents, entries of lists counted. */
  readonly documentsMax: number;
  /** Values of one document; what an alias stands for counts as often as it is used. */
  readonly nodesMax: number;
}

const depthMax = 40;
/** What one alias may multiply, and how many there may be: each is looked up from the top. */
const aliasWeightMax = 100;
const aliasesMax = 1000;
const errorsMax = 3;

/** One object of the text; lists are opened. */
export interface Entry {
  readonly value: unknown;
  readonly place: Place;
  /** Its title is to be set once the object's name is known. */
  readonly document: DocumentPlace;
}

/** Never throws. What is wrong is in `problems`, and then entries may be missing. */
export function readDocuments(
  text: string,
  limits: DocumentLimits,
  listKinds: readonly string[],
  problems: Problems,
): readonly Entry[] {
  if (Buffer.byteLength(text) > limits.bytesMax) {
    problems.addToFile(`is larger than ${limits.bytesMax} bytes`);
    return [];
  }
  const entries: Entry[] = [];
  try {
    const parsed = parseAllDocuments(text, {
      // The library compares each key with every other one of its map: see checkNodes.
      uniqueKeys: false,
      prettyErrors: false,
      logLevel: 'error',
    });
    const documents = Array.isArray(parsed) ? parsed : [];
    const positionOf = positions(text);
    for (const [index, document] of documents.entries()) {
      readDocument(document, index, positionOf, limits, listKinds, entries, problems);
    }
  } catch (cause) {
    // Nesting that exhausts the stack, and aliases that multiply, end here.
    problems.addToFile(cause instanceof RangeError ? 'nested too deeply' : String(cause));
  }
  if (entries.length > limits.documentsMax) {
    problems.addToFile(`has more than ${limits.documentsMax} documents`);
    return [];
  }
  return entries;
}

function readDocument(
  document: Document.Parsed<ParsedNode>,
  index: number,
  positionOf: (offset: number) => Position,
  limits: DocumentLimits,
  listKinds: readonly string[],
  entries: Entry[],
  problems: Problems,
): void {
  const title = `document ${index + 1}`;
  // One mistake often makes hundreds of errors; the first ones say where it is.
  for (const { message, pos } of [...document.errors, ...document.warnings].slice(0, errorsMax)) {
    const place = new Place({ title, locate: () => positionOf(pos[0]) });
    problems.add(place, message.split('\n', 1)[0]?.replace(/:$/, '') ?? 'cannot be read');
  }
  if (document.errors.length > 0) return;
  const mistakes = checkNodes(document.contents, limits.nodesMax);
  for (const { message, offset } of mistakes.slice(0, errorsMax)) {
    problems.add(new Place({ title, locate: () => positionOf(offset ?? 0) }), message);
  }
  if (mistakes.length > 0) return;
  const value: unknown = document.toJS({ maxAliasCount: aliasWeightMax });
  if (value === null || value === undefined) return;
  const locateIn = (prefix: readonly Step[]) => (steps: readonly Step[]) => {
    const offset = offsetOf(document.contents, [...prefix, ...steps]);
    return offset === undefined ? undefined : positionOf(offset);
  };
  const whole: DocumentPlace = { title, locate: locateIn([]) };
  const place = new Place(whole);
  if (!isBounded(value, limits.nodesMax)) {
    problems.add(place, `nested deeper than ${depthMax} or too large`);
    return;
  }
  const kind = isFields(value) ? value['kind'] : undefined;
  if (typeof kind !== 'string' || !listKinds.includes(kind)) {
    entries.push({ value, place, document: whole });
    return;
  }
  const schema = ['apiVersion', 'kind', 'metadata', 'items'];
  const list = FieldReader.open(value, place, schema, problems);
  const items = list?.require('items') === true ? list.list('items', limits.documentsMax) : [];
  if (entries.length + (items?.length ?? 0) > limits.documentsMax) {
    problems.addToFile(`has more than ${limits.documentsMax} documents`);
    return;
  }
  for (const [at, item] of (items ?? []).entries()) {
    const inside = { title: `${title}: items[${at}]`, locate: locateIn(['items', at]) };
    // The items of a typed list carry no kind of their own when an API server wrote it.
    const typed = kind === 'List' || !isFields(item) || Object.hasOwn(item, 'kind');
    const apiVersion = isFields(value) ? value['apiVersion'] : undefined;
    const object = typed ? item : { apiVersion, kind: kind.replace(/List$/, ''), ...item };
    entries.push({ value: object, place: new Place(inside), document: inside });
  }
}

/** Lines are counted at the first question only: that takes a third of the time of reading. */
function positions(text: string): (offset: number) => Position {
  let counter: LineCounter | undefined;
  return (offset) => {
    if (counter === undefined) {
      counter = new LineCounter();
      counter.addNewLine(0);
      for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1)) {
        counter.addNewLine(at + 1);
      }
    }
    const { line, col } = counter.linePos(offset);
    return { line, column: col };
  };
}

/** Where in the text the value begins, or the innermost thing around it that is written. */
function offsetOf(root: unknown, steps: readonly Step[]): number | undefined {
  let node = root;
  let offset = startOf(node);
  for (const step of steps) {
    if (isMap(node) && typeof step === 'string') {
      const pair = node.items.find(({ key }) => String(isScalar(key) ? key.value : key) === step);
      if (pair === undefined) break;
      offset = startOf(pair.key) ?? offset;
      node = pair.value;
    } else if (isSeq(node) && typeof step === 'number') {
      const item = node.items[step];
      if (item === undefined) break;
      offset = startOf(item) ?? offset;
      node = item;
    } else break;
  }
  return offset;
}

function startOf(node: unknown): number | undefined {
  return isNode(node) ? node.range?.[0] : undefined;
}

interface Mistake {
  readonly message: string;
  readonly offset: number | undefined;
}

/** What the library would find slowly or only while it makes a value of it. */
function checkNodes(root: unknown, nodesMax: number): Mistake[] {
  const mistakes: Mistake[] = [];
  let nodes = 0;
  let aliases = 0;
  let stopped = false;
  const visit = (node: unknown, depth: number): void => {
    if (stopped || mistakes.length >= errorsMax) return;
    if (++nodes > nodesMax || depth > depthMax) {
      const message = `nested deeper than ${depthMax} or too large`;
      mistakes.push({ message, offset: startOf(root) });
      stopped = true;
    } else if (isAlias(node) && ++aliases > aliasesMax) {
      mistakes.push({ message: `has more than ${aliasesMax} aliases`, offset: startOf(node) });
      stopped = true;
    } else if (isSeq(node)) {
      for (const item of node.items) visit(item, depth + 1);
    } else if (isMap(node)) {
      const keys = new Set<string>();
      for (const { key, value } of node.items) {
        const name = isScalar(key) ? String(key.value) : undefined;
        const offset = startOf(key);
        if (name === undefined) mistakes.push({ message: 'a key must be text', offset });
        else if (keys.has(name)) mistakes.push({ message: 'Map keys must be unique', offset });
        else keys.add(name);
        visit(value, depth + 1);
      }
    }
  };
  visit(root, 0);
  return mistakes.slice(0, errorsMax);
}

/** True unless the value is deeper or larger than any object; aliases count as often as used. */
function isBounded(root: unknown, nodesMax: number): boolean {
  let nodes = 0;
  const visit = (value: unknown, depth: number): boolean => {
    if (++nodes > nodesMax || depth > depthMax) return false;
    if (typeof value !== 'object' || value === null) return true;
    return Object.values(value).every((each) => visit(each, depth + 1));
  };
  return visit(root, 0);
}
