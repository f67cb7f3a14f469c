/**
 * @module
 * The objects of all policy files → table `cluster-objects`, where an object is once. Of one that
 * several files have, that of the first file by name counts; when this goes, that of the next.
 */

import { type ClusterObject, objectKey } from '../../../k8s/object.ts';
import type { Table } from '../../../kv/table.ts';
import type { ClusterObjectRow } from '../../cluster/table.ts';

export class SharedObjects {
  readonly #table: Table<ClusterObjectRow>;
  /** By file and key. */
  readonly #byFile = new Map<string, Map<string, ClusterObject>>();
  /** The files that have an object, by its key. */
  readonly #files = new Map<string, Set<string>>();

  constructor(table: Table<ClusterObjectRow>) {
    this.#table = table;
  }

  /** Those of a file, also where another file's counts. */
  of(file: string): ClusterObject[] {
    return [...(this.#byFile.get(file)?.values() ?? [])];
  }

  /** Makes these the objects of the file. True if there were any before. */
  replace(file: string, objects: readonly ClusterObject[]): boolean {
    const before = this.#byFile.get(file);
    const after = new Map(objects.map((object) => [objectKey(object), object]));
    if (after.size === 0) this.#byFile.delete(file);
    else this.#byFile.set(file, after);
    for (const key of before?.keys() ?? []) {
      if (!after.has(key)) this.#files.get(key)?.delete(file);
    }
    for (const key of after.keys()) {
      const files = this.#files.get(key);
      if (files === undefined) this.#files.set(key, new Set([file]));
      else files.add(file);
    }
    for (const key of new Set([...(before?.keys() ?? []), ...after.keys()])) this.#choose(key);
    return before !== undefined;
  }

  #choose(key: string): void {
    const files = this.#files.get(key) ?? new Set();
    if (files.size === 0) this.#files.delete(key);
    const [origin] = [...files].sort();
    const object = origin === undefined ? undefined : this.#byFile.get(origin)?.get(key);
    const row = this.#table.get(key);
    if (origin === undefined || object === undefined) this.#table.delete(key);
    else if (row?.object !== object || row.origin !== origin) {
      this.#table.upsert({ object, origin });
    }
  }
}
