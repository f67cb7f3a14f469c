/**
 * @module
 * The agent's tables and what works between them, from the documents of a cluster to the maps of a
 * fixture: parser, controllers, policy reconciler and ipcache reconciler are the agent's own. In
 * place of a CNI plugin, every running pod of the local node is an endpoint on some device.
 */
import { RemotePodController } from '../../src/daemon/cluster/controller.ts';
import { clusterObjectKey } from '../../src/daemon/cluster/table.ts';
import { type EndpointRow, endpointId } from '../../src/daemon/endpoint/table.ts';
import { endpointRow } from '../../src/daemon/endpoint-fixture.ts';
import { IdentityAllocator } from '../../src/daemon/identity/allocator.ts';
import { labelFilter, podIdentityLabels } from '../../src/daemon/identity/labels.ts';
import { LocalIdentities } from '../../src/daemon/identity/local-allocator.ts';
import { IpcacheController } from '../../src/daemon/ipcache/controller.ts';
import { reconcileIpcache } from '../../src/daemon/ipcache/reconciler.ts';
import { endpointPrefixes, PolicyController } from '../../src/daemon/policy/controller.ts';
import { ruleRows } from '../../src/daemon/policy/documents/rule-row.ts';
import { PolicyReconciler } from '../../src/daemon/policy/kernel/reconciler.ts';
import { type ParsedPolicy, parseDocuments } from '../../src/daemon/policy/parse/parse.ts';
import { PolicyRevision, policySubject } from '../../src/daemon/policy/table.ts';
import { formatPorts } from '../../src/daemon/ports.ts';
import { agentTables } from '../../src/daemon/tables.ts';
import { type ClusterObject, objectKey, type PodObject } from '../../src/k8s/object.ts';
import { formatProblem } from '../../src/k8s/problem.ts';
import type { Status } from '../../src/kv/status.ts';
import { requireAddress } from '../../src/net/address.ts';
import type { IfIndex } from '../../src/net/if-index.ts';
import type { Cluster, OracleConfig } from '../oracle/documents.ts';
import { entriesMax, MortalTarget } from './mortal-target.ts';
import type { VerdictKernel } from './verdict-kernel.ts';

const filter = labelFilter([]);
const quietRounds = 4;
const settledWithinMs = 20_000;

export class AgentModel implements AsyncDisposable {
  readonly tables = agentTables();
  readonly #kernel: VerdictKernel;
  readonly #target: MortalTarget;
  readonly #config: OracleConfig;
  readonly #identities: IdentityAllocator;
  readonly #controller: PolicyController;
  readonly #revisions = new PolicyRevision();
  readonly #resources = new DisposableStack();
  readonly #stop = new AbortController();
  readonly #initialized = Promise.withResolvers<void>();
  #failure: unknown;

