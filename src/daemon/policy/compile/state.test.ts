/**
 * Named states of policies and objects, reached by every path: as written, one document after the
 * other, backwards, with nothing in between, in many files or in one, everything sent twice, and from
 * every other state. What is in the kernel's maps in the end says the same each time, once numbers of
 * classes, sets, slots and cookies are replaced by what they stand for.
 */
import { expect, test } from 'bun:test';
import { policyConfigFlags } from '../../../bpf/gen/constants.ts';
import type { PolicyConfig } from '../../../bpf/gen/layouts.ts';
import { type Bank, type PolicyMapEntry, policySlot } from '../../../bpf/map/policy.ts';
import { requireAddress } from '../../../net/address.ts';
import { clusterObjectKey } from '../../cluster/table.ts';
import {
  type IdentityId,
  identityWorldIpv4,
  identityWorldIpv6,
  reservedIdentities,
} from '../../identity/table.ts';
import { ruleRows } from '../documents/rule-row.ts';
import { KernelModel } from '../kernel/kernel-model.ts';
import type { EntryMap } from '../kernel/policy-target.ts';
import { PolicyReconciler } from '../kernel/reconciler.ts';
import { parseDocuments } from '../parse/parse.ts';
import type { PolicyRuleRow } from '../table.ts';
import type { Someone } from './arbitrary.ts';
import { classAny } from './peer.ts';
import { World } from './world-model.ts';

type Document = object;
/** Documents by file. */
type Files = Readonly<Record<string, readonly Document[]>>;

/** A kernel that tells what was written to it. */
class Recorder extends KernelModel {
  readonly configs = new Map<number, PolicyConfig>();
  readonly slots = new Map<number, readonly PolicyMapEntry[]>();
  readonly usesSets: [boolean, boolean] = [false, false];
  readonly #filled = new WeakMap<EntryMap, readonly PolicyMapEntry[]>();

  constructor() {
    super();
    const { updateAll } = this.policyConfig;
    this.policyConfig.updateAll = (pairs) => {
      const list = [...pairs];
      for (const [slot, config] of list) this.configs.set(slot, config);
      updateAll(list);
    };
  }

  override setAddressSets(bank: Bank, used: boolean): void {
    this.usesSets[bank] = used;
    super.setAddressSets(bank, used);
  }

  override fill(entries: readonly PolicyMapEntry[]): EntryMap {
    const map = super.fill(entries);
    this.#filled.set(map, [...entries]);
    return map;
  }

