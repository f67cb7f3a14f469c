/**
 * @module Paths of the API → operations. A path is a list of segments, `{}` stands for one that is a
 * parameter; a literal segment wins over a parameter.
 */
import type { RestContext } from './context.ts';
import type { Reply } from './reply.ts';

/** A request as it arrived, read to its end. */
export interface ApiRequest {
  readonly method: string;
  /** Path and query. */
  readonly target: string;
  /** By lower-case name. */
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly body: string;
  /** Aborts when the client goes away before the answer. */
  readonly signal: AbortSignal;
}

/** One request on its way to an operation. */
export interface Call {
  readonly context: RestContext;
  readonly request: ApiRequest;
  readonly url: URL;
  /** The path's parameters, decoded, in order. */
  readonly parameters: readonly string[];
}

export type Operation = (call: Call) => Reply | Promise<Reply>;

export interface Route {
  readonly method: 'GET' | 'PUT' | 'POST' | 'PATCH' | 'DELETE';
  /** Below `/v1`, e.g. `/endpoint/{}/config`. */
  readonly path: string;
  /** As in `enable-cilium-api-server-access`, e.g. `GetEndpointIDConfig`. */
  readonly operation: string;
  readonly run: Operation;
}

interface Node {
  readonly literals: Map<string, Node>;
  parameter: Node | undefined;
  readonly methods: Map<string, Route>;
}

/** What a path leads to. */
export interface RouteMatch {
  readonly methods: ReadonlyMap<string, Route>;
  readonly parameters: readonly string[];
}

/** Finds routes by path. */
export class Router {
  readonly #root = newNode();

  constructor(routes: readonly Route[]) {
    for (const route of routes) this.#add(route);
  }

  #add(route: Route): void {
    let node = this.#root;
    for (const segment of segmentsOf(route.path)) {
      if (segment === '{}') {
        node.parameter ??= newNode();
        node = node.parameter;
      } else {
        const next = node.literals.get(segment) ?? newNode();
        node.literals.set(segment, next);
        node = next;
      }
    }
    node.methods.set(route.method, route);
  }

  /** The operations of a path, or `undefined`. `segments` are still encoded. */
  find(segments: readonly string[]): RouteMatch | undefined {
    let node = this.#root;
    const parameters: string[] = [];
    for (const segment of segments) {
      const literal = node.literals.get(segment);
      const next = literal ?? node.parameter;
      if (next === undefined) return undefined;
      if (literal === undefined) {
        const decoded = decodeSegment(segment);
        if (decoded === undefined || decoded === '') return undefined;
        parameters.push(decoded);
      }
      node = next;
    }
    return node.methods.size === 0 ? undefined : { methods: node.methods, parameters };
  }
}

/** The segments of a path without its leading slash. */
export function segmentsOf(path: string): readonly string[] {
  return path.split('/').slice(1);
}

function newNode(): Node {
  return { literals: new Map(), parameter: undefined, methods: new Map() };
}

/** `undefined` for a broken percent encoding. */
function decodeSegment(segment: string): string | undefined {
  try {
    return decodeURIComponent(segment);
  } catch {
    return undefined;
  }
}
