/**
 * @module Policy at scale: 10,000 policies and 10,000 identities of other nodes' pods loaded, 200
 * endpoints of 20 identities here. Short connections against none of it; how long until packets obey
 * a change; how long until an identity that is new is known to the kernel.
 */
import { renameSync } from 'node:fs';
import { join } from 'node:path';
import { ipcacheKeyLayout } from '../../src/bpf/gen/layouts.ts';
import { ciliumIpcacheV2 } from '../../src/bpf/gen/maps.ts';
import { mapPath } from '../../src/bpf/loader/bpffs.ts';
import type { PolicyFileRow } from '../../src/daemon/policy/table.ts';
import { requireAddress } from '../../src/net/address.ts';
import { allowTraffic, alternate, figureOf } from './datapath.ts';
import { type Figure, percentile, spreadOf } from './figures.ts';
import { BenchNode, type Pod } from './node.ts';
import { Probe } from './policy.ts';
import { benchCpu, LineProcess, TrafficPair, TrafficProgram } from './traffic.ts';

const identities = 10_000;
const policies = 10_000;
const connectPolicies = 1_000;
const namespaces = 100;
const localEndpoints = 200;
const localIdentities = 20;
const rounds = 30;
const newIdentities = 100;
const crrBar = 0.97;
const p50BarMs = 8;
const p99BarMs = 20;
const identityP99BarMs = 5;
const mapsMax = 20;
const sliceMs = 200;

export async function scale(): Promise<Figure[]> {
  using program = new TrafficProgram();
  await using empty = await BenchNode.start();
  await using full = await BenchNode.start('--prometheus-serve-addr=127.0.0.1:9962');
  const figures = await connections(program, empty, full);
  await loadPolicies(full, connectPolicies, policies);
  await addEndpoints(full);
  figures.push(
    ...(await changes(program, full)),
    ...(await additions(program, full)),
    await maps(full),
  );
  return figures;
}

/** Connect, request, close, between two pods of a node with policies and identities and of one without. */
async function connections(
  program: TrafficProgram,
  empty: BenchNode,
  full: BenchNode,
): Promise<Figure[]> {
  const ends: [Pod, Pod][] = [];
  for (const node of [empty, full]) {
    const client = await node.addPod('client', { app: 'client' });
    ends.push([client, await node.addPod('server', { app: 'server' })]);
    await allowTraffic(node);
  }
  await loadIdentities(full);
  await loadPolicies(full, 0, connectPolicies);
  const [first, second] = ends;
  if (first === undefined || second === undefined) throw new Error('two nodes have two pairs');
  using without = await TrafficPair.open(program, ...first);
  using loaded = await TrafficPair.open(program, ...second);
  const pairs = await alternate(
    () => without.latencies('crr', sliceMs),
    () => loaded.latencies('crr', sliceMs),
  );
  return [figureOf('connect-request-close, 1,000 policies, 10,000 identities', pairs, crrBar)];
}

/** Files change together, as `mv` puts them in their place. */
async function write(node: BenchNode, name: string, objects: readonly object[]): Promise<void> {
  const draft = join(node.folder, 'draft');
  await Bun.write(draft, JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects }));
  renameSync(draft, join(node.policies, name));
}

const perFile = 1_000;

async function inFiles(
  node: BenchNode,
  name: string,
  from: number,
  to: number,
  objectOf: (index: number) => object,
): Promise<void> {
  for (let start = from; start < to; start += perFile) {
    const length = Math.min(perFile, to - start);
    const objects = Array.from({ length }, (_, at) => objectOf(start + at));
    await write(node, `${name}-${start}.json`, objects);
  }
}

function podObject(index: number): object {
  const address = `10.${128 + (index >> 16)}.${(index >> 8) & 255}.${index & 255}`;
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name: `remote-${index}`,
      namespace: `ns-${index % namespaces}`,
      labels: { app: `app-${Math.floor(index / namespaces)}` },
    },
    spec: { nodeName: 'elsewhere' },
    status: { podIPs: [{ ip: address }] },
  };
}

async function loadIdentities(node: BenchNode): Promise<void> {
  await inFiles(node, 'pods', 0, identities, podObject);
  await inForce(node, async () => ((await node.get('/identity')) ?? []).length >= identities);
}

