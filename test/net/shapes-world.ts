/**
 * @module The nine pods of the table of shapes on a real node, and the matrix of who reaches whom:
 * measured by traffic, and as the oracle says.
 */
import type {
  Cluster,
  ContainerPort,
  KubernetesObject,
  Protocol,
  Query,
} from '../oracle/documents.ts';
import { judge } from '../oracle/oracle.ts';
import { eventually, type Json, type Pod, TestNode } from './harness.ts';
import type { AddressOf, Step } from './shapes-types.ts';
import type { ReachTarget } from './traffic-types.ts';
import { families } from './world.ts';

const names = ['x', 'y', 'z'].flatMap((namespace) =>
  ['a', 'b', 'c'].map((name) => `${namespace}/${name}`),
);
const served = [80, 81] as const;
/** Long for answers that take one or two; how sure that is, allowed ones show. */
const quickMs = 150;
const patientMs = 2500;
/** What the last of a storm of packets needs to be seen at the receiver. */
const wrongShown = 12;

const namespaceLabels: Step['namespaceLabels'] = {
  x: { ns: 'x', team: 'one' },
  y: { ns: 'y', team: 'two' },
  z: { ns: 'z' },
};

function ownLabels(path: string): Record<string, string> {
  const name = path.slice(2);
  return name === 'c' ? { pod: name } : { pod: name, tier: name === 'a' ? 'front' : 'back' };
}

/** The port "main" is 80 in namespaces x and y, and 81 in z. */
function containerPorts(namespace: string): ContainerPort[] {
  const numbered = served.flatMap((port) =>
    (['TCP', 'UDP', 'SCTP'] as const).map((protocol) => ({
      name: `serve-${port}-${protocol.toLowerCase()}`,
      containerPort: port,
      protocol,
    })),
  );
  return [...numbered, { name: 'main', containerPort: namespace === 'z' ? 81 : 80 }];
}

interface Cell extends Query {
  readonly target: ReachTarget;
}

/** What was reached, and what was wrong with it. */
export interface Measured {
  readonly probes: number;
  readonly wrong: readonly string[];
}

export class ShapesWorld implements AsyncDisposable {
  readonly node: TestNode;
  readonly #pods: ReadonlyMap<string, Pod>;
  #lastTag = 0;

  private constructor(node: TestNode, pods: ReadonlyMap<string, Pod>) {
    this.node = node;
    this.#pods = pods;
  }

  static async create(): Promise<ShapesWorld> {
    const node = await TestNode.create();
    const pods = new Map<string, Pod>();
    for (const path of names) {
      const [namespace = '', name = ''] = path.split('/');
      pods.set(path, await node.addPod(path.replace('/', '-'), {}, { namespace, name }));
    }
    const world = new ShapesWorld(node, pods);
    await Promise.all(
      [...pods.values()].map(async (pod) => {
        const traffic = await node.traffic(pod);
        for (const port of served) {
          await traffic.call('tcpServe', { port });
          await traffic.call('udpServe', { port });
        }
        await traffic.call('sctpServe', {});
      }),
    );
    return world;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.node[Symbol.asyncDispose]();
  }

  readonly addressOf: AddressOf = (path, family) => {
    const pod = this.#pods.get(path);
    if (pod === undefined) throw new Error(`no pod ${path}`);
    return pod.address[family];
  };

