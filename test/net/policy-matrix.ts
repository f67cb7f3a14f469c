/**
 * @module Three pods, their node, the world and what is far, and the matrix of who reaches whom
 * by TCP, UDP and ICMP echo in both families: as measured, and as the oracle says. For policies of
 * every kind and paths of every kind; shapes-world.ts is for pods alone.
 */
import type { Cluster, Family, Protocol } from '../oracle/documents.ts';
import { judge, judgeHost } from '../oracle/oracle.ts';
import { eventually, type Pod, TestNode } from './harness.ts';
import type { ReachTarget } from './traffic-types.ts';
import { addresses, createFar, families, routePodsFromWorld } from './world.ts';

export type Place = 'server' | 'client' | 'other' | 'node' | 'world' | 'far';
/** `server>far tcp/80 v6`. */
export type ProbeName = string;

const quickMs = 180;
const patientMs = 2000;
const ports = [80, 81, 8080] as const;
const nodeName = 'test-node';

const pods: Readonly<Record<'server' | 'client' | 'other', { namespace: string; labels: object }>> =
  {
    server: { namespace: 'shop', labels: { app: 'server', tier: 'back' } },
    client: { namespace: 'shop', labels: { app: 'client', tier: 'front' } },
    other: { namespace: 'probe', labels: { app: 'other' } },
  };
const podNames = ['server', 'client', 'other'] as const;

/** Who asks whom. The world knows pods only by their own addresses, and only its first asks. */
const pairs: readonly (readonly [from: Place, to: Place])[] = [
  ...(['client', 'other', 'node', 'world'] as const).map((from) => [from, 'server'] as const),
  ...(['client', 'other', 'node', 'world', 'far'] as const).map((to) => ['server', to] as const),
  ['client', 'other'],
  ['world', 'node'],
  ['node', 'world'],
];

interface Probe {
  readonly name: ProbeName;
  readonly from: Place;
  readonly to: Place;
  readonly family: Family;
  readonly protocol: Protocol;
  readonly port: number;
}

function probes(): Probe[] {
  const found: Probe[] = [];
  for (const [from, to] of pairs) {
    for (const family of families) {
      const echo = family === 4 ? (['ICMP', 8] as const) : (['ICMPv6', 128] as const);
      const numbered = ports.flatMap((port) =>
        (['TCP', 'UDP'] as const).map((protocol) => [protocol, port] as const),
      );
      for (const [protocol, port] of [...numbered, echo]) {
        const what = protocol.startsWith('ICMP') ? 'icmp' : `${protocol.toLowerCase()}/${port}`;
        found.push({ name: `${from}>${to} ${what} v${family}`, from, to, family, protocol, port });
      }
    }
  }
  return found;
}

export interface MatrixOptions {
  readonly hostFirewall?: boolean;
  /** The node reaches its pods whatever their policy allows. */
  readonly allowLocalhost?: boolean;
}

export class PolicyMatrix implements AsyncDisposable {
  readonly node: TestNode;
  readonly #pods: ReadonlyMap<Place, Pod>;
  readonly #options: MatrixOptions;
  readonly #probes = probes();
  #changes = 0;

  private constructor(node: TestNode, found: ReadonlyMap<Place, Pod>, options: MatrixOptions) {
    this.node = node;
    this.#pods = found;
    this.#options = options;
  }

  static async create(options: MatrixOptions = {}): Promise<PolicyMatrix> {
    const { hostFirewall = false, allowLocalhost = false } = options;
    const flags = [
      `--node-name=${nodeName}`,
      `--enable-host-firewall=${hostFirewall}`,
      `--allow-localhost=${allowLocalhost ? 'always' : 'policy'}`,
    ];
    const node = await TestNode.create({ flags });
    routePodsFromWorld(node.namespaces);
    createFar(node.namespaces);
    const found = new Map<Place, Pod>();
    for (const name of podNames) {
      found.set(name, await node.addPod(name, {}, { namespace: pods[name].namespace, name }));
    }
    for (const where of [...found.values(), 'node', 'world', 'far'] as const) {
      const traffic = await node.traffic(where);
      for (const port of ports) {
        await traffic.call('tcpServe', { port });
        await traffic.call('udpServe', { port });
      }
    }
    const matrix = new PolicyMatrix(node, found, options);
    await matrix.apply([]);
    return matrix;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.node[Symbol.asyncDispose]();
  }

  pod(name: 'server' | 'client' | 'other'): Pod {
    const pod = this.#pods.get(name);
    if (pod === undefined) throw new Error(`no pod ${name}`);
    return pod;
  }

  /** An address of a place as others reach it. Datagrams to the node are answered from its gateway's. */
  address(place: Place, family: Family, from: Place): string {
    if (place === 'far' || place === 'world') return addresses[place][family];
    if (place !== 'node') return this.pod(place).address[family];
    return from === 'world' ? addresses.node[family] : addresses.podGateway[family];
  }

  /** All of the probes' names. */
  get names(): ProbeName[] {
    return this.#probes.map(({ name }) => name);
  }

