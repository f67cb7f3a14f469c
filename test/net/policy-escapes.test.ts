/**
 * @module Names that would speak to a terminal: what anybody can write into policies, files, labels,
 * containers and flows reaches no output as a control byte, and no line can be made to look like two.
 */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { eventually, type Pod, TestNode } from './harness.ts';
import { app, policy } from './policy-fixture.ts';

/** Red, the title of the window, a bell, a carriage return, C1's own escape, and turned writing. */
const evil = '\u001b[31mred\u001b]0;title\u0007\r\u009b2J\u202e';
/** A line of its own: what a person would take for another row. */
const line = 'a\nforged row';
/** Controls of both sets but for tab and newline, and what turns the direction of writing. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const forbidden = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/;

// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const controls = /[\u0000-\u0008\u000b-\u001f]/;

let node: TestNode;
let pod: Pod;
beforeAll(async () => {
  node = await TestNode.create();
  pod = await node.addPod('victim');
});
afterAll(async () => await node[Symbol.asyncDispose]());

const socket = () => `--host=unix://${node.socketPath}`;

/** Every output in which a name could appear. */
async function outputs(): Promise<Map<string, string>> {
  const environment = {
    CILIUM_SOCK: node.socketPath,
    HUBBLE_SERVER: `unix://${node.hubbleSocket}`,
    FORCE_COLOR: '0',
  };
  const found = new Map<string, string>();
  const run = async (...args: string[]) => {
    const { stdout, stderr } = await node.run(args, 'node', environment);
    found.set(args.join(' '), stdout + stderr);
  };
  const { json } = await node.rest('GET', '/statedb');
  const tables: string[] = json.map((one: { name: string }) => one.name);
  expect(tables).toContain('policy-files');
  for (const table of tables) await run('dbg', 'db', 'show', table);
  await run('status');
  await run('status', '--verbose');
  await run('dbg', 'policy', 'get');
  await run('dbg', 'policy', 'selectors');
  await run('dbg', 'endpoint', 'list');
  await run('dbg', 'identity', 'list');
  await run('dbg', 'bpf', 'policy', 'get', '--all');
  await run('hubble', 'observe', '--last', '100');
  await run('hubble', 'observe', 'agent-events', '--last', '100');
  await run('hubble', 'observe', '--last', '100', '-o', 'dict');
  found.set('the log', node.log);
  return found;
}

async function expectClean(): Promise<string> {
  const found = await outputs();
  const dirty = [...found].flatMap(([name, text]) => {
    const bad = text.split('\n').find((one) => forbidden.test(one));
    return bad === undefined ? [] : [`${name}: ${JSON.stringify(bad.slice(0, 200))}`];
  });
  expect(dirty).toEqual([]);
  const forged = [...found].flatMap(([name, text]) =>
    text.split('\n').some((one) => /^forged row/.test(one.trim())) ? [name] : [],
  );
  expect(forged).toEqual([]);
  return [...found.values()].join('\n');
}

/** Puts a file there, waits until the agent has an opinion of it, looks, and takes it away. */
async function withFile(name: string, content: string, look: () => Promise<void>): Promise<void> {
  const path = join(node.policyFolder, name);
  writeFileSync(path, content);
  try {
    await eventually('the file to be read', async () =>
      (await node.table('policy-files')).some((row) => row.name === name),
    );
    await look();
  } finally {
    unlinkSync(path);
    await eventually('the file to be gone', async () =>
      (await node.table('policy-files')).every((row) => row.name !== name),
    );
  }
}

const good = (name: string, spec: object = {}) =>
  JSON.stringify(policy(name, { endpointSelector: app('victim'), ingress: [{}], ...spec }));

test('names of files', async () => {
  for (const bytes of [evil.replaceAll('/', ''), line]) {
    await withFile(`${bytes}.yaml`, good('plain'), async () => {
      expect(await expectClean()).toContain('plain');
    });
    await withFile(`${bytes}.yaml`, 'kind: Nonsense', async () => void (await expectClean()));
  }
});

