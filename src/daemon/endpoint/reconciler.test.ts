import { expect, test } from 'bun:test';
import type { Endpoint } from '../../bpf/gen/layouts.ts';
import type { TypedMap } from '../../bpf/libbpf/typed-map.ts';
import type { Attachments } from '../../bpf/loader/attachment.ts';
import { ifIndex } from '../../net/if-index.ts';
import { endpointRow } from '../endpoint-fixture.ts';
import { identityId } from '../identity/table.ts';
import { reconcileEndpoints } from './reconciler.ts';
import { type EndpointRow, endpointId, endpoints } from './table.ts';

/** A kernel map as far as a reconciler uses it. */
function fakeMap<Key>(text: (key: Key) => string, initial: [Key, Endpoint][] = []) {
  const rows = new Map(initial.map(([key, value]) => [text(key), [key, value] as const]));
  const map = {
    lookup: (key: Key) => rows.get(text(key))?.[1],
    update: (key: Key, value: Endpoint) => void rows.set(text(key), [key, value]),
    delete: (key: Key) => rows.delete(text(key)),
    entries: () => rows.values(),
  };
  return { rows, map: map as unknown as TypedMap<Key, Endpoint> };
}

const hex = (key: Uint8Array) => key.toHex();

function row(id: number, changes: Partial<Omit<EndpointRow, 'id'>> = {}): EndpointRow {
  return endpointRow({
    identity: 1000,
    policyId: 5,
    ifindex: ifIndex(id),
    ipv4: `10.0.0.${id}`,
    status: { kind: 'pending' },
    ...changes,
    id,
  });
}

function setUp(left: { readonly lxc?: [Uint8Array, Endpoint][]; readonly owners?: number[] } = {}) {
  const table = endpoints();
  const said: string[] = [];
  const links: (() => void)[] = [];
  const failing = { attach: false, device: 7, isOurs: true };
  const initialized = Promise.withResolvers<void>();
  const lxc = fakeMap(hex, left.lxc);
  const attachments = {
    attach: () => {
      if (failing.attach) throw new Error('attach: refused');
    },
    detach: ({ id }: { id: number }) => said.push(`unpin ${id}`),
    owners: () => (left.owners ?? []).map((id) => ({ kind: 'endpoint', id })),
    list: () => [{ program: 'p', ifindex: failing.device }],
  };
  const reconciler = reconcileEndpoints(
    table,
    {
      endpoints: fakeMap<number>(String).map,
      lxc: lxc.map,
      attachments: attachments as unknown as Attachments,
      hooks: [],
      removeLink: ({ id }, gone) => {
        said.push(`down ${id}`);
        links.push(gone);
      },
      discardLink: (ifindex, gone) => {
        said.push(`discard ${ifindex}`);
        if (failing.isOurs) links.push(gone);
        return failing.isOurs;
      },
      onDetached: (id) => said.push(`detached ${id}`),
      onAddressFreed: () => said.push('freed'),
    },
    { initialized: initialized.promise, signal: new AbortController().signal },
  );
  return { table, said, links, failing, lxc, reconciler, initialized };
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await Bun.sleep(1);
}

test('a change of identity is told although its first try failed half-way', async () => {
  const { table, said, failing, reconciler } = setUp();
  using _ = reconciler;
  await reconciler.waitFor(table.upsert(row(1)));
  await reconciler.waitFor(table.upsert({ ...row(1), state: 'ready' }));
  expect(said).toEqual([]);
  failing.attach = true;
  table.upsert(row(1, { identity: identityId(1001) }));
  await until(() => table.get(endpointId(1))?.status.kind === 'error');
  expect(said).toEqual([]);
  failing.attach = false;
  await until(() => table.get(endpointId(1))?.status.kind === 'done');
  expect(said).toEqual(['freed']);
  await reconciler.waitFor(table.upsert(row(1, { identity: identityId(1001), policyId: 6 })));
  expect(said).toEqual(['freed', 'freed']);
});

test('a deleted endpoint is closed first and unpinned last', async () => {
  const { table, said, links, lxc, reconciler } = setUp();
  using _ = reconciler;
  await reconciler.waitFor(table.upsert(row(1)));
  table.delete(endpointId(1));
  await until(() => said.length > 1);
  expect([said, lxc.rows.size]).toEqual([['down 1', 'freed'], 0]);
  links[0]?.();
  expect(said.slice(2)).toEqual(['unpin 1', 'detached 1']);
});

test('what an earlier agent left goes, and connections to it are judged again', async () => {
  const address = new Uint8Array(16);
  const old = { id: 9, ifindex: 7 } as Endpoint;
  const { said, links, lxc, reconciler, initialized } = setUp({
    lxc: [[address, old]],
    owners: [9],
  });
  using _ = reconciler;
  initialized.resolve();
  await until(() => said.includes('freed'));
  expect([said, lxc.rows.size]).toEqual([['discard 7', 'freed'], 0]);
  links[0]?.();
  expect(said.slice(2)).toEqual(['unpin 9', 'detached 9']);
});

test('an interface that is not ours keeps its programs, one that is gone does not', async () => {
  for (const [device, isOurs, expected] of [
    [7, false, ['discard 7']],
    [0, false, ['unpin 9', 'detached 9']],
  ] as const) {
    const { said, failing, reconciler, initialized } = setUp({ owners: [9] });
    using _ = reconciler;
    Object.assign(failing, { device, isOurs });
    initialized.resolve();
    await until(() => said.length === expected.length);
    expect(said).toEqual([...expected]);
  }
});
