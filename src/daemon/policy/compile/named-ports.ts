/**
 * @module
 * The numbers that names of ports have on pods, kept up to date pod by pod: rules that ask for a name
 * need not look at the pods.
 */

import type { ContainerPort } from '../../../k8s/object.ts';

export class NamedPorts {
  readonly #ofPod = new Map<string, readonly string[]>();
  /** By `name/proto`: how many pods have each number. */
  readonly #numbers = new Map<string, Map<number, number>>();

  /** Ascending. */
  numbers(name: string, proto: number): number[] {
    return [...(this.#numbers.get(`${name}/${proto}`)?.keys() ?? [])].sort((a, b) => a - b);
  }

  /** The ports of a pod; none if it is gone. True if a name came to have a number, or lost one. */
  set(pod: string, ports: readonly ContainerPort[]): boolean {
    const before = this.#ofPod.get(pod) ?? [];
    const texts = ports.map(({ name, proto, port }) => `${name}/${proto}/${port}`);
    const after = [...new Set(texts)];
    if (after.length === 0) this.#ofPod.delete(pod);
    else this.#ofPod.set(pod, after);
    let changed = false;
    for (const each of after) if (!before.includes(each)) changed = this.#count(each, 1) || changed;
    for (const each of before)
      if (!after.includes(each)) changed = this.#count(each, -1) || changed;
    return changed;
  }

  /** True for the first and the last. */
  #count(text: string, step: 1 | -1): boolean {
    const end = text.lastIndexOf('/');
    const [name, number] = [text.slice(0, end), Number(text.slice(end + 1))];
    const numbers = this.#numbers.get(name) ?? new Map<number, number>();
    this.#numbers.set(name, numbers);
    const count = (numbers.get(number) ?? 0) + step;
    if (count === 0) numbers.delete(number);
    else numbers.set(number, count);
    if (numbers.size === 0) this.#numbers.delete(name);
    return count === 0 || (count === 1 && step === 1);
  }
}
