/**
 * @module Maps that are full: what does not fit is refused or denied, with a reason, a counter and a
 * status that says so; the rest goes on.
 */
import { expect, test } from 'bun:test';
import { eventually, type Json, TestNode } from './harness.ts';
import { app, policy, ports } from './policy-fixture.ts';
import { families } from './world.ts';

const policyMax = 256;
/** Odd numbers, so that no two become one prefix. */
const many = Array.from({ length: 320 }, (_, at) => 20_001 + at * 2);

test('policy map: an endpoint whose policy does not fit is closed, with a status', async () => {
  await using node = await TestNode.create({ flags: [`--bpf-policy-map-max=${policyMax}`] });
  const [server, client, other] = await Promise.all(
    ['server', 'client', 'other'].map((name) => node.addPod(name)),
  );
  if (server === undefined || client === undefined || other === undefined) throw new Error();
  const rules = Array.from({ length: 8 }, (_, at) => ({
    fromEndpoints: [app('client')],
    toPorts: ports(...many.slice(at * 40, at * 40 + 40).map((port) => `TCP/${port}`)),
  }));
  const traffic = await node.traffic(client);
  const open = async (host: string) => {
    const targets = many.map((port) => ({ host, port, timeoutMs: 800 }));
    // Nobody listens: refused is what passed.
    const outcomes = await traffic.call('connectMany', { targets });
    return outcomes.filter(({ result }) => result === 'refused').length;
  };
  await node.changePolicy(() => {
    node.writePolicy(
      'many.json',
      policy('many', { endpointSelector: app('server'), ingress: rules }),
    );
    node.writePolicy(
      'few.json',
      policy('few', { endpointSelector: app('other'), ingress: rules.slice(0, 1) }),
    );
  });
  const before = node.drops('DROP_POLICY');
  for (const family of families) expect(await open(server.address[family])).toBe(0);
  expect(node.drops('DROP_POLICY') - before).toBeGreaterThanOrEqual(2 * many.length);
  // Another policy that is part of the same change is whole.
  expect(await open(other.address[4])).toBe(40);
  const health = await node.health();
  expect(health.state).toBe('Warning');
  const problem = `policy needs ${many.length} map entries of at most ${policyMax} (bpf-policy-map-max)`;
  expect(health.msg).toContain(`default/server: ${problem}`);
  expect(health.msg).toContain('CiliumNetworkPolicy default/many ingress[0]');
  expect(node.log).toContain('policy overflow');
  const events = await node.run(['hubble', 'observe', 'agent-events', '--last', '50'], 'node', {
    HUBBLE_SERVER: `unix://${node.hubbleSocket}`,
  });
  const failure = events.stdout.split('\n').find((line) => line.includes(problem));
  expect(failure).toContain('ENDPOINT_REGENERATE_FAILURE');
  const flows = await node.flows(200);
  const denied = flows.filter((flow) => flow.ingress_denied_by.length > 0);
  expect(denied.flatMap((flow) => flow.ingress_denied_by.flatMap((each) => each.labels))).toContain(
    'reserved:io.cilium.policy.derived-from=policy-map-overflow',
  );

  await node.changePolicy(() =>
    node.writePolicy(
      'many.json',
      policy('many', { endpointSelector: app('server'), ingress: rules.slice(0, 6) }),
    ),
  );
  expect(await open(server.address[4])).toBe(240);
  expect((await node.health()).state).toBe('Ok');
}, 60_000);

