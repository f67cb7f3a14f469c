/**
 * @module
 * `cilium policy` about nodes, without an agent: the host firewall, and whose node is the host. Runs
 * the built executable, or what CILIUM_EXE says.
 */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import {
  allowsFrontend,
  ciliumPolicy,
  PolicyFolder,
  podObject,
  threePods,
} from './policy-fixture.ts';

const folder = new PolicyFolder();
const policy = folder.run.bind(folder);
const write = folder.write.bind(folder);

beforeAll(() => {
  mkdirSync(join(folder.path, 'cluster'));
  write('cluster/pods.yaml', ...threePods);
  write('cluster/policy.yaml', allowsFrontend);
});
afterAll(() => folder[Symbol.dispose]());

describe('the host firewall', () => {
  const firewall = ['--node', 'one', '--enable-host-firewall'];
  const nodeObject = (name: string, address: string) => ({
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name, labels: { role: name } },
    status: { addresses: [{ type: 'InternalIP', address }] },
  });
  const guard = {
    apiVersion: 'cilium.io/v2',
    kind: 'CiliumClusterwideNetworkPolicy',
    metadata: { name: 'guard' },
    spec: {
      nodeSelector: { matchLabels: { role: 'one' } },
      ingress: [
        {
          fromEndpoints: [{ matchLabels: { app: 'frontend' } }],
          toPorts: [{ ports: [{ port: '22' }] }],
        },
      ],
    },
  };
  const hosts = (...args: string[]) =>
    policy([args[0] ?? '', '-f', 'cluster', '-f', 'nodes.yaml', ...args.slice(1)]);

  beforeAll(() =>
    write('nodes.yaml', nodeObject('one', '10.9.0.1'), nodeObject('two', '10.9.0.2'), guard),
  );

  test('judges what has the node as one end, by whichever name', () => {
    for (const end of ['host', 'one', '10.9.0.1']) {
      expect(hosts('why', ...firewall, 'frontend', `${end}:22`).code).toBe(0);
      const denied = hosts('why', ...firewall, 'world', `${end}:22`);
      expect(denied.stdout).toContain('default deny by CiliumClusterwideNetworkPolicy guard');
      expect(denied.code).toBe(1);
    }
    const own = hosts('why', ...firewall, 'host', 'backend:8080');
    expect(own.stdout).toContain(
      "ingress of default/backend: allowed: the pod's own node may always",
    );
    expect(hosts('why', ...firewall, 'one', 'host:80').code).toBe(0);
    expect(hosts('why', ...firewall, 'two', 'host:22').code).toBe(1);
    expect(hosts('why', ...firewall, 'world', 'two:22').code).toBe(0);
  });

  test('to a pod its own node is the host, and every other one a remote node', () => {
    const closed = ciliumPolicy('closed', {
      endpointSelector: {},
      ingress: [],
      egress: [{ toEntities: ['remote-node'] }],
    });
    const placed = (name: string, address: string, nodeName: string) => {
      const { spec, ...rest } = podObject(name, [address]);
      return { ...rest, spec: { ...spec, nodeName } };
    };
    write(
      'placed.yaml',
      nodeObject('one', '10.9.0.1'),
      nodeObject('two', '10.9.0.2'),
      placed('first', '10.0.2.1', 'one'),
      placed('second', '10.0.2.2', 'two'),
      closed,
    );
    for (const more of [[], ['--node', 'one']]) {
      const allowed = (from: string, to: string) =>
        policy(['why', '-f', 'placed.yaml', from, to, ...more]).code === 0;
      expect(allowed('one', 'first')).toBe(true);
      expect(allowed('two', 'second')).toBe(true);
      expect(allowed('two', 'first')).toBe(false);
      expect(allowed('one', 'second')).toBe(false);
      expect(allowed('first', 'one')).toBe(false);
      expect(allowed('first', 'two')).toBe(true);
      expect(allowed('second', 'one')).toBe(true);
    }
    // A node whose address no document has is one nevertheless.
    write(
      'addressless.yaml',
      placed('first', '10.0.2.1', 'one'),
      placed('second', '10.0.2.2', 'two'),
      closed,
    );
    const codes = (...ends: string[]) =>
      policy(['why', '-f', 'addressless.yaml', '--node', 'two', ...ends]).code;
    expect([codes('host', 'second'), codes('host', 'first')]).toEqual([0, 1]);
    expect([codes('second', 'host'), codes('first', 'host')]).toEqual([1, 0]);
    const rows = policy(['matrix', '-f', 'placed.yaml', '--external', '10.9.0.2', '-o', 'list']);
    expect(rows.stdout).toMatch(/10\.9\.0\.2 +default\/first +80\/TCP +denied/);
    expect(rows.stdout).toMatch(/10\.9\.0\.2 +default\/second +80\/TCP +allowed/);
  });

  test('is off unless it is asked for, as in an agent', () => {
    const open = hosts('why', '--node', 'one', 'world', 'host:22');
    expect(open.stdout).toContain('ingress of host: allowed, there is no host firewall');
    expect(open.code).toBe(0);
  });

  test('policies for nodes that are not asked are named, for this node and for others', () => {
    const unasked =
      'policies for nodes, which are not asked:\n  CiliumClusterwideNetworkPolicy guard';
    for (const args of [
      ['world', 'host:22'],
      ['frontend', 'one:22'],
      ['--node', 'one', 'world', 'host:22'],
      [...firewall, 'world', 'two:22'],
    ]) {
      expect(hosts('why', ...args).stdout).toContain(unasked);
      expect(JSON.parse(hosts('why', ...args, '-o', 'json').stdout).unasked).toEqual({
        egress: [],
        ingress: ['CiliumClusterwideNetworkPolicy guard'],
      });
    }
    for (const args of [
      [...firewall, 'world', 'host:22'],
      ['frontend', 'backend:8080'],
      // It says nothing about what a node sends.
      ['one', 'backend:8080'],
    ]) {
      expect(hosts('why', ...args).stdout).not.toContain('not asked');
    }
  });

  test('in a matrix', () => {
    const { stdout, code } = hosts(
      ...['matrix', ...firewall, '-p', '22', '--ipv4', '--external', 'host', '--external', 'two'],
    );
    expect(stdout.split('\n').slice(2, 7)).toEqual([
      '1 default/backend  - . . X .',
      '2 default/frontend X - . . .',
      '3 default/intruder X . - X .',
      '4 host             . . . - .',
      '5 two              X . . X',
    ]);
    expect(code).toBe(0);
  });

  test('a node that no document names is refused with those there are', () => {
    const { stderr, code } = hosts('why', '--node', 'three', 'frontend', 'host:22');
    expect(stderr).toContain('--node "three": there are one, two');
    expect(code).toBe(2);
    const none = policy(['matrix', '-f', 'cluster', '--node', 'one']);
    expect(none.stderr).toContain('--node "one": no document names a node');
    expect(none.code).toBe(2);
    expect(hosts('matrix', '--enable-host-firewall').stderr).toContain('--node says which node');
  });
});