  #objects(): object[] {
    const namespaces = ['shop', 'probe'].map((name) => ({
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: { name, labels: { team: name } },
    }));
    const node = {
      apiVersion: 'v1',
      kind: 'Node',
      metadata: { name: nodeName, labels: { role: 'worker' } },
      status: {
        addresses: families.flatMap((family) =>
          [addresses.node[family], addresses.podGateway[family]].map((address) => ({
            type: 'InternalIP',
            address,
          })),
        ),
      },
    };
    const objects = podNames.map((name) => ({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name, namespace: pods[name].namespace, labels: pods[name].labels },
      spec: {
        nodeName,
        containers: [
          {
            name: 'serve',
            ports: [
              { name: 'web', containerPort: 80, protocol: 'TCP' },
              { name: 'alt', containerPort: 8080, protocol: 'TCP' },
            ],
          },
        ],
      },
      status: {
        phase: 'Running',
        podIPs: families.map((family) => ({ ip: this.pod(name).address[family] })),
      },
    }));
    return [...namespaces, node, ...objects];
  }

  /** The policies are in force, and nothing else is. */
  async apply(policies: readonly object[]): Promise<void> {
    // So that no two changes write the same bytes.
    const mark = {
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: { name: `change-${++this.#changes}` },
    };
    await this.node.changePolicy(() =>
      this.node.writePolicy('matrix.json', [...this.#objects(), mark, ...policies]),
    );
    await eventually('labels of the pods to be in force', async () => {
      const endpoints = await this.node.endpoints();
      const labelled = endpoints.filter((one) =>
        one.status.identity.labels.some((label: string) => label.startsWith('k8s:app=')),
      );
      return (
        labelled.length === podNames.length && labelled.every((one) => one.status.state === 'ready')
      );
    });
    await this.node.policySettled();
  }

  /** What passes according to the oracle, and by which rules. */
  expected(policies: readonly object[]): Map<ProbeName, { allowed: boolean; rules: string }> {
    const cluster: Cluster = {
      objects: [...this.#objects(), ...policies],
      config: {
        enablePolicy: 'default',
        allowLocalhost: this.#options.allowLocalhost === true,
        cluster: 'default',
        localNode: nodeName,
        cidrMatchesNodes: false,
      },
    };
    return new Map(
      this.#probes.map((probe) => {
        const { from, to, family, protocol, port } = probe;
        const end = (place: Place, peer: Place) =>
          place in pods
            ? `${pods[place as 'server'].namespace}/${place}`
            : this.address(place, family, peer);
        const query = { from: end(from, to), to: end(to, from), family, protocol, port };
        const { egress, ingress } = judge(cluster, query);
        const host = (direction: 'ingress' | 'egress', peer: string) =>
          this.#options.hostFirewall === true
            ? judgeHost(cluster, { peer, direction, family, protocol, port })
            : undefined;
        const sides = [
          from === 'node' ? host('egress', query.to) : egress,
          to === 'node' ? host('ingress', query.from) : ingress,
        ];
        const rules = sides.map((side) => side?.rules.join(' ') || '-').join(' then ');
        return [probe.name, { allowed: sides.every((side) => side?.allowed !== false), rules }];
      }),
    );
  }

  /** What passes. With `until`, everything that should pass has the time that it needs. */
  async passing(until: ReadonlySet<ProbeName> = new Set()): Promise<Set<ProbeName>> {
    const quick = await this.#try(quickMs);
    if ([...until].every((name) => quick.has(name))) return quick;
    return await this.#try(patientMs);
  }

  async #try(timeoutMs: number): Promise<Set<ProbeName>> {
    const passed = new Set<ProbeName>();
    await Promise.all(
      [...new Set(this.#probes.map(({ from }) => from))].map(async (from) => {
        const traffic = await this.node.traffic(
          from === 'node' || from === 'world' || from === 'far' ? from : this.pod(from),
        );
        const own = this.#probes.filter((probe) => probe.from === from);
        const echoes = own.filter(({ protocol }) => protocol.startsWith('ICMP'));
        const rest = own.filter((probe) => !echoes.includes(probe));
        const targets = rest.map(({ to, family, protocol, port }) => ({
          host: this.address(to, family, from),
          port,
          protocol: protocol.toLowerCase() as ReachTarget['protocol'],
        }));
        const [letters] = await Promise.all([
          traffic.call('reach', { targets, timeoutMs }),
          ...echoes.map(async ({ name, to, family }) => {
            const host = this.address(to, family, from);
            const { kind } = await traffic.call('ping', { host, timeoutMs });
            if (kind === 'reply') passed.add(name);
          }),
        ]);
        for (const [at, letter] of letters.entries()) {
          if (letter === 'y') passed.add(rest[at]?.name ?? '');
        }
      }),
    );
    return passed;
  }

  /** Applies the policies, and says where traffic and the oracle differ. */
  async differences(policies: readonly object[]): Promise<string[]> {
    await this.apply(policies);
    const expected = this.expected(policies);
    const allowed = new Set([...expected].filter(([, one]) => one.allowed).map(([name]) => name));
    const passed = await this.passing(allowed);
    return [...expected].flatMap(([name, one]) =>
      passed.has(name) === one.allowed
        ? []
        : [`${name} ${passed.has(name) ? 'passes' : 'does not pass'}, expected by ${one.rules}`],
    );
  }
}