test('endpoint map: ADD fails and says why, a slot that is freed is used', async () => {
  await using node = await TestNode.create({ flags: ['--bpf-endpoint-map-max=3'] });
  const links = node.links();
  const pods = await Promise.all(['a', 'b', 'c'].map((name) => node.addPod(name)));
  const taken = node.links();
  node.createPodNetns('d');
  const refused = await node.cni('ADD', { name: 'd' });
  expect(refused.exitCode).toBe(1);
  expect(`${refused.json.msg} ${refused.json.details}`).toMatch(
    /update cilium_endpoint.*E2BIG.*full, 3 entries/,
  );
  expect(taken).toHaveLength(links.length + 3);
  await eventually('nothing of it to be left', async () => {
    const addresses = (await node.rest('GET', '/healthz')).json.ipam;
    return (
      node.links().length === taken.length &&
      (await node.endpoints()).length === 3 &&
      Object.values(addresses.allocations).every((owner) => !String(owner).includes('/d'))
    );
  });
  // The others neither notice nor lose anything.
  const [a, b] = pods;
  if (a === undefined || b === undefined) throw new Error();
  await (await node.traffic(b)).call('tcpServe', { port: 7000 });
  for (const family of families) {
    const target = { host: b.address[family], port: 7000 };
    expect((await (await node.traffic(a)).call('connect', target)).result).toBe('echo');
  }
  expect((await node.endpoints()).map((one: Json) => one.status.state)).toEqual([
    'ready',
    'ready',
    'ready',
  ]);
  await node.deletePod('c');
  await eventually('the slot to be free', () => node.links().length === taken.length - 1);
  expect((await node.cni('ADD', { name: 'd' })).exitCode).toBe(0);
}, 60_000);

test('conntrack: active connections survive a flood, and the pressure is shown', async () => {
  await using node = await TestNode.create({
    flags: [
      ...['--bpf-ct-global-tcp-max=1024', '--bpf-ct-global-any-max=1024'],
      '--conntrack-gc-interval=1s',
    ],
  });
  const [server, client, flooder] = await Promise.all(
    ['server', 'client', 'flooder'].map((name) => node.addPod(name)),
  );
  if (server === undefined || client === undefined || flooder === undefined) throw new Error();
  // An entry that is lost would be made again by an answer, whose way nobody has opened.
  await node.changePolicy(() => {
    node.writePolicy('in.json', policy('in', { endpointSelector: app('client'), ingress: [] }));
    node.writePolicy('out.json', policy('out', { endpointSelector: app('server'), egress: [] }));
  });
  const [from, to] = [await node.traffic(client), await node.traffic(server)];
  await to.call('tcpServe', { port: 7000 });
  await to.call('udpServe', { port: 7000 });
  const ids: string[] = [];
  for (const family of families) {
    for (const kind of ['tcp', 'udp'] as const) {
      const id = `${kind} IPv${family}`;
      ids.push(id);
      const spec = { kind, host: server.address[family], port: 7000, perSecond: 200 };
      await from.call('stream', { id, spec });
    }
  }
  const flood = await node.traffic(flooder);
  const targets = Array.from({ length: 20_000 }, (_, at) => 10_000 + at);
  const burst = { id: 'flood', host: server.address[4], ports: targets, perTick: 1 };
  await flood.call('udpBurst', { ...burst, everyMs: 500 });
  const figure = (list: Json[], name: string) => list.find((one) => one.name === name)?.size ?? 0;
  const [size, used] = await eventually('the table to be full', async () => {
    const { maps } = (await node.rest('GET', '/healthz')).json['bpf-maps'];
    const both = [figure(maps, 'Connection tracking'), figure(maps, 'Connection tracking entries')];
    return both[1] > both[0] * 0.8 ? both : undefined;
  });
  expect([size, used > size]).toEqual([2048, false]);
  // Several times over.
  await eventually('many more connections than entries', async () => {
    const counters = await flood.call('counters', {});
    return (counters['Udp:OutDatagrams'] ?? 0) + (counters['Udp6OutDatagrams'] ?? 0) > 60_000;
  });
  const sent = await flood.stopStream('flood');
  expect(sent.sent).toBeGreaterThan(60_000);
  for (const id of ids) {
    const { lost, resets, received } = await from.stopStream(id);
    expect({ id, lost, resets, received: received > 100 }).toEqual({
      id,
      lost: 0,
      resets: 0,
      received: true,
    });
  }
}, 60_000);
