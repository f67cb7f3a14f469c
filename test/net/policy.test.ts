/**
 * @module Every form of policy of a file against real packets, in both families: who reaches whom
 * by which protocol and port, and whom flows name for it.
 */
import { afterAll, afterEach, beforeAll, expect, test } from 'bun:test';
import { DropReason, Verdict } from '../../src/api/gen/flow/flow.ts';
import { eventually, type Json, type Pod, TestNode } from './harness.ts';
import { app, policy, ports } from './policy-fixture.ts';
import type { Target } from './traffic-types.ts';
import { addresses, families, routePodsFromWorld } from './world.ts';

let node: TestNode;
let pods: Record<'server' | 'client' | 'other', Pod>;
const written = new Set<string>();

beforeAll(async () => {
  node = await TestNode.create();
  routePodsFromWorld(node.namespaces);
  const [server, client, other] = await Promise.all([
    node.addPod('server', { app: 'server', tier: 'back' }),
    node.addPod('client', { app: 'client', tier: 'front' }),
    node.addPod('other', { app: 'other' }),
  ]);
  pods = { server, client, other };
  for (const where of [server, client, other, 'node', 'world'] as const) {
    const traffic = await node.traffic(where);
    for (const port of [7000, 7001]) {
      await traffic.call('tcpServe', { port });
      await traffic.call('udpServe', { port });
    }
  }
});
afterAll(async () => await node[Symbol.asyncDispose]());
afterEach(async () => {
  if (written.size === 0) return;
  await node.changePolicy(() => {
    for (const name of written) node.removePolicy(name);
    written.clear();
  });
});

async function apply(...policies: readonly object[]): Promise<void> {
  await node.changePolicy(() => {
    for (const one of policies) {
      const name = `${(one as Json).metadata.name}.json`;
      written.add(name);
      node.writePolicy(name, one);
    }
  });
}

type Place = keyof typeof pods | 'node' | 'world';
const probes: readonly (readonly [from: Place, to: Place, what: string])[] = [
  ...(['client', 'other', 'node', 'world'] as const).flatMap((from) =>
    ['tcp/7000', 'tcp/7001', 'udp/7000', 'icmp'].map((what) => [from, 'server', what] as const),
  ),
  ...(['client', 'other', 'node', 'world'] as const).flatMap((to) =>
    ['tcp/7000', 'udp/7001', 'icmp'].map((what) => [`server`, to, what] as const),
  ),
];
const denyMs = 350;

function hostOf(place: Place, family: 4 | 6): string {
  if (place === 'node' || place === 'world') return addresses[place][family];
  return pods[place].address[family];
}

async function passes(from: Place, to: Place, what: string, family: 4 | 6): Promise<boolean> {
  const traffic = await node.traffic(from === 'node' || from === 'world' ? from : pods[from]);
  // A datagram's answer comes from the address that the node's routes prefer toward pods.
  const isNodeUdp = to === 'node' && what.startsWith('udp');
  const host = isNodeUdp ? addresses.podGateway[family] : hostOf(to, family);
  if (what === 'icmp') {
    return (await traffic.call('ping', { host, timeoutMs: denyMs })).kind === 'reply';
  }
  const [protocol, port] = what.split('/');
  const target: Target = { host, port: Number(port), timeoutMs: denyMs };
  const outcome = await traffic.call(protocol === 'udp' ? 'udp' : 'connect', target);
  return outcome.result === 'echo';
}

/** What passes, as `client>server tcp/7000`; both families must agree. */
async function passing(): Promise<string[]> {
  const seen = await Promise.all(
    probes.map(async ([from, to, what]) => {
      const both = await Promise.all(families.map((family) => passes(from, to, what, family)));
      const name = `${from}>${to} ${what}`;
      if (both[0] !== both[1]) return `${name} in IPv${both[0] ? 4 : 6} only`;
      return both[0] ? name : '';
    }),
  );
  return seen.filter((name) => name !== '').sort();
}