async function loadPolicies(node: BenchNode, from: number, to: number): Promise<void> {
  await inFiles(node, 'policies', from, to, policyObject);
  const files = Math.ceil(to / perFile);
  await inForce(node, async () => {
    const { rows } = await node.get('/statedb/policy-files');
    const failed = rows.find((row: PolicyFileRow) => row.status.kind === 'error');
    if (failed !== undefined) throw new Error(JSON.stringify(failed));
    return rows.filter((row: PolicyFileRow) => row.name.startsWith('policies-')).length >= files;
  });
}

async function inForce(node: BenchNode, condition: () => Promise<boolean>): Promise<void> {
  await node.until(condition, 100);
  // What follows in the background is not what is measured.
  await Bun.sleep(2_000);
}

/** Most name two apps of their namespace, some the namespace, a block, or the cluster. */
function policyObject(index: number): object {
  const app = (number: number) => ({ matchLabels: { app: `app-${number % 100}` } });
  const subject = Math.floor(index / namespaces);
  const kinds = [{ fromEndpoints: [{}] }, { fromCIDR: [`10.${index % 256}.0.0/16`] }];
  const peers = kinds[(index % 50) - 7] ?? { fromEndpoints: [app(subject + 1), app(subject + 2)] };
  return {
    apiVersion: 'cilium.io/v2',
    kind: 'CiliumNetworkPolicy',
    metadata: { name: `policy-${index}`, namespace: `ns-${index % namespaces}` },
    spec: {
      endpointSelector: app(subject),
      ingress: [
        { ...peers, toPorts: [{ ports: [{ port: `${8000 + (index % 100)}`, protocol: 'TCP' }] }] },
      ],
      egress: [{ toEndpoints: [app(subject + 3)] }, { toEntities: ['world'] }],
    },
  };
}

async function addEndpoints(node: BenchNode): Promise<void> {
  const pods = Array.from({ length: localEndpoints }, (_, at) =>
    node.preparePod(`local-${at}`, { app: `local-${at % localIdentities}` }),
  );
  for (let at = 0; at < pods.length; at += 20) {
    await Promise.all(pods.slice(at, at + 20).map((pod) => node.cni('ADD', pod)));
  }
}

interface Change {
  readonly name: string;
  /** Different in every round, so that nothing is there from an earlier one. */
  readonly spec: (round: number) => object;
  readonly kind?: string;
  readonly apiVersion?: string;
  /** Whether packets of the probe pass then. */
  readonly passes: boolean;
}

const udp = [{ ports: [{ port: '8000', protocol: 'UDP' }] }];
const target = { matchLabels: { app: 'target' } };
/** Half of the apps, another half each time. */
function halfOfAllApps(round: number): string[] {
  const apps = Array.from({ length: 100 }, (_, at) => `app-${at}`);
  const chosen = apps.filter(
    (_, at) => ((at * 7 + round * 13) % 100) % 2 === round % 2 || at === round,
  );
  return ['prober', ...chosen.slice(0, 50)];
}
const clusterwide = 'CiliumClusterwideNetworkPolicy';

const steps: readonly Change[] = [
  {
    name: 'first policy of a pod',
    spec: () => ({ endpointSelector: target, ingress: [{}] }),
    passes: false,
  },
  {
    name: 'allow rule added',
    spec: (round) => ({
      endpointSelector: target,
      ingress: [
        { fromEndpoints: [{ matchLabels: { app: 'prober' } }], toPorts: udp },
        { fromEndpoints: [{ matchLabels: { app: `nobody-${round}` } }] },
      ],
    }),
    passes: true,
  },
  {
    name: 'all pods denied a port by a clusterwide rule',
    kind: clusterwide,
    spec: (round) => ({
      endpointSelector: {},
      ingressDeny: [
        { fromEntities: ['all'], toPorts: udp },
        { fromEntities: ['all'], toPorts: [{ ports: [{ port: `${100 + round}` }] }] },
      ],
    }),
    passes: false,
  },
  {
    name: 'half of all identities allowed to all pods',
    kind: clusterwide,
    spec: (round) => ({
      endpointSelector: {},
      ingress: [
        {
          fromEndpoints: [
            { matchExpressions: [{ key: 'app', operator: 'In', values: halfOfAllApps(round) }] },
          ],
        },
      ],
    }),
    passes: true,
  },
  {
    name: 'every address but a block allowed to all pods of a namespace',
    kind: 'NetworkPolicy',
    apiVersion: 'networking.k8s.io/v1',
    spec: (round) => ({
      podSelector: {},
      ingress: [
        {
          from: [
            {
              ipBlock: { cidr: '0.0.0.0/0', except: ['10.77.0.0/20', `10.128.${round + 2}.0/24`] },
            },
          ],
        },
      ],
    }),
    passes: false,
  },
  {
    name: 'last policy of a pod removed (rewritten)',
    spec: () => ({ endpointSelector: { matchLabels: { app: 'nobody' } }, ingress: [{}] }),
    passes: true,
  },
];

