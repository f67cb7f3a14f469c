import { expect, test } from 'bun:test';
import type { PortMatch } from '../rule.ts';
import type { PolicyRuleRow } from '../table.ts';
import type { OfflineModel } from './offline-model.ts';
import { formatSegments, mergeSegments, protocolsInOrder, segmentsOf } from './port-segments.ts';

function modelWith(ports: readonly PortMatch[], own = ''): OfflineModel {
  const row = { rule: { ingress: [{ ports }], egress: undefined } } as unknown as PolicyRuleRow;
  const pods = [{ ports: own }];
  return { rules: [row], pods, objects: [] } as unknown as OfflineModel;
}

test('segments cover every port of every protocol exactly once, and cut where rules do', () => {
  const segments = segmentsOf([
    modelWith([
      { proto: 6, first: 80, last: 89 },
      { proto: 6, first: 85, last: 65535 },
      { proto: 17, first: 0, last: 65535 },
      { proto: 1, first: 8, last: 8 },
    ]),
  ]);
  for (const proto of protocolsInOrder) {
    let next = 0;
    for (const each of segments.filter((one) => one.proto === proto)) {
      expect(each.first).toBe(next);
      expect(each.last).toBeGreaterThanOrEqual(each.first);
      next = each.last + 1;
    }
    expect(next).toBe(proto === 1 || proto === 58 ? 256 : 65536);
  }
  const tcp = segments.filter((one) => one.proto === 6).map((one) => one.first);
  expect(tcp).toEqual([0, 80, 85, 90]);
});

test('a name cuts at the numbers that it has', () => {
  const segments = segmentsOf([modelWith([{ proto: 6, name: 'http' }], 'http/6=8080,other/6=9')]);
  const tcp = segments.filter((one) => one.proto === 6).map((one) => one.first);
  expect(tcp).toEqual([0, 8080, 8081]);
});

test('text', () => {
  const all = segmentsOf([modelWith([{ proto: 6, first: 80, last: 80 }])]);
  expect(formatSegments(all)).toBe('all traffic');
  const some = all.filter(({ proto, first }) => proto === 17 || first === 80);
  expect(formatSegments(some)).toBe('80/TCP, any port/UDP');
  const tcp = all.filter(({ proto, first }) => proto === 6 && first !== 0);
  expect(formatSegments(mergeSegments(tcp))).toBe('80-65535/TCP');
});