const all = probes.map(([from, to, what]) => `${from}>${to} ${what}`);
const toServer = all.filter((name) => name.includes('>server'));
const fromServer = all.filter((name) => name.startsWith('server>'));
const from = (...places: Place[]) =>
  toServer.filter((name) => places.some((place) => name.startsWith(`${place}>`)));
const to = (...places: Place[]) =>
  fromServer.filter((name) => places.some((place) => name.includes(`>${place} `)));
const only = (names: readonly string[], ...what: string[]) =>
  names.filter((name) => what.some((one) => name.endsWith(` ${one}`)));

/** Only what is asked about the server's ingress; its egress is open in these. */
const ingress = (...names: string[][]) => [...names.flat(), ...fromServer];
const egress = (...names: string[][]) => [...names.flat(), ...toServer];
const server = app('server');

interface Form {
  readonly name: string;
  readonly policies: readonly object[];
  readonly passing: readonly string[];
}
const one = (
  name: string,
  spec: Parameters<typeof policy>[1],
  passing: readonly string[],
): Form => ({
  name,
  policies: [policy('p', spec)],
  passing,
});

const forms: readonly Form[] = [
  one('an empty ingress list denies all', { endpointSelector: server, ingress: [] }, ingress()),
  one('one empty rule denies all', { endpointSelector: server, ingress: [{}] }, ingress()),
  one(
    'an empty selector is everything in the namespace',
    { endpointSelector: {}, ingress: [{ fromEndpoints: [app('client')] }] },
    ingress(from('client')).filter(
      (name) => !only(to('client', 'other'), 'tcp/7000', 'udp/7001', 'icmp').includes(name),
    ),
  ),
  one(
    'fromEndpoints by matchLabels',
    { endpointSelector: server, ingress: [{ fromEndpoints: [app('client')] }] },
    ingress(from('client')),
  ),
  one(
    'fromEndpoints by two labels, of which one differs',
    {
      endpointSelector: server,
      ingress: [{ fromEndpoints: [{ matchLabels: { app: 'client', tier: 'back' } }] }],
    },
    ingress(),
  ),
  one(
    'fromEndpoints In',
    { endpointSelector: server, ingress: [{ fromEndpoints: [app('client', 'other')] }] },
    ingress(from('client', 'other')),
  ),
  one(
    'fromEndpoints NotIn',
    {
      endpointSelector: server,
      ingress: [
        {
          fromEndpoints: [
            { matchExpressions: [{ key: 'app', operator: 'NotIn', values: ['client'] }] },
          ],
        },
      ],
    },
    ingress(from('other')),
  ),
  one(
    'fromEndpoints Exists',
    {
      endpointSelector: server,
      ingress: [{ fromEndpoints: [{ matchExpressions: [{ key: 'tier', operator: 'Exists' }] }] }],
    },
    ingress(from('client')),
  ),
  one(
    'fromEndpoints DoesNotExist',
    {
      endpointSelector: server,
      ingress: [
        { fromEndpoints: [{ matchExpressions: [{ key: 'tier', operator: 'DoesNotExist' }] }] },
      ],
    },
    ingress(from('other')),
  ),
  one(
    'fromEndpoints of the whole namespace',
    { endpointSelector: server, ingress: [{ fromEndpoints: [{}] }] },
    ingress(from('client', 'other')),
  ),
  one(
    'fromEntities world',
    { endpointSelector: server, ingress: [{ fromEntities: ['world'] }] },
    ingress(from('world')),
  ),
  one(
    'fromEntities host',
    { endpointSelector: server, ingress: [{ fromEntities: ['host'] }] },
    ingress(from('node')),
  ),
  one(
    'fromEntities cluster',
    { endpointSelector: server, ingress: [{ fromEntities: ['cluster'] }] },
    ingress(from('client', 'other', 'node')),
  ),
  one('fromEntities all', { endpointSelector: server, ingress: [{ fromEntities: ['all'] }] }, all),
  one(
    'toPorts TCP',
    { endpointSelector: server, ingress: [{ toPorts: ports('TCP/7000') }] },
    ingress(only(toServer, 'tcp/7000')),
  ),
  one(
    'toPorts UDP',
    { endpointSelector: server, ingress: [{ toPorts: ports('UDP/7000') }] },
    ingress(only(toServer, 'udp/7000')),
  ),
  one(
    'toPorts ANY',
    { endpointSelector: server, ingress: [{ toPorts: ports('ANY/7000') }] },
    ingress(only(toServer, 'tcp/7000', 'udp/7000')),
  ),
  one(
    'toPorts with a range',
    { endpointSelector: server, ingress: [{ toPorts: ports('TCP/6999-7001') }] },
    ingress(only(toServer, 'tcp/7000', 'tcp/7001')),
  ),
  one(
    'peer and port',
    {
      endpointSelector: server,
      ingress: [{ fromEndpoints: [app('client')], toPorts: ports('TCP/7001') }],
    },
    ingress(only(from('client'), 'tcp/7001')),
  ),
  one(
    'egress to endpoints',
    { endpointSelector: server, egress: [{ toEndpoints: [app('client')] }] },
    egress(to('client')),
  ),
  one(
    'egress to world, a port',
    { endpointSelector: server, egress: [{ toEntities: ['world'], toPorts: ports('UDP/7001') }] },
    egress(only(to('world'), 'udp/7001')),
  ),
  one(
    'egress to host',
    { endpointSelector: server, egress: [{ toEntities: ['host'] }] },
    egress(to('node')),
  ),
  one(
    'egress to cluster',
    { endpointSelector: server, egress: [{ toEntities: ['cluster'] }] },
    egress(to('client', 'other', 'node')),
  ),
  one('egress to nobody', { endpointSelector: server, egress: [] }, egress()),
  one(
    'both directions',
    {
      endpointSelector: server,
      ingress: [{ fromEndpoints: [app('other')] }],
      egress: [{ toEntities: ['all'], toPorts: ports('TCP/7000') }],
    },
    [...from('other'), ...only(fromServer, 'tcp/7000')],
  ),
  {
    name: 'two policies add up',
    policies: [
      policy('one', {
        endpointSelector: server,
        ingress: [{ fromEndpoints: [app('client')], toPorts: ports('TCP/7000') }],
      }),
      policy('two', {
        endpointSelector: server,
        ingress: [{ fromEntities: ['world'], toPorts: ports('TCP/7001') }],
      }),
    ],
    passing: ingress(only(from('client'), 'tcp/7000'), only(from('world'), 'tcp/7001')),
  },
  {
    name: 'the sender’s egress and the receiver’s ingress must both agree',
    policies: [
      policy('in', {
        endpointSelector: server,
        ingress: [{ fromEndpoints: [{}], toPorts: ports('TCP/7000', 'TCP/7001') }],
      }),
      policy('out', {
        endpointSelector: app('client'),
        egress: [{ toEndpoints: [server], toPorts: ports('TCP/7001', 'UDP/7000') }],
      }),
    ],
    passing: ingress(only(from('client'), 'tcp/7001'), only(from('other'), 'tcp/7000', 'tcp/7001')),
  },
];

