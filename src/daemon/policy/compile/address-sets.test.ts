/**
 * Which blocks contain an address, as against a list that is searched from end to end.
 */
import { expect, test } from 'bun:test';
import fc from 'fast-check';
import { requireAddress } from '../../../net/address.ts';
import {
  familyBits,
  formatPrefix,
  hostPrefix,
  prefixCovers,
  requirePrefix,
} from '../../../net/prefix.ts';
import type { CidrScope } from '../rule.ts';
import { addressLabel } from '../selector.ts';
import { AddressSets, type SetPair, spanOf } from './address-sets.ts';

const cidrs = [
  ...['0.0.0.0/0', '10.0.0.0/8', '10.0.1.0/24', '10.0.1.0/31', '10.0.1.1/32', '192.0.2.0/24'],
  // Around the place that IPv4 has in the 128-bit space, and elsewhere.
  ...['::/0', '::/1', '::fffe:0:0/96', 'fd00::/8', 'fd00::/64', 'fd00::1/128'],
];
const addresses = ['10.0.1.1', '10.0.1.0', '10.1.0.0', '198.51.100.1', 'fd00::1', 'fe80::1'];
const scopes: readonly CidrScope[] = ['outside', 'address'];

/** Says the same, slowly. */
class Model {
  readonly uses = new Map<string, number>();
  readonly kept = new Set<string>();
  readonly ports = new Map<string, string[]>();

  use(cidr: string, scope: CidrScope, step: 1 | -1): void {
    const key = `${cidr} ${scope}`;
    this.uses.set(key, (this.uses.get(key) ?? 0) + step);
    if (step === 1) this.kept.add(key);
  }

  isUsed(cidr: string, scope: CidrScope): boolean {
    return (this.uses.get(`${cidr} ${scope}`) ?? 0) > 0;
  }

  get unused(): string[] {
    return [...this.kept].filter((key) => this.uses.get(key) === 0);
  }

  sweep(): void {
    for (const key of this.unused) this.kept.delete(key);
  }

  blocks(): string[] {
    const own = [...this.ports.keys()].map((address) => {
      return `${address}/${familyBits(requireAddress(address).family)}`;
    });
    return [...new Set([...cidrs.filter((cidr) => this.#scopes(cidr).length > 0), ...own])].sort();
  }

  labels(address: string, place: keyof SetPair): string[] {
    const host = hostPrefix(requireAddress(address));
    const around = cidrs.filter((cidr) => {
      const block = requirePrefix(cidr);
      if (block.family !== host.family || !prefixCovers(block, host)) return false;
      const kept = this.#scopes(cidr);
      return place === 'outside' ? kept.length > 0 : kept.includes('address');
    });
    const ports = place === 'inside' ? (this.ports.get(address) ?? []) : [];
    return [...ports, ...around.map(addressLabel.cidr)].sort();
  }

  #scopes(cidr: string): CidrScope[] {
    return scopes.filter((scope) => this.kept.has(`${cidr} ${scope}`));
  }
}

const step = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constantFrom('acquire' as const, 'release' as const),
      cidr: fc.constantFrom(...cidrs),
      scope: fc.constantFrom(...scopes),
    }),
  },
  fc.record({ kind: fc.constant('sweep' as const) }),
  fc.record({ kind: fc.constant('flush' as const) }),
  fc.record({
    kind: fc.constant('ports' as const),
    address: fc.constantFrom(...addresses),
    labels: fc.constantFrom<string[]>([], [addressLabel.port('web', 6, 80)]),
  }),
);

test('an address has the labels of the blocks around it, by every path', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40, size: 'max' }), (steps) => {
      const sets = new AddressSets();
      const model = new Model();
      const told = new Map<string, SetPair>();
      for (const each of [...steps, { kind: 'flush' as const }]) {
        if (each.kind === 'acquire') {
          sets.acquire(each.cidr, each.scope);
          model.use(each.cidr, each.scope, 1);
        } else if (each.kind === 'release') {
          if (model.isUsed(each.cidr, each.scope)) model.use(each.cidr, each.scope, -1);
          sets.release(each.cidr, each.scope);
        } else if (each.kind === 'sweep') {
          sets.sweep();
          model.sweep();
        } else if (each.kind === 'ports') {
          sets.setPorts(each.address, each.labels);
          if (each.labels.length === 0) model.ports.delete(each.address);
          else model.ports.set(each.address, each.labels);
        } else {
          for (const [cidr, pair] of sets.flush().blocks) {
            if (pair === undefined) told.delete(cidr);
            else told.set(cidr, pair);
          }
          compare(sets, model, told);
        }
        expect(sets.hasUnused).toBe(model.unused.length > 0);
      }
    }),
    { numRuns: 300 },
  );
});

function compare(sets: AddressSets, model: Model, told: ReadonlyMap<string, SetPair>): void {
  expect([...told.keys()].sort()).toEqual(model.blocks());
  for (const address of addresses) {
    const host = hostPrefix(requireAddress(address));
    const [longest] = [...told.keys()]
      .map(requirePrefix)
      .filter((block) => block.family === host.family && prefixCovers(block, host))
      .sort((a, b) => b.length - a.length);
    const pair = longest && told.get(formatPrefix(longest));
    for (const place of ['outside', 'inside'] as const) {
      const set = sets.setOf(spanOf(host), place);
      expect(sets.labels(set)).toEqual(model.labels(address, place));
      expect(pair?.[place] ?? 0).toBe(set);
    }
  }
}

test('a scope that nobody uses goes, although the block is in use for the other', () => {
  const sets = new AddressSets();
  sets.acquire('10.0.0.0/8', 'address');
  sets.release('10.0.0.0/8', 'address');
  sets.acquire('10.0.0.0/8', 'outside');
  sets.sweep();
  sets.flush();
  const span = spanOf(requirePrefix('10.0.0.0/8'));
  expect(sets.labels(sets.setOf(span, 'outside'))).toEqual(['cidr:10.0.0.0/8']);
  expect(sets.setOf(span, 'inside')).toBe(0);
  expect(sets.hasUnused).toBe(false);
});
