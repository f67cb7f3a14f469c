/**
 * @module The number of a network interface within its network namespace.
 */

/** Interface index. Branded: must not be mixed with endpoint ids or identities. 0 is no interface. */
export type IfIndex = number & { readonly __ifIndex: unique symbol };

/** Largest index: the kernel keeps it in a signed 32-bit integer. */
const ifIndexMax = 0x7fffffff;

/** Brands a number that came from the kernel or a file. Throws on what cannot be an index. */
export function ifIndex(value: number): IfIndex {
  if (!Number.isInteger(value) || value < 0 || value > ifIndexMax) {
    throw new RangeError(`interface index out of range: ${value}`);
  }
  return value as IfIndex;
}