  override async install(slots: readonly { readonly slot: number; readonly map: EntryMap }[]) {
    for (const { slot, map } of slots) this.slots.set(slot, this.#filled.get(map) ?? []);
    return await super.install(slots);
  }
}

const names = ['x/a', 'x/b', 'y/a', 'y/b', 'z/c'];

function identityLabels(): Map<IdentityId, readonly string[]> {
  const labels = new Map(reservedIdentities.map(({ id, labels }) => [id, labels]));
  names.forEach((path, index) => {
    const [namespace, app] = path.split('/');
    labels.set(
      (1000 + index) as IdentityId,
      [
        `k8s:app=${app}`,
        'k8s:io.cilium.k8s.policy.cluster=default',
        `k8s:io.cilium.k8s.namespace.labels.team=${namespace}`,
        `k8s:io.cilium.k8s.namespace.labels.kubernetes.io/metadata.name=${namespace}`,
        `k8s:io.kubernetes.pod.namespace=${namespace}`,
      ].sort(),
    );
  });
  return labels;
}

/** The pods in both families, and addresses in and around the blocks that states name. */
const people: readonly Someone[] = [
  ...names.flatMap((_, index) => {
    const identity = (1000 + index) as IdentityId;
    const ports = index % 2 === 0 ? 'web/6=8080' : 'dns/17=53,web/6=80';
    return [
      { identity, address: `10.0.0.${index + 1}`, ports },
      { identity, address: `fd00::${index + 1}`, ports },
    ];
  }),
  { identity: 1 as IdentityId, address: '10.0.200.1', ports: '' },
  ...['192.0.2.1', '192.0.2.129', '198.51.100.7', '203.0.113.1'].map((address) => ({
    identity: 9 as IdentityId,
    address,
    ports: '',
  })),
  ...['2001:db8::1', '2001:db8:1::1'].map((address) => ({
    identity: 10 as IdentityId,
    address,
    ports: '',
  })),
];

class Driver implements AsyncDisposable {
  readonly kernel = new Recorder();
  readonly world = new World(identityLabels(), people, this.kernel);
  readonly #reconciler = new PolicyReconciler({
    policies: this.world.tables.policies,
    peers: this.world.tables.peers,
    addressSets: this.world.tables.addressSets,
    target: this.kernel,
    initialized: Promise.resolve(),
    lingerMs: 0,
    settleMs: 0,
  });

  async [Symbol.asyncDispose](): Promise<void> {
    await this.world.settled();
    this.#reconciler[Symbol.dispose]();
    this.world[Symbol.dispose]();
  }

  /** What the files say is all that there is. */
  async apply(files: Files): Promise<void> {
    this.send(files);
    await this.world.settled();
    // What is kept in case that it comes back would tell one way from another.
    while (this.world.sweep({ membersMax: 1, blocksMax: 1 })) await this.world.settled();
    await this.world.settled();
  }

  send(files: Files): void {
    const rules: PolicyRuleRow[] = [];
    const { objects } = this.world.tables;
    const kept = new Set<string>();
    for (const [origin, documents] of Object.entries(files)) {
      const text = documents.map((one) => JSON.stringify(one)).join('\n---\n');
      const parsed = parseDocuments(text);
      if (parsed.kind === 'refused') throw new Error(JSON.stringify(parsed.problems, null, 1));
      rules.push(...parsed.policies.flatMap((policy) => ruleRows(policy, origin, 2)));
      for (const object of parsed.objects) {
        const namespace = 'namespace' in object ? object.namespace : '';
        kept.add(clusterObjectKey(object.kind, namespace, object.name));
        objects.upsert({ object, origin });
      }
    }
    for (const key of [...objects.keys()]) if (!kept.has(String(key))) objects.delete(key);
    this.world.setRules(rules);
    this.world.run();
  }

  /** The bank in force, in words. */
  read(): object {
    const bank = (this.kernel.epoch & 1) as Bank;
    const locals = this.world.local();
    return {
      usesSets: this.kernel.usesSets[bank],
      endpoints: Object.fromEntries(
        locals.map(({ subject, slot }) => [subject, this.#endpoint(bank, slot)]),
      ),
      // A slot that is nobody's holds nothing.
      nobodys: [...this.kernel.configs].filter(
        ([slot, { flags }]) =>
          flags !== 0 &&
          slot >> 12 === bank &&
          locals.every((one) => policySlot(bank, one.slot) !== slot),
      ),
    };
  }

  #endpoint(bank: Bank, policyId: number): object {
    const slot = policySlot(bank, policyId);
    const config = this.kernel.configs.get(slot);
    const entries = this.kernel.slots.get(slot) ?? [];
    const of = (numbers: readonly number[]) =>
      entries.filter(({ classId }) => numbers.includes(classId)).map((one) => this.#text(one));
    const known = new Set<number>([classAny]);
    const peers = people.map((peer) => {
      const classes = this.#classes(bank, peer);
      for (const one of classes) known.add(one);
      return [`${peer.identity} ${peer.address}`, of(classes).sort()];
    });
    return {
      flags: namesOf(config?.flags ?? 0),
      default: (config?.denyCookie ?? []).map((cookie) => this.#cookie(cookie)),
      any: of([classAny]).sort(),
      peers: Object.fromEntries(peers),
    };
  }

  /** The class and the group of somebody in the bank. */
  #classes(bank: Bank, { identity, address }: Someone): number[] {
    const addr = requireAddress(address).bytes;
    const block = this.kernel.usesSets[bank]
      ? this.kernel.addressSets.lookup({ prefixlen: 128, addr })
      : undefined;
    const isOutside = identity === identityWorldIpv4 || identity === identityWorldIpv6;
    const set = (isOutside ? block?.outside[bank] : block?.inside[bank]) ?? 0;
    const row = this.kernel.identityClass.lookup({ identity, addressSet: set });
    if (row === undefined) throw new Error(`nobody knows ${identity} at ${address}`);
    return [row.classId[bank], row.groupId[bank]];
  }

  #text(entry: PolicyMapEntry): string {
    const { direction, proto, port, portPrefix, deny, isDefault, matchType } = entry;
    const verdict = isDefault ? 'default deny' : deny ? 'deny' : 'allow';
    const what = `${proto}/${port}/${portPrefix} type ${matchType}`;
    return `${direction} ${what} ${verdict} by ${this.#cookie(entry.cookie)}`;
  }

  #cookie(cookie: number): string {
    const row = this.world.tables.cookies.get(cookie);
    if (row === undefined) return cookie === 0 ? 'nothing' : `unknown ${cookie}`;
    return row.policies
      .map(({ kind, namespace, name, ruleIndex, items, labels }) =>
        name === ''
          ? labels.join(' ')
          : `${kind} ${namespace}/${name}#${ruleIndex} ${[...items].sort().join(' ')}`,
      )
      .sort()
      .join(', ');
  }
}