test('without a policy all passes', async () => expect(await passing()).toEqual([...all].sort()));

test.each(forms)('$name', async ({ policies, passing: expected }) => {
  await apply(...policies);
  expect(await passing()).toEqual([...expected].sort());
});

test('a policy that is removed is no longer in force', async () => {
  await apply(policy('gone', { endpointSelector: server, ingress: [] }));
  expect(await passing()).toEqual([...fromServer].sort());
  await node.changePolicy(() => node.removePolicy('gone.json'));
  written.delete('gone.json');
  expect(await passing()).toEqual([...all].sort());
});

test('an established connection is cut when its policy goes', async () => {
  const client = await node.traffic(pods.client);
  await apply(
    policy('open', { endpointSelector: server, ingress: [{ fromEndpoints: [app('client')] }] }),
  );
  const spec = { kind: 'udp', host: pods.server.address[4], port: 7000, perSecond: 200 } as const;
  await client.call('stream', { id: 'cut', spec });
  await apply(policy('open', { endpointSelector: server, ingress: [] }));
  // The stream is asked after the change: what it sent from then on is lost.
  const before = node.drops('DROP_POLICY');
  await eventually('packets to be dropped', () => node.drops('DROP_POLICY') > before + 5);
  expect((await client.stopStream('cut')).lost).toBeGreaterThan(0);
});

