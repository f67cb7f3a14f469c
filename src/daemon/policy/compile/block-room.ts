/**
 * @module
 * Which rules fit, by the blocks of addresses that they name: the rules with the most are left out
 * until the others fit, whatever the order in which they came. Only counts; `rule-uses.ts` acts.
 */

import { blocksOf, type CompiledRule } from './compiled-rule.ts';

export class BlockRoom {
  /** Different blocks of every rule that names any. */
  readonly #blocks = new Map<CompiledRule, readonly string[]>();
  readonly #excluded = new Set<CompiledRule>();
  /** Came since the last look; nothing is decided yet. */
  readonly #fresh = new Set<CompiledRule>();
  /** By block: rules that fit and name it. */
  readonly #counts = new Map<string, number>();
  readonly #moved = new Set<CompiledRule>();

  /** The rules that are left out: no other is worse than any of them. */
  get excluded(): ReadonlySet<CompiledRule> {
    return this.#excluded;
  }

  /** Different blocks of the rules that fit. */
  get size(): number {
    return this.#counts.size;
  }

  /** True if the rule names blocks, so that the next `fit` decides about it. */
  add(rule: CompiledRule): boolean {
    const blocks = [...blocksOf(rule)];
    if (blocks.length === 0) return false;
    this.#blocks.set(rule, blocks);
    this.#fresh.add(rule);
    return true;
  }

  /** False if the rule names no blocks. */
  delete(rule: CompiledRule): boolean {
    if (!this.#blocks.has(rule)) return false;
    if (!this.#fresh.delete(rule) && !this.#excluded.delete(rule)) this.#count(rule, -1);
    this.#blocks.delete(rule);
    this.#moved.delete(rule);
    return true;
  }

  /** Leaves out as many rules as have to be so that no more than `max` blocks are left. */
  fit(max: number): void {
    this.#decideFresh();
    if (this.size > max) {
      for (const rule of this.#worstFirst(this.#fitting())) {
        if (this.size <= max) break;
        this.#leaveOut(rule);
      }
    }
    for (const rule of this.#worstFirst(this.#excluded).reverse()) {
      if (this.size + this.#ownBlocks(rule) > max) break;
      this.#takeIn(rule);
    }
  }

  /**
   * Leaves out the worst, as long as no more than so many blocks go, and until one goes. Returns how
   * many may be named without any of these rules; undefined if there was none to leave out.
   */
  reduce(blocks: number): number | undefined {
    const before = this.size;
    let best: CompiledRule | undefined;
    for (const rule of this.#worstFirst(this.#fitting())) {
      const left = this.size;
      this.#leaveOut(rule);
      if (left < before && before - this.size > blocks) {
        this.#takeIn(rule);
        break;
      }
      best = rule;
    }
    return best && this.size + Math.max(this.#ownBlocks(best) - 1, 0);
  }

  /** Rules that are new, came to be left out, or no more, since the last call. */
  takeMoved(): CompiledRule[] {
    const moved = [...this.#moved];
    this.#moved.clear();
    return moved;
  }

  #decideFresh(): void {
    // Who is worse than one for whom there was no room has none either.
    const [bound] = this.#fresh.size === 0 ? [] : this.#worstFirst(this.#excluded).slice(-1);
    for (const rule of this.#fresh) {
      this.#moved.add(rule);
      if (bound !== undefined && this.#compare(rule, bound) < 0) this.#excluded.add(rule);
      else this.#count(rule, 1);
    }
    this.#fresh.clear();
  }

  #fitting(): CompiledRule[] {
    return [...this.#blocks.keys()].filter((rule) => !this.#excluded.has(rule));
  }

  #worstFirst(rules: Iterable<CompiledRule>): CompiledRule[] {
    return [...rules].sort((a, b) => this.#compare(a, b));
  }

  /** Negative if `a` is worse. */
  #compare(a: CompiledRule, b: CompiledRule): number {
    const more = this.#blocksOf(b).length - this.#blocksOf(a).length;
    return more || (a.row.key < b.row.key ? -1 : 1);
  }

  #leaveOut(rule: CompiledRule): void {
    this.#excluded.add(rule);
    this.#moved.add(rule);
    this.#count(rule, -1);
  }

  #takeIn(rule: CompiledRule): void {
    this.#excluded.delete(rule);
    this.#moved.add(rule);
    this.#count(rule, 1);
  }

  /** Blocks that no rule names that fits. */
  #ownBlocks(rule: CompiledRule): number {
    let own = 0;
    for (const cidr of this.#blocksOf(rule)) if (!this.#counts.has(cidr)) own++;
    return own;
  }

  #count(rule: CompiledRule, step: 1 | -1): void {
    for (const cidr of this.#blocksOf(rule)) {
      const rules = (this.#counts.get(cidr) ?? 0) + step;
      if (rules === 0) this.#counts.delete(cidr);
      else this.#counts.set(cidr, rules);
    }
  }

  #blocksOf(rule: CompiledRule): readonly string[] {
    return this.#blocks.get(rule) ?? [];
  }
}