  constructor(kernel: VerdictKernel, config: OracleConfig) {
    this.#kernel = kernel;
    this.#target = new MortalTarget(kernel.fixture);
    this.#config = config;
    const { tables } = this;
    this.#identities = new IdentityAllocator(tables.identities);
    const host = kernel.hostFirewall ? { nodeName: config.localNode } : undefined;
    this.#controller = this.#resources.use(
      new PolicyController(
        {
          ...{ rules: tables.policyRules, objects: tables.clusterObjects },
          ...{ identities: tables.identities, endpoints: tables.endpoints },
          ...{ ipcache: tables.ipcache, remotePods: tables.remotePods },
          ...{ policies: tables.policies, peers: tables.policyPeers },
          ...{ addressSets: tables.addressSets, cookies: tables.cookies },
        },
        { ...config, entriesMax },
        this.#revisions,
        host,
      ),
    );
    const inputs = ['endpoints', 'identities', 'ipcache', 'clusterObjects', 'remotePods'] as const;
    for (const name of inputs) {
      this.#resources.use(tables[name].subscribe(() => void this.#controller.run()));
    }
    this.#wireIpcache();
    this.#wirePolicy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    this.#resources.dispose();
    this.#kernel.setEndpoints([]);
    await this.#target.kill();
  }

  /** Makes the maps say what the documents say. Throws if one is refused or a write fails. */
  async apply(cluster: Cluster): Promise<void> {
    const { policies, objects } = parse(cluster);
    this.#setObjects(objects);
    this.#setRules(policies);
    this.#setEndpoints(objects);
    this.#controller.run();
    this.#initialized.resolve();
    await this.#settled();
    for (const row of [...this.tables.endpoints.all()]) this.#setPolicyId(row);
    await this.#settled();
    this.#kernel.setEndpoints([...this.tables.endpoints.all()]);
  }

  #wireIpcache(): void {
    const { tables } = this;
    this.#resources.use(
      new RemotePodController({
        objects: tables.clusterObjects,
        endpoints: tables.endpoints,
        remotePods: tables.remotePods,
        identities: this.#identities,
        labelsOf: (pod) => this.#labelsOf(pod),
        nodeName: this.#config.localNode,
        onError: (error) => this.#fail(error),
      }),
    );
    this.#resources.use(
      new IpcacheController(tables.ipcache, {
        endpoints: tables.endpoints,
        addresses: tables.nodeAddresses,
        objects: tables.clusterObjects,
        blocks: tables.addressSets,
        remotePods: tables.remotePods,
        peers: tables.policyPeers,
        isKnownPeer: (identity, prefix) =>
          tables.policyPeers.get(this.#controller.peerAt(identity, prefix))?.status.kind === 'done',
        identities: new LocalIdentities(
          tables.identities,
          (family) => `reserved:world-ipv${family}`,
        ),
        nodeName: this.#config.localNode,
        // Without ranges, the address of a pod that has ended is the world's, as the oracle has it.
        ranges: [],
        families: [4, 6],
      }),
    );
    reconcileIpcache(tables.ipcache, this.#kernel.fixture.maps.ipcache, {
      initialized: this.#initialized.promise,
      signal: this.#stop.signal,
      onChangedHands: () => {},
      onPruned: () => {},
    });
  }

  #wirePolicy(): void {
    const { tables } = this;
    this.#resources.use(
      new PolicyReconciler({
        policies: tables.policies,
        peers: tables.policyPeers,
        addressSets: tables.addressSets,
        target: this.#target,
        initialized: this.#initialized.promise,
        onError: (error) => this.#fail(error),
      }),
    );
  }

  #setObjects(objects: readonly ClusterObject[]): void {
    const { clusterObjects, nodeAddresses } = this.tables;
    const keys = new Set(objects.map(objectKey));
    for (const key of [...clusterObjects.keys()]) if (!keys.has(key)) clusterObjects.delete(key);
    for (const object of objects) {
      clusterObjects.upsert({ object, origin: '' });
      if (object.kind !== 'Node' || object.name !== this.#config.localNode) continue;
      for (const address of object.addresses) nodeAddresses.upsert({ address, device: 'native' });
    }
  }

  #setRules(policies: readonly ParsedPolicy[]): void {
    const { policyRules } = this.tables;
    const revision = this.#revisions.next();
    const rows = policies.flatMap((policy) => ruleRows(policy, '', revision));
    const keys = new Set(rows.map(({ key }) => key));
    for (const key of [...policyRules.keys()]) if (!keys.has(key)) policyRules.delete(key);
    for (const row of rows) policyRules.upsert(row);
  }

  /** As pods come and go: who is gone goes first. An identity that is new has no policy yet. */
  #setEndpoints(objects: readonly ClusterObject[]): void {
    const { endpoints } = this.tables;
    const pods = new Map<string, PodObject>();
    for (const one of objects) {
      if (one.kind !== 'Pod' || one.nodeName !== this.#config.localNode) continue;
      if (one.hostNetwork || one.ended || one.addresses.length === 0) continue;
      pods.set(`${one.namespace}/${one.name}`, one);
    }
    for (const row of [...endpoints.all()]) {
      const pod = pods.get(`${row.namespace}/${row.podName}`);
      if (pod !== undefined && sameAddresses(row, pod)) continue;
      endpoints.delete(row.id);
      if (row.identity !== 0) this.#identities.release(row.identity);
    }
    for (const pod of pods.values()) this.#setEndpoint(pod);
  }

  #setEndpoint(pod: PodObject): void {
    const { endpoints } = this.tables;
    const { namespace, name: podName } = pod;
    const before = endpoints.by('podName', `${namespace}/${podName}`)[0];
    const labels = this.#labelsOf(pod);
    const allocation = this.#identities.allocate(labels);
    if (allocation.kind === 'exhausted') throw new Error(allocation.message);
    const { id: identity } = allocation;
    const ports = formatPorts(pod.ports);
    if (before !== undefined && before.identity !== 0) this.#identities.release(before.identity);
    if (before?.identity === identity && before.ports === ports) return;
    const id = before?.id ?? this.#freeId();
    endpoints.upsert(
      endpointRow({
        ...{ id, identity, labels, ports, namespace, podName },
        ifindex: this.#kernel.device(id - 1) as IfIndex,
        ipv4: addressOf(pod, 4),
        ipv6: addressOf(pod, 6),
      }),
    );
  }

  #freeId(): number {
    for (let id = 1; ; id++) if (this.tables.endpoints.get(endpointId(id)) === undefined) return id;
  }

  #setPolicyId(row: EndpointRow): void {
    if (row.identity === 0) return;
    const policy = this.tables.policies.get(policySubject(row.identity, row.ports));
    if (policy === undefined) throw new Error(`no policy of ${row.namespace}/${row.podName}`);
    const known = endpointPrefixes(row).every((prefix) => {
      const peer = this.#controller.peerAt(policy.identity, prefix);
      return this.tables.policyPeers.get(peer)?.status.kind === 'done';
    });
    if (!known) throw new Error(`no class of ${row.namespace}/${row.podName}`);
    if (policy.policyId === row.policyId) return;
    this.tables.endpoints.upsert({ ...row, policyId: policy.policyId });
  }

  #labelsOf(pod: PodObject): readonly string[] {
    const key = clusterObjectKey('Namespace', '', pod.namespace);
    const namespace = this.tables.clusterObjects.get(key)?.object;
    const { labels } = podIdentityLabels(
      {
        labels: pod.labels,
        namespace: pod.namespace,
        namespaceLabels: {
          ...(namespace?.kind === 'Namespace' ? namespace.labels : {}),
          'kubernetes.io/metadata.name': pod.namespace,
        },
        cluster: this.#config.cluster,
        ...(pod.serviceAccount === undefined ? {} : { serviceAccount: pod.serviceAccount }),
      },
      filter,
    );
    return labels;
  }

  #fail(error: unknown): void {
    this.#failure ??= error;
  }

  /** Waits until every row has been carried out and nothing changes any more. */
  async #settled(): Promise<void> {
    const deadline = performance.now() + settledWithinMs;
    let revision = -1;
    for (let quiet = 0; quiet < quietRounds; ) {
      await Bun.sleep(0);
      if (this.#failure !== undefined) throw this.#failure;
      const waiting = this.#unfinished();
      const now = this.#revision();
      quiet = waiting === undefined && now === revision ? quiet + 1 : 0;
      revision = now;
      if (performance.now() > deadline) throw new Error(`not carried out: ${waiting}`);
    }
  }

  #unfinished(): string | undefined {
    const { policies, policyPeers, addressSets, ipcache } = this.tables;
    for (const table of [policies, policyPeers, addressSets, ipcache]) {
      for (const row of table.all() as IterableIterator<{ readonly status: Status }>) {
        if (row.status.kind === 'error') this.#fail(new Error(row.status.message));
        if (row.status.kind !== 'done') return `${table.name} ${JSON.stringify(row)}`;
      }
    }
    return undefined;
  }

  #revision(): number {
    return Object.values(this.tables).reduce((sum, { revision }) => sum + revision, 0);
  }
}

function parse({ config, objects }: Cluster) {
  const text = JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects });
  const parsed = parseDocuments(text, { cluster: config.cluster });
  if (parsed.kind === 'refused') throw new Error(parsed.problems.map(formatProblem).join('\n'));
  return parsed;
}

function addressOf(pod: PodObject, family: 4 | 6): string | undefined {
  return pod.addresses.find((address) => requireAddress(address).family === family);
}

function sameAddresses({ ipv4, ipv6 }: EndpointRow, pod: PodObject): boolean {
  return ipv4 === addressOf(pod, 4) && ipv6 === addressOf(pod, 6);
}