async function changes(program: TrafficProgram, node: BenchNode): Promise<Figure[]> {
  const prober = await node.addPod('prober', { app: 'prober' });
  const targetPod = await node.addPod('target', { app: 'target' });
  using probe = new Probe(program, node, prober, targetPod);
  const baseline = await probe.idle();
  const samples = steps.map(() => [] as number[]);
  for (let round = -2; round < rounds; round++) {
    for (const [at, { kind, apiVersion, spec, passes }] of steps.entries()) {
      const document = {
        apiVersion: apiVersion ?? 'cilium.io/v2',
        kind: kind ?? 'CiliumNetworkPolicy',
        metadata:
          kind === clusterwide ? { name: 'probe' } : { name: 'probe', namespace: 'default' },
        spec: spec(round),
      };
      const sample = await probe.write(JSON.stringify(document), passes);
      if (round >= 0) samples[at]?.push(sample);
    }
  }
  return steps.flatMap(({ name }, at) => figuresOf(name, samples[at] ?? [], baseline));
}

function figuresOf(name: string, samples: readonly number[], baseline: string): Figure[] {
  const [p50, p99] = [percentile(samples, 0.5), percentile(samples, 0.99)];
  return [
    {
      name: `${name}, P50`,
      value: `${p50.toFixed(1)} ms`,
      baseline,
      spread: `${spreadOf(samples)} ms`,
      bar: `≤ ${p50BarMs} ms`,
      met: p50 <= p50BarMs,
    },
    {
      name: `${name}, P99`,
      value: `${p99.toFixed(1)} ms`,
      bar: `≤ ${p99BarMs} ms`,
      met: p99 <= p99BarMs,
    },
  ];
}

/** A pod of another node with labels that nobody has: until its address has its identity. */
async function additions(program: TrafficProgram, node: BenchNode): Promise<Figure[]> {
  const path = mapPath(node.bpfRoot, ciliumIpcacheV2.name);
  using watch = new LineProcess([program.path, 'watch', path, `${benchCpu}`]);
  const samples: number[] = [];
  for (let at = 0; at < newIdentities; at++) {
    const index = 200_000 + at;
    await Bun.write(join(node.folder, 'draft'), JSON.stringify(podObject(index)));
    await Bun.sleep(30);
    const address = `10.${128 + (index >> 16)}.${(index >> 8) & 255}.${index & 255}`;
    const key = new Uint8Array(ipcacheKeyLayout.size);
    const value = { prefixlen: 128, addr: requireAddress(address).bytes };
    ipcacheKeyLayout.encode(value, new DataView(key.buffer));
    const renamed = [join(node.folder, 'draft'), join(node.policies, `new-${at}.json`)];
    const taken = Number(await watch.ask(['rename', ...renamed, key.toHex()].join(' ')));
    if (taken < 0) throw new Error('the identity does not come');
    samples.push(taken / 1e6);
  }
  const p99 = percentile(samples, 0.99);
  return [
    {
      name: 'one identity added, P99',
      value: `${p99.toFixed(1)} ms`,
      spread: `${spreadOf(samples)} ms`,
      bar: `≤ ${identityP99BarMs} ms`,
      met: p99 <= identityP99BarMs,
    },
  ];
}

/** The agent's own count; it listens in the node's namespace. */
async function policyMaps(node: BenchNode): Promise<number> {
  const script = "console.log(await (await fetch('http://127.0.0.1:9962/metrics')).text())";
  const child = node.spawnInside([process.execPath, '-e', script], '', {});
  const text = await new Response(child.stdout).text();
  return Number(/^cilium_policy_maps (\d+)/m.exec(text)?.[1]);
}

async function maps(node: BenchNode): Promise<Figure> {
  const count = await policyMaps(node);
  return {
    name: `maps of policy entries, ${localEndpoints} endpoints of ${localIdentities} identities`,
    value: `${count}`,
    bar: `≤ ${mapsMax}`,
    met: count <= mapsMax,
  };
}