test('everything inside a file: refused with an escaped message, or escaped when shown', async () => {
  for (const text of [evil, line]) {
    const spec = (rest: object) => ({ endpointSelector: app('victim'), ingress: [{}], ...rest });
    const documents: object[] = [
      { ...policy('p', spec({})), metadata: { name: text, namespace: 'default' } },
      { ...policy('p', spec({})), metadata: { name: 'p', namespace: text } },
      { ...policy('p', spec({})), metadata: { name: 'p', uid: text } },
      { ...policy('p', spec({})), metadata: { name: 'p', labels: { [text]: text } } },
      { ...policy('p', spec({})), metadata: { name: 'p', annotations: { [text]: text } } },
      { ...policy('p', spec({})), kind: text },
      { ...policy('p', spec({})), apiVersion: text },
      policy('p', spec({ description: text })),
      policy('p', spec({ labels: [{ key: text, value: text, source: text }] })),
      policy('p', spec({ [text]: text })),
      policy('p', { endpointSelector: { matchLabels: { [text]: 'a' } }, ingress: [{}] }),
      policy('p', { endpointSelector: { matchLabels: { a: text } }, ingress: [{}] }),
      policy('p', spec({ ingress: [{ fromEntities: [text] }] })),
      policy('p', spec({ ingress: [{ fromCIDR: [text] }] })),
      policy('p', spec({ ingress: [{ toPorts: [{ ports: [{ port: text }] }] }] })),
      policy('p', spec({ egress: [{ toFQDNs: [{ matchName: text }] }] })),
      { apiVersion: 'v1', kind: 'Namespace', metadata: { name: text } },
      { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'q', labels: { a: text } } },
      {
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: { name: 'q' },
        spec: { serviceAccountName: text },
      },
      { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'q' }, spec: { nodeName: text } },
      { apiVersion: 'v1', kind: 'Node', metadata: { name: text, labels: { a: text } } },
      {
        apiVersion: 'policy.networking.k8s.io/v1alpha2',
        kind: 'ClusterNetworkPolicy',
        metadata: { name: 'c' },
        spec: {
          tier: 'Admin',
          priority: 1,
          subject: { namespaces: {} },
          ingress: [{ name: text, action: 'Accept', from: [{ namespaces: {} }] }],
        },
      },
    ];
    const files = documents.map((document, index) => ({
      name: `escape-${index}.yaml`,
      text: JSON.stringify(document),
    }));
    // As text that is no YAML at all, too.
    files.push({ name: 'escape-raw.yaml', text: `${text}: [${text}` });
    for (const { name, text: content } of files) {
      writeFileSync(join(node.policyFolder, name), content);
    }
    await eventually('the files to be read', async () => {
      const rows = await node.table('policy-files');
      return files.every(({ name }) => rows.some((row) => row.name === name));
    });
    await (await node.traffic('node')).call('udp', {
      host: pod.address[4],
      port: 9,
      timeoutMs: 20,
    });
    await expectClean();
    for (const { name } of files) unlinkSync(join(node.policyFolder, name));
    await eventually('the files to be gone', async () =>
      (await node.table('policy-files')).every((row) => !row.name.startsWith('escape-')),
    );
  }
});

test('what a runtime says: labels, names and containers', async () => {
  const calls: { labels?: Record<string, string>; containerId?: string; name?: string }[] = [
    { labels: { [evil]: 'a' } },
    { labels: { a: evil } },
    { labels: { a: line } },
    { containerId: evil },
    { containerId: line },
    { name: evil },
  ];
  for (const [at, { labels = {}, containerId, name }] of calls.entries()) {
    const netns = node.createPodNetns(`guest-${at}`);
    const asked = {
      netns,
      labels,
      name: `guest-${at}`,
      kubernetes: { namespace: 'default', name: name ?? `guest-${at}` },
      ...(containerId === undefined ? {} : { containerId }),
    };
    const { stdout } = await node.cni('ADD', asked);
    // For a runtime to parse, not for a terminal: as JSON has it.
    expect([at, controls.test(stdout)]).toEqual([at, false]);
    await expectClean();
    await node.cni('DEL', asked);
  }
  // What does not come by the plugin.
  const body = (labels: string[]) => JSON.stringify({ labels });
  const path = `/endpoint/cni-attachment-id:${pod.containerId}:eth0`;
  for (const label of [`k8s:${evil}=a`, `k8s:a=${evil}`, `${evil}:a=b`]) {
    const { status, text } = await node.rest('PATCH', path, body([label]));
    expect([status, forbidden.test(text)]).toEqual([400, false]);
  }
  await expectClean();
});

test('arguments that come back in messages', async () => {
  for (const args of [
    ['dbg', 'db', 'show', evil, socket()],
    ['dbg', 'endpoint', 'get', evil, socket()],
    ['dbg', evil],
    ['hubble', 'observe', '--pod', evil, '--server', `unix://${node.hubbleSocket}`],
    ['status', `--host=${evil}`],
    [evil],
  ]) {
    const { stdout, stderr } = await node.run(args);
    const bad = `${stdout}${stderr}`.split('\n').find((one) => forbidden.test(one));
    expect([args.map((one) => JSON.stringify(one)).join(' '), bad]).toEqual([
      args.map((one) => JSON.stringify(one)).join(' '),
      undefined,
    ]);
  }
});
