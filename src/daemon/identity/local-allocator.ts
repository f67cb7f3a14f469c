/**
 * @module
 * Identities of address blocks, known on this node only: flows show by them which block of a policy
 * an outside address is in. Policy itself asks for the address, not for these. Writes table
 * `identities`.
 */

import type { Table } from '../../kv/table.ts';
import { formatPrefix, type Prefix } from '../../net/prefix.ts';
import {
  type IdentityId,
  type IdentityRow,
  identityId,
  localIdentityMax,
  localIdentityMin,
  sortLabels,
} from './table.ts';

const numbers = localIdentityMax - localIdentityMin + 1;

/** `cidr:10.0.0.0/8`; in IPv6 `-` for each `:`, and `0` where one stands at an end. */
export function cidrLabel(prefix: Prefix): string {
  const text = formatPrefix(prefix);
  const slash = text.indexOf('/');
  const address = text.slice(0, slash).replace(/^:/, '0:').replace(/:$/, ':0').replaceAll(':', '-');
  return `cidr:${address}${text.slice(slash)}`;
}

export class LocalIdentities {
  readonly #table: Table<IdentityRow, IdentityId>;
  readonly #worldLabel: (family: 4 | 6) => string;
  readonly #byPrefix = new Map<string, IdentityId>();

  /** `worldLabel` is that of the world identity of a family. */
  constructor(table: Table<IdentityRow, IdentityId>, worldLabel: (family: 4 | 6) => string) {
    this.#table = table;
    this.#worldLabel = worldLabel;
  }

  /** The identity of the block, the same at every call. Undefined if all numbers are in use. */
  allocate(prefix: Prefix): IdentityId | undefined {
    const text = formatPrefix(prefix);
    const known = this.#byPrefix.get(text);
    if (known !== undefined) return known;
    const start = Bun.hash.xxHash32(text) % numbers;
    for (let step = 0; step < numbers; step++) {
      const id = identityId(localIdentityMin + ((start + step) % numbers));
      if (this.#table.get(id) !== undefined) continue;
      const labels = sortLabels([cidrLabel(prefix), this.#worldLabel(prefix.family)]);
      this.#table.upsert({ id, labels, reserved: false, refCount: 1 });
      this.#byPrefix.set(text, id);
      return id;
    }
    return undefined;
  }

  release(prefix: Prefix): void {
    const text = formatPrefix(prefix);
    const id = this.#byPrefix.get(text);
    if (id === undefined) return;
    this.#byPrefix.delete(text);
    this.#table.delete(id);
  }
}