/** Which kinds of entries there are is a hint to programs; what is enforced is the policy. */
function namesOf(flags: number): string[] {
  return Object.entries(policyConfigFlags)
    .filter(([, bit]) => (flags & bit) !== 0)
    .map(([name]) => name);
}

const cilium = (path: string, spec: object): Document => {
  const [namespace, name] = path.split('/');
  return {
    apiVersion: 'cilium.io/v2',
    kind: 'CiliumNetworkPolicy',
    metadata: { name, namespace },
    spec,
  };
};
const kubernetes = (path: string, spec: object): Document => {
  const [namespace, name] = path.split('/');
  const apiVersion = 'networking.k8s.io/v1';
  return { apiVersion, kind: 'NetworkPolicy', metadata: { name, namespace }, spec };
};
const tiered = (name: string, tier: string, priority: number, rest: object): Document => ({
  apiVersion: 'policy.networking.k8s.io/v1alpha2',
  kind: 'ClusterNetworkPolicy',
  metadata: { name },
  spec: { tier, priority, subject: { namespaces: {} }, ...rest },
});
const group = (name: string, ...externalCIDRs: string[]): Document => ({
  apiVersion: 'cilium.io/v2',
  kind: 'CiliumCIDRGroup',
  metadata: { name, labels: { kind: 'partner' } },
  spec: { externalCIDRs },
});
const app = (name: string) => ({ matchLabels: { app: name } });
const tcp = (port: string, endPort?: number) => [
  { ports: [{ port, protocol: 'TCP', ...(endPort === undefined ? {} : { endPort }) }] },
];

const states: Readonly<Record<string, readonly Document[]>> = {
  'allow and deny of labels and ports': [
    cilium('x/in', {
      endpointSelector: {},
      ingress: [{ fromEndpoints: [{}] }, { fromEndpoints: [app('b')], toPorts: tcp('80') }],
    }),
    cilium('x/never', {
      endpointSelector: app('a'),
      ingressDeny: [{ fromEntities: ['all'], toPorts: tcp('8000', 8100) }],
    }),
    cilium('y/out', {
      endpointSelector: app('b'),
      egress: [{ toEntities: ['cluster'], toPorts: tcp('web') }],
    }),
  ],
  'blocks, groups of blocks and exceptions': [
    group('partners', '192.0.2.0/25', '2001:db8::/48'),
    cilium('x/blocks', {
      endpointSelector: app('a'),
      egress: [
        { toCIDRSet: [{ cidr: '192.0.0.0/8', except: ['192.0.2.128/25'] }] },
        { toCIDRSet: [{ cidrGroupRef: 'partners' }], toPorts: tcp('443') },
        { toCIDRSet: [{ cidrGroupSelector: { matchLabels: { kind: 'partner' } } }] },
      ],
      egressDeny: [{ toCIDR: ['192.0.2.1/32'], toPorts: tcp('22') }],
    }),
    kubernetes('y/block', {
      podSelector: {},
      policyTypes: ['Ingress', 'Egress'],
      ingress: [{ from: [{ ipBlock: { cidr: '10.0.0.0/24', except: ['10.0.0.2/32'] } }] }],
      egress: [
        { to: [{ ipBlock: { cidr: 'fd00::/64' } }], ports: [{ port: 'dns', protocol: 'UDP' }] },
      ],
    }),
  ],
  'three tiers': [
    tiered('admin', 'Admin', 0, {
      ingress: [
        { action: 'Pass', from: [{ namespaces: { matchLabels: { team: 'x' } } }] },
        { action: 'Deny', from: [{ namespaces: { matchLabels: { team: 'z' } } }] },
      ],
      egress: [{ action: 'Deny', to: [{ networks: ['198.51.100.0/24', '2001:db8:1::/48'] }] }],
    }),
    tiered('admin-later', 'Admin', 1000, {
      ingress: [
        {
          action: 'Accept',
          from: [{ namespaces: {} }],
          protocols: [{ tcp: { destinationPort: { number: 80 } } }],
        },
      ],
    }),
    kubernetes('x/network', { podSelector: {}, ingress: [{ from: [{ podSelector: app('b') }] }] }),
    tiered('baseline', 'Baseline', 5, {
      ingress: [{ action: 'Deny', from: [{ namespaces: {} }] }],
    }),
  ],
  'services and what they stand for': [
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'outside', namespace: 'x' },
      spec: {},
    },
    {
      apiVersion: 'v1',
      kind: 'Endpoints',
      metadata: { name: 'outside', namespace: 'x' },
      subsets: [{ addresses: [{ ip: '203.0.113.1' }] }],
    },
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'inside', namespace: 'y' },
      spec: { selector: { app: 'b' } },
    },
    cilium('x/services', {
      endpointSelector: {},
      egress: [
        { toServices: [{ k8sService: { serviceName: 'outside', namespace: 'x' } }] },
        { toServices: [{ k8sService: { serviceName: 'inside', namespace: 'y' } }] },
      ],
    }),
  ],
  nothing: [],
};

