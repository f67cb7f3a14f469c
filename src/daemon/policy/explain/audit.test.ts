/**
 * What is only audited: by example. The verdict stays policy's.
 */
import { expect, test } from 'bun:test';
import { ciliumDocument, fixtureModel, podDocument } from './manifest-fixture.ts';
import { OfflineCluster } from './offline.ts';
import { hostName } from './offline-model.ts';

const closed = (name: string, sections: object) =>
  ciliumDocument(name, { endpointSelector: { matchLabels: { app: name } }, ...sections });
const model = fixtureModel([
  podDocument('a', '10.0.1.1'),
  podDocument('b', '10.0.1.2'),
  podDocument('c', '10.0.1.3'),
  closed('a', { egress: [] }),
  closed('b', { ingress: [] }),
]);

function judged(from: string, to: string, ...audited: string[]) {
  const cluster = new OfflineCluster({ ...model, audited: new Set(audited) });
  const [own, peer] = [cluster.end(from)!, cluster.end(to)!];
  const { allowed, audit } = cluster.judge(own, peer, 6, 80);
  return { allowed, audit };
}

test('a denial goes on only if every side that denies is audited', () => {
  const cases: [string, string, string[], boolean][] = [
    ['default/a', 'default/b', [], false],
    ['default/a', 'default/b', ['default/a'], false],
    ['default/a', 'default/b', ['default/b'], false],
    ['default/a', 'default/b', ['default/a', 'default/b'], true],
    ['default/c', 'default/b', ['default/b'], true],
    // The side that does not deny has no say.
    ['default/c', 'default/b', ['default/c'], false],
    ['default/c', 'default/b', [hostName], false],
  ];
  for (const [from, to, audited, audit] of cases) {
    expect({ from, to, audited, ...judged(from, to, ...audited) }).toEqual({
      ...{ from, to, audited, allowed: false, audit },
    });
  }
});

test('what is allowed is not audited', () => {
  expect(judged('default/b', 'default/c', 'default/b')).toEqual({ allowed: true, audit: false });
});