  #objects({ podLabels, namespaceLabels: changed }: Step): object[] {
    const namespaces = Object.entries({ ...namespaceLabels, ...changed }).map(([name, labels]) => ({
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: { name, labels },
    }));
    const pods = names.map((path) => {
      const [namespace = '', name = ''] = path.split('/');
      return {
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: { name, namespace, labels: podLabels?.[path] ?? ownLabels(path) },
        spec: { containers: [{ name: 'serve', ports: containerPorts(namespace) }] },
        status: {
          phase: 'Running',
          podIPs: families.map((family) => ({ ip: this.addressOf(path, family) })),
        },
      };
    });
    return [...namespaces, ...pods];
  }

  /** Replaces everything that the agent is told, in one step, and waits until it is in force. */
  async apply(step: Step): Promise<void> {
    const objects = this.#objects(step);
    await this.node.changePolicy(() =>
      this.node.writePolicy('shape.json', [...objects, ...step.policies]),
    );
    const wanted = new Map(names.map((path) => [path, expectedLabels(objects, path)]));
    await eventually('labels to be in force', async () => {
      const endpoints = await this.node.endpoints();
      const pods = endpoints.filter((one) => wanted.has(pathOf(one)));
      return (
        pods.length === names.length &&
        pods.every(
          (one) => one.status.state === 'ready' && hasExactly(one, wanted.get(pathOf(one))),
        )
      );
    });
    await this.node.policySettled();
  }

  /** Tries everything once, and what should have answered and did not a second time, patiently. */
  async measure(step: Step): Promise<Measured> {
    const cluster: Cluster = {
      objects: [...this.#objects(step), ...step.policies],
      config: {
        enablePolicy: 'default',
        allowLocalhost: true,
        cluster: 'default',
        localNode: '',
        cidrMatchesNodes: false,
      },
    };
    const cells = this.#cells(JSON.stringify(step.policies).includes('SCTP'));
    const expected = cells.map((cell) => judge(cluster, cell));
    let reached = await this.#reach(cells, quickMs);
    let probes = cells.length;
    const isLate = expected.some(({ allowed }, at) => allowed && reached[at] === 'n');
    if (isLate) {
      // The machine was slow, or it is wrong: then what is denied had too little time as well.
      reached = await this.#reach(cells, patientMs);
      probes += cells.length;
    }
    const wrong = cells.flatMap((cell, at) => {
      const verdict = expected[at];
      if (verdict === undefined || (reached[at] === 'y') === verdict.allowed) return [];
      const rules = (side: typeof verdict.egress) => side?.rules.join(' ') || 'no rule';
      const { from, to, family, protocol, port } = cell;
      return [
        `${from} > ${to} ${protocol}/${port} IPv${family}: ${reached[at] === 'y' ? 'passes' : `does not pass (${reached[at]})`}, ` +
          `expected ${verdict.allowed ? 'allowed' : 'denied'}: egress ${rules(verdict.egress)}, ingress ${rules(verdict.ingress)}`,
      ];
    });
    const more = wrong.length > wrongShown ? [`and ${wrong.length - wrongShown} more`] : [];
    return { probes, wrong: [...wrong.slice(0, wrongShown), ...more] };
  }

  #cells(withSctp: boolean): Cell[] {
    const protocols: readonly Protocol[] = withSctp ? ['TCP', 'UDP', 'SCTP'] : ['TCP', 'UDP'];
    return names.flatMap((from) =>
      names.flatMap((to) =>
        families.flatMap((family) =>
          protocols.flatMap((protocol) =>
            served.map((port) => {
              const named = protocol.toLowerCase() as ReachTarget['protocol'];
              const target = { host: this.addressOf(to, family), port, protocol: named };
              return { from, to, family, protocol, port, target };
            }),
          ),
        ),
      ),
    );
  }

  /** A letter for each cell. What is sent by SCTP answers if it arrives. */
  async #reach(cells: readonly Cell[], timeoutMs: number): Promise<string[]> {
    const letters: string[] = cells.map(() => 'n');
    const tags = new Map<number, number>();
    await Promise.all(
      names.map(async (from) => {
        const indexes = cells.flatMap((cell, at) => (cell.from === from ? [at] : []));
        const firstTag = this.#lastTag + 1;
        for (const at of indexes) {
          if (cells[at]?.protocol === 'SCTP') tags.set(++this.#lastTag, at);
        }
        const targets = indexes.map((at) => (cells[at] as Cell).target);
        const traffic = await this.node.traffic(this.#pods.get(from) as Pod);
        const found = await traffic.call('reach', { targets, timeoutMs, firstTag });
        for (const [at, letter] of found.entries()) letters[indexes[at] as number] = letter;
      }),
    );
    if (tags.size > 0) await this.#takeSctp(cells, tags, letters);
    return letters;
  }

  async #takeSctp(
    cells: readonly Cell[],
    tags: ReadonlyMap<number, number>,
    letters: string[],
  ): Promise<void> {
    for (const at of tags.values()) if (letters[at] === 's') letters[at] = 'n';
    for (const to of names) {
      const traffic = await this.node.traffic(this.#pods.get(to) as Pod);
      for (const tag of await traffic.call('sctpArrived', {})) {
        const at = tags.get(tag);
        if (at === undefined) continue;
        // Whoever sees it must be whom it was for.
        letters[at] = cells[at]?.to === to ? 'y' : 'elsewhere';
      }
    }
  }
}

function pathOf(endpoint: Json): string {
  const { 'external-identifiers': ids } = endpoint.status;
  return String(ids['pod-name'] ?? `${ids['k8s-namespace']}/${ids['k8s-pod-name']}`);
}

/** Labels of the pod and its namespace, as identities spell them; what the system adds is left out. */
function expectedLabels(objects: readonly object[], path: string): readonly string[] {
  const [namespace, name] = path.split('/');
  const find = (kind: string, wanted: string | undefined, within: string | undefined) =>
    (objects as readonly KubernetesObject[]).find(
      (one) =>
        one.kind === kind && one.metadata.name === wanted && one.metadata.namespace === within,
    )?.metadata.labels ?? {};
  return [
    ...Object.entries(find('Pod', name, namespace)).map(([key, value]) => `k8s:${key}=${value}`),
    ...Object.entries(find('Namespace', namespace, undefined)).map(
      ([key, value]) => `k8s:io.cilium.k8s.namespace.labels.${key}=${value}`,
    ),
  ].sort();
}

function hasExactly(endpoint: Json, wanted: readonly string[] | undefined): boolean {
  const own: string[] = endpoint.status.identity.labels;
  const compared = own.filter(
    (label) =>
      !label.startsWith('k8s:io.kubernetes.pod.namespace=') &&
      !label.startsWith('k8s:io.cilium.k8s.policy.') &&
      !label.includes('.labels.kubernetes.io/metadata.name='),
  );
  return compared.sort().join() === wanted?.join();
}
