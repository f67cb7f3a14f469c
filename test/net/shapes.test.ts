/**
 * @module Every shape of a NetworkPolicy against real connections: each ordered pair of nine pods, TCP
 * and UDP (and SCTP where a shape names it), two ports, both families. What must pass is worked out by
 * the oracle, which shares nothing with the compiler.
 */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { networkPolicy, shapes } from './shapes.ts';
import { ShapesWorld } from './shapes-world.ts';

const shapesMin = 230;

let world: ShapesWorld;
let probes = 0;

beforeAll(async () => {
  world = await ShapesWorld.create();
});
afterAll(async () => {
  console.log(`${shapes.length} shapes, ${probes} connections tried`);
  await world[Symbol.asyncDispose]();
});

test('the table is whole, and its names tell its rows apart', () => {
  expect(shapes.length).toBeGreaterThanOrEqual(shapesMin);
  expect(new Set(shapes.map(({ name }) => name)).size).toBe(shapes.length);
});

test('a matrix that is not as it should be is told, with the rules behind it', async () => {
  const closed = networkPolicy('x', 'closed', {
    podSelector: {},
    ingress: [{ from: [{ podSelector: {} }], ports: [{ protocol: 'SCTP' }] }],
  });
  await world.apply({ policies: [closed] });
  expect((await world.measure({ policies: [closed] })).wrong).toEqual([]);
  // As if it let everything in.
  const other = networkPolicy('x', 'closed', { podSelector: {}, ingress: [{}] });
  const { wrong } = await world.measure({ policies: [other] });
  expect(wrong[0]).toBe(
    'x/a > x/b TCP/80 IPv4: does not pass (n), expected allowed: ' +
      'egress no rule, ingress NetworkPolicy/x/closed#0:ingress[0]',
  );
  expect(wrong.at(-1)).toMatch(/^and \d+ more$/);
});

test.each(shapes)('$name', async ({ write }) => {
  for (const step of write(world.addressOf)) {
    await world.apply(step);
    const measured = await world.measure(step);
    probes += measured.probes;
    expect(measured.wrong).toEqual([]);
  }
});