type Path = (driver: Driver, documents: readonly Document[]) => Promise<void>;
const inOne = (documents: readonly Document[]): Files => ({ 'all.yaml': documents });
const inMany = (documents: readonly Document[]): Files =>
  Object.fromEntries(documents.map((one, index) => [`${index}.yaml`, [one]]));

const paths: Readonly<Record<string, Path>> = {
  'in one file': (driver, documents) => driver.apply(inOne(documents)),
  'split into files': (driver, documents) => driver.apply(inMany(documents)),
  'one after the other': async (driver, documents) => {
    for (let count = 0; count <= documents.length; count++) {
      await driver.apply(inMany(documents.slice(0, count)));
    }
  },
  backwards: async (driver, documents) => {
    for (let count = 0; count <= documents.length; count++) {
      await driver.apply(inMany(documents.slice(documents.length - count)));
    }
  },
  'in one file, backwards': (driver, documents) => driver.apply(inOne(documents.toReversed())),
  'with nothing in between': async (driver, documents) => {
    for (const one of documents) {
      await driver.apply(inOne([one]));
      await driver.apply({});
    }
    await driver.apply(inOne(documents));
  },
  'every change twice': async (driver, documents) => {
    for (let count = 0; count <= documents.length; count++) {
      const files = inMany(documents.slice(0, count));
      driver.send(files);
      await driver.apply(files);
    }
  },
  'faster than the kernel': async (driver, documents) => {
    for (let count = 0; count <= documents.length; count++) {
      driver.send(inOne(documents.slice(0, count)));
      if (count % 2 === 0) driver.send({});
    }
    await driver.apply(inOne(documents));
  },
  'split, then squashed': async (driver, documents) => {
    await driver.apply(inMany(documents));
    await driver.apply(inOne(documents));
  },
};

async function stateAfter(path: Path, documents: readonly Document[]): Promise<object> {
  await using driver = new Driver();
  await path(driver, documents);
  return driver.read();
}

const inOneFile: Path = (driver, documents) => driver.apply(inOne(documents));

for (const [state, documents] of Object.entries(states)) {
  test(`${state}: the same by every path`, async () => {
    const expected = await stateAfter(inOneFile, documents);
    for (const [path, walk] of Object.entries(paths)) {
      expect({ path, state: await stateAfter(walk, documents) }).toEqual({ path, state: expected });
    }
  });

  test(`${state}: the same from every other state`, async () => {
    const expected = await stateAfter(inOneFile, documents);
    await using driver = new Driver();
    for (const [name, other] of Object.entries(states)) {
      await driver.apply({ 'other.yaml': other });
      await driver.apply(inMany(documents));
      expect({ after: name, state: driver.read() }).toEqual({ after: name, state: expected });
    }
  });
}

test('what is compared tells states apart', async () => {
  const seen = await Promise.all(
    Object.values(states).map(async (documents) =>
      JSON.stringify(await stateAfter(inOneFile, documents)),
    ),
  );
  expect(new Set(seen).size).toBe(seen.length);
  const [first = []] = Object.values(states);
  const changed = JSON.parse(JSON.stringify(first).replace('8100', '8101'));
  expect(JSON.stringify(await stateAfter(inOneFile, changed))).not.toBe(seen[0]);
});

/** The other bank is told of what is gone a moment later. */
async function restingSizes(kernel: Recorder): Promise<object> {
  let sizes = kernel.sizes();
  for (let calm = 0; calm < 3; calm++) {
    await Bun.sleep(10);
    const now = kernel.sizes();
    if (!Bun.deepEquals(sizes, now)) calm = 0;
    sizes = now;
  }
  return sizes;
}

test('states that come and go leave nothing more behind each time', async () => {
  await using driver = new Driver();
  const round = async () => {
    for (const documents of Object.values(states)) await driver.apply(inMany(documents));
    return await restingSizes(driver.kernel);
  };
  const first = await round();
  for (let count = 0; count < 5; count++) await round();
  expect(await round()).toEqual(first);
});