test('flows name the policy that decided, and the rule of it', async () => {
  await apply(
    policy('ingress-of-server', {
      endpointSelector: server,
      ingress: [
        { fromEndpoints: [app('nobody')] },
        { fromEndpoints: [app('client')], toPorts: ports('TCP/7000') },
      ],
      ingressDeny: [{ fromEndpoints: [app('client')], toPorts: ports('UDP/7001') }],
    }),
    policy('egress-of-client', {
      endpointSelector: app('client'),
      egress: [{ toEndpoints: [server] }],
    }),
  );
  const host = pods.server.address[4];
  const client = await node.traffic(pods.client);
  const other = await node.traffic(pods.other);
  const allowed = await client.call('connect', { host, port: 7000 });
  const denied = await other.call('udp', { host, port: 7000, timeoutMs: 100 });
  const forbidden = await client.call('udp', { host, port: 7001, timeoutMs: 100 });
  const outside = await client.call('udp', {
    host: addresses.world[4],
    port: 7000,
    timeoutMs: 100,
  });
  expect([allowed.result, denied.result, outside.result]).toEqual(['echo', 'timeout', 'timeout']);

  const flow = (
    localPort: number,
    named: 'ingress_allowed_by' | 'egress_allowed_by' | 'ingress_denied_by' | 'egress_denied_by',
  ) =>
    eventually(`a flow with ${named}`, async () =>
      (await node.flows()).find((one) => {
        const source = one.l4?.TCP?.source_port ?? one.l4?.UDP?.source_port;
        return source === localPort && one[named].length > 0;
      }),
    );
  const names = (list: readonly { namespace: string; name: string }[]) =>
    list.map((one) => `${one.namespace}/${one.name}`);
  const rules = (list: readonly { labels: readonly string[] }[]) =>
    list.flatMap((one) => one.labels.filter((label) => label.startsWith('cilium:policy.rule=')));
  const inAllowed = await flow(allowed.localPort, 'ingress_allowed_by');
  expect(inAllowed.verdict).toBe(Verdict.FORWARDED);
  expect(names(inAllowed.ingress_allowed_by)).toEqual(['default/ingress-of-server']);
  expect(rules(inAllowed.ingress_allowed_by)).toEqual(['cilium:policy.rule=0/ingress[1]']);
  const outAllowed = await flow(allowed.localPort, 'egress_allowed_by');
  expect(names(outAllowed.egress_allowed_by)).toEqual(['default/egress-of-client']);
  expect(rules(outAllowed.egress_allowed_by)).toEqual(['cilium:policy.rule=0/egress[0]']);
  const inDenied = await flow(denied.localPort, 'ingress_denied_by');
  expect(inDenied.verdict).toBe(Verdict.DROPPED);
  expect(names(inDenied.ingress_denied_by)).toEqual(['default/ingress-of-server']);
  expect(inDenied.drop_reason_desc).toBe(DropReason.POLICY_DENIED);
  // Nothing allowed it: the policy as a whole denies by default.
  expect(rules(inDenied.ingress_denied_by)).toEqual(['cilium:policy.rule=0']);
  const inForbidden = await flow(forbidden.localPort, 'ingress_denied_by');
  expect(names(inForbidden.ingress_denied_by)).toEqual(['default/ingress-of-server']);
  expect(rules(inForbidden.ingress_denied_by)).toEqual(['cilium:policy.rule=0/ingressDeny[0]']);
  const outDenied = await flow(outside.localPort, 'egress_denied_by');
  expect(names(outDenied.egress_denied_by)).toEqual(['default/egress-of-client']);
  expect(rules(outDenied.egress_denied_by)).toEqual(['cilium:policy.rule=0']);
});
