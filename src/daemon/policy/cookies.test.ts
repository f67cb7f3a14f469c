import { expect, test } from 'bun:test';
import { CookieRegistry, type RuleRef } from './cookies.ts';

function ref(at: number): RuleRef {
  const policy = {
    kind: 'k',
    namespace: 'n',
    name: `${at}`,
    ruleIndex: 0,
    labels: [],
    revision: 1,
  };
  return { id: `${at}`, policy, path: undefined };
}

test('what is in use is looked through again only when many cookies came', () => {
  const cookies = new CookieRegistry();
  const used = new Set<number>();
  for (let at = 0; at < 10_000; at++) used.add(cookies.cookieOf('ingress', [ref(at)]));
  let looked = 0;
  const retire = () =>
    cookies.retire(() => {
      looked++;
      return used;
    });
  for (let at = 10_000; at < 10_100; at++) {
    cookies.cookieOf('ingress', [ref(at)]);
    retire();
  }
  expect(looked).toBeLessThanOrEqual(1);
  for (let at = 11_000; at < 31_000; at++) {
    cookies.cookieOf('ingress', [ref(at)]);
    retire();
  }
  // Those in use are all there, and of the others no more than are kept.
  expect([...used].every((cookie) => cookies.row(cookie) !== undefined)).toBe(true);
  expect(cookies.size).toBeLessThanOrEqual(10_000 + 2 * 4096);
  expect(looked).toBeLessThanOrEqual(8);
});
