/**
 * @module The agent's REST side without a datapath, for wire tests: real tables, IPAM, reflector and
 * store, and in place of the reconcilers a listener that finishes endpoints at once.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LabelSource } from '../../src/daemon/endpoint/label-source.ts';
import { EndpointStore } from '../../src/daemon/endpoint/persist.ts';
import { EndpointReflector } from '../../src/daemon/endpoint/reflector.ts';
import { type EndpointRow, endpoints } from '../../src/daemon/endpoint/table.ts';
import { labelFilter, podIdentityLabels } from '../../src/daemon/identity/labels.ts';
import { identities, identityId, reservedIdentities } from '../../src/daemon/identity/table.ts';
import { IpamAllocator } from '../../src/daemon/ipam/allocator.ts';
import { addresses } from '../../src/daemon/ipam/table.ts';
import { ipcache } from '../../src/daemon/ipcache/table.ts';
import type { RestContext, RestSettings } from '../../src/daemon/rest/context.ts';
import { type RestServer, startRestServer } from '../../src/daemon/rest/server.ts';
import { requirePrefix } from '../../src/net/prefix.ts';

export interface AgentFixtureOptions {
  readonly directory?: string;
  readonly ipv4?: string;
  readonly ipv6?: string;
  readonly settings?: Partial<RestSettings>;
  /** What happens to a new endpoint; the default finishes it in a microtask. */
  readonly build?: (row: EndpointRow, agent: AgentFixture) => void;
  /** What happens when one is gone; the default detaches it in a microtask. */
  readonly detach?: (row: EndpointRow, agent: AgentFixture) => void;
}

/** One agent of a test, with its own directory. */
export class AgentFixture {
  readonly directory: string;
  readonly endpoints = endpoints();
  readonly identities = identities();
  readonly ipcache = ipcache();
  readonly addresses = addresses();
  readonly store: EndpointStore;
  readonly ipam: IpamAllocator;
  readonly reflector: EndpointReflector;
  readonly context: RestContext;
  readonly errors: string[] = [];
  readonly changed: Record<string, string>[] = [];
  readonly #server: { current: RestServer | undefined } = { current: undefined };

  constructor(options: AgentFixtureOptions = {}) {
    this.directory = options.directory ?? mkdtempSync(join(tmpdir(), 'cilium-wire-'));
    this.store = new EndpointStore(this.directory);
    this.ipam = new IpamAllocator({
      table: this.addresses,
      ipv4: { range: requirePrefix(options.ipv4 ?? '10.244.0.0/24') },
      ipv6: { range: requirePrefix(options.ipv6 ?? 'fd00:10:244::/120') },
    });
    const filter = labelFilter();
    this.reflector = new EndpointReflector({
      endpoints: this.endpoints,
      addresses: this.ipam,
      store: this.store,
      labels: new LabelSource((pod) => podIdentityLabels({ ...pod, cluster: 'default' }, filter), {
        pod: () => undefined,
        namespaceLabels: () => undefined,
      }),
    });
    for (const { id, labels } of reservedIdentities) {
      this.identities.upsert({ id, labels, reserved: true, refCount: 0 });
    }
    this.context = makeContext(this, options.settings ?? {});
    this.#follow(options);
  }

  get socketPath(): string {
    return join(this.directory, 'cilium.sock');
  }

  async listen(): Promise<void> {
    this.#server.current = await startRestServer(this.socketPath, this.context, (message, fields) =>
      this.errors.push(`${message} ${JSON.stringify(fields)}`),
    );
  }

  async stopListening(): Promise<void> {
    await this.#server.current?.stop();
    this.#server.current = undefined;
  }

  async close(): Promise<void> {
    await this.stopListening();
    this.ipam[Symbol.dispose]();
    rmSync(this.directory, { recursive: true, force: true });
  }

  /** Marks an endpoint as built. */
  finish(row: EndpointRow): void {
    const id = identityId(1000);
    this.identities.upsert({ id, labels: row.labels, reserved: false, refCount: 1 });
    this.endpoints.upsert({
      ...row,
      identity: id,
      policyId: 1,
      state: 'ready',
      status: { kind: 'done' },
    });
  }

  #follow(options: AgentFixtureOptions): void {
    const known = new Map<number, EndpointRow>();
    const reader = this.endpoints.reader('fixture');
    this.endpoints.subscribe(() => {
      for (const { key, row } of reader.next()) {
        const before = known.get(Number(key));
        if (row === undefined) {
          known.delete(Number(key));
          if (before !== undefined) {
            if (options.detach === undefined) this.reflector.onDetached(before.id);
            else options.detach(before, this);
          }
          continue;
        }
        known.set(row.id, row);
        if (row.status.kind !== 'pending') continue;
        if (options.build === undefined) this.finish(row);
        else if (before === undefined) options.build(row, this);
      }
    });
  }
}

function makeContext(agent: AgentFixture, settings: Partial<RestSettings>): RestContext {
  const options: Record<string, string> = {
    Debug: 'Disabled',
    DropNotification: 'Enabled',
    MonitorAggregationLevel: 'Medium',
    PolicyTracing: 'Disabled',
  };
  return {
    settings: {
      version: '0.1.0 (v0.1.0-test)',
      nodeName: 'test-node',
      nodeIpv4: '172.30.0.2',
      nodeIpv6: 'fd00:172:30::2',
      deviceMtu: 1500,
      routeMtu: 1500,
      masqueradeIpv4: true,
      masqueradeIpv6: true,
      policyEnforcement: 'default',
      options: {},
      apiAccess: ['*'],
      ...settings,
    },
    endpoints: agent.endpoints,
    identities: agent.identities,
    ipcache: agent.ipcache,
    reflector: agent.reflector,
    ipam: agent.ipam,
    maps: {
      names: ['cilium_lxc'],
      count: (name) => (name === 'cilium_lxc' ? 1 : 0),
      path: (name) => `/sys/fs/bpf/tc/globals/${name}`,
      entries: (name) => (name === 'cilium_lxc' ? [{ key: 'k', value: 'v' }] : undefined),
    },
    tables: new Map<string, RestContext['endpoints'] | RestContext['identities']>([
      ['endpoints', agent.endpoints],
      ['identities', agent.identities],
    ]) as unknown as RestContext['tables'],
    status: () => ({ cilium: { state: 'Ok', msg: '0.1.0 (v0.1.0-test)' }, kubernetes: {} }),
    runtimeOptions: () => options,
    setRuntimeOptions: (wanted) => {
      agent.changed.push({ ...wanted });
      Object.assign(options, wanted);
      return undefined;
    },
    policy: (labels) => ({ revision: 3, rules: labels.length === 0 ? [{ a: 1 }] : [] }),
    selectors: () => [],
    policyExport: () => ({}),
    endpointPolicy: () => undefined,
  };
}
