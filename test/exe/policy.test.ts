/**
 * @module
 * `cilium policy` as people use it, without an agent: files in, answers and exit codes out. Runs the
 * built executable, or what CILIUM_EXE says.
 */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  allowsFrontend,
  ciliumPolicy,
  denyAll,
  PolicyFolder,
  podObject,
  threePods,
} from './policy-fixture.ts';

/** A few seconds, on a machine that does other things as well. */
const matrixMsMax = 20_000;
const folder = new PolicyFolder();
const policy = folder.run.bind(folder);
const write = folder.write.bind(folder);

function flow(from: string, to: string, port: number, verdict = 'FORWARDED', reply = false) {
  const end = (name: string) => ({
    namespace: 'default',
    pod_name: name,
    labels: [`k8s:app=${name}`, 'k8s:io.kubernetes.pod.namespace=default'],
  });
  const addresses: Record<string, string> = { frontend: '10.0.1.1', backend: '10.0.1.2' };
  return JSON.stringify({
    flow: {
      verdict,
      ...(verdict === 'DROPPED' ? { drop_reason_desc: 'POLICY_DENIED' } : {}),
      IP: { source: addresses[from] ?? '10.0.1.9', destination: addresses[to] ?? '10.0.1.9' },
      l4: { TCP: { source_port: 40000, destination_port: port } },
      source: end(from),
      destination: end(to),
      event_type: { type: verdict === 'DROPPED' ? 1 : 4 },
      is_reply: reply,
    },
  });
}

beforeAll(() => {
  mkdirSync(join(folder.path, 'cluster'));
  write('cluster/pods.yaml', ...threePods);
  write('cluster/policy.yaml', allowsFrontend);
  write('deny.yaml', denyAll);
  writeFileSync(
    join(folder.path, 'bad.yaml'),
    'apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: x}\nspec:\n' +
      '  endpointSelector: {}\n  ingress:\n  - fromEndpoint: []\n',
  );
});
afterAll(() => folder[Symbol.dispose]());

describe('validate', () => {
  test('a good file is counted, a bad one is told by line and field', () => {
    const good = policy(['validate', 'cluster']);
    expect(good.stdout).toContain('cluster/policy.yaml: ok (1 policy, 0 objects)\n');
    expect(good.code).toBe(0);
    const bad = policy(['validate', 'cluster', 'bad.yaml']);
    expect(bad.stdout).toContain('bad.yaml:7: default/x: spec.ingress[0].fromEndpoint: unknown');
    expect(bad.code).toBe(1);
  });

  test('standard input, and JSON', () => {
    const { code, stdout } = policy(['validate', '-', '-o', 'json'], JSON.stringify(denyAll));
    expect(JSON.parse(stdout)).toMatchObject([{ file: '-', valid: true, policies: 1 }]);
    expect(code).toBe(0);
  });

  test('a warning is told, however many are before it', () => {
    const idle = Array.from({ length: 60 }, (_, index) =>
      ciliumPolicy(`idle-${index}`, { endpointSelector: {}, ingress: [{ fromEndpoints: [] }] }),
    );
    const missing = ciliumPolicy('open', {
      endpointSelector: {},
      ingress: [
        {
          fromEndpoints: [
            { matchExpressions: [{ key: 'pod-template-hash', operator: 'DoesNotExist' }] },
          ],
        },
      ],
    });
    write('many.yaml', ...idle, missing);
    const { stdout } = policy(['validate', 'many.yaml']);
    expect(stdout).toContain('default/open: spec.ingress[0]: label "pod-template-hash"');
    expect(stdout).toContain('matches every pod');
  });

  test('a warning does not change the exit code', () => {
    const idle = ciliumPolicy('idle', {
      endpointSelector: { matchLabels: { 'pod-template-hash': 'x' } },
      ingress: [],
    });
    write('idle.yaml', idle);
    const { code, stdout } = policy(['validate', 'cluster', 'idle.yaml']);
    const warnings = 'idle.yaml:1: warning: default/idle: spec';
    expect(stdout).toContain(`${warnings}.endpointSelector: label "pod-template-hash" is in no`);
    expect(stdout).toContain(`${warnings}: selects none of the pods`);
    expect(code).toBe(0);
    const json = JSON.parse(policy(['validate', 'cluster', 'idle.yaml', '-o', 'json']).stdout);
    expect(json[json.length - 1].warnings[0]).toMatchObject({
      line: 1,
      field: 'default/idle: spec.endpointSelector',
    });
  });

  test("a file that is too large for an agent's folder is told of", () => {
    const large = `# ${'x'.repeat(1024 * 1024)}\n${JSON.stringify(denyAll)}`;
    folder.writeText('large.yaml', large);
    const { code, stdout } = policy(['validate', 'large.yaml']);
    expect(stdout).toContain('ok (1 policy, 0 objects)');
    expect(stdout).toMatch(/warning: \d+ bytes, more than 1048576: an agent's folder refuses it/);
    expect(code).toBe(0);
    const many = Array.from({ length: 2001 }, (_, index) => podObject(`pod-${index}`, []));
    write('large.yaml', { apiVersion: 'v1', kind: 'List', items: many });
    expect(policy(['validate', 'large.yaml']).stdout).toContain('2001 documents, more than 2000');
  });

  test('a file that is not there is exit code 2', () => {
    expect(policy(['validate', 'nowhere.yaml']).code).toBe(2);
    expect(policy(['validate']).code).toBe(2);
  });
});

describe('why', () => {
  const why = (...args: string[]) => policy(['why', '-f', 'cluster', ...args]);

  test('a denial: both sides, the nearest miss, what would change it', () => {
    const { code, stdout } = why('frontend', 'backend:9090');
    expect(stdout.split('\n').slice(0, 5)).toEqual([
      'denied: default/frontend -> default/backend 9090/TCP',
      'egress of default/frontend: allowed, no policy applies',
      'ingress of default/backend: denied, nothing allows it; default deny by CiliumNetworkPolicy default/backend-allows-frontend (rule 0)',
      '  nearest:',
      '    ingress[0] of CiliumNetworkPolicy default/backend-allows-frontend (rule 0): allows port 8080/TCP, not 9090',
    ]);
    expect(stdout).toContain('what would change it:');
    expect(code).toBe(1);
  });

  test('of a pod to itself no policy is told, and none would change it', () => {
    const { code, stdout } = why('backend', 'backend:80');
    const because = 'no policy is asked about what an end sends to itself';
    expect(code).toBe(0);
    expect(stdout).toContain(`ingress of default/backend: allowed: ${because}`);
    expect(stdout).toContain(`no single rule for ingress of default/backend: ${because}`);
    expect(stdout).not.toContain('no policy applies');
    expect(stdout).not.toContain('that selects');
  });

  test('a policy in two files is in force twice, as in an agent', () => {
    const allows = (port: number) => ({
      apiVersion: 'networking.k8s.io/v1',
      kind: 'NetworkPolicy',
      metadata: { name: 'twin', namespace: 'default' },
      spec: { podSelector: { matchLabels: { app: 'intruder' } }, ingress: [{ ports: [{ port }] }] },
    });
    write('twin-1.yaml', allows(80));
    write('twin-2.yaml', allows(90));
    const files = ['-f', 'twin-1.yaml', '-f', 'twin-2.yaml'];
    expect(why('frontend', 'intruder:80', ...files).code).toBe(0);
    expect(why('frontend', 'intruder:90', ...files).code).toBe(0);
    const { code, stderr } = why('frontend', 'intruder:100', ...files);
    expect(code).toBe(1);
    expect(stderr).toContain(
      'NetworkPolicy default/twin is in another file, too: both are in force',
    );
  });

  test('the suggested rule allows it', () => {
    const { stdout } = why('intruder', 'backend:8080', '--suggest');
    write('cluster/policy.yaml', allowsFrontend);
    // All of it is YAML: what is said besides the rule are comments.
    writeFileSync(join(folder.path, 'suggested.yaml'), stdout);
    const after = policy([
      'why',
      '-f',
      'cluster',
      '-f',
      'suggested.yaml',
      'intruder',
      'backend:8080',
    ]);
    expect(after.stdout).toContain('allowed: default/intruder -> default/backend 8080/TCP');
    expect(after.code).toBe(0);
  });

  test('where nothing can be suggested it is said', () => {
    write('deny-rule.yaml', {
      ...denyAll,
      spec: { ...denyAll.spec, ingressDeny: [{ fromEndpoints: [{}] }] },
    });
    const denied = why('-f', 'deny-rule.yaml', 'frontend', 'backend', '--suggest').stdout;
    expect(denied).toContain('#   nothing to add: a rule that denies comes before');
    expect(why('frontend', 'intruder', '--suggest').stdout).toContain('# nothing to suggest');
    const anyPort = why('intruder', 'backend', '--suggest').stdout;
    expect(anyPort).toContain('app: intruder');
    expect(anyPort).not.toContain('toPorts');
  });

  test('JSON names the rules', () => {
    const { stdout, code } = why('frontend', 'backend:http', '-o', 'json');
    expect(JSON.parse(stdout)).toMatchObject({
      families: [{ family: 4 }, { family: 6 }],
      verdict: 'allowed',
      port: 8080,
      ingress: { rules: ['CiliumNetworkPolicy/default/backend-allows-frontend#0:ingress[0]'] },
    });
    expect(code).toBe(0);
  });

  test('the example of the help with an address and a ping', () => {
    write('shop.yaml', podObject('web', ['10.0.2.1', 'fd00::21'], 'shop'));
    const [, ends = ''] =
      /why -f cluster\/ (\S+ \S+:icmp)\s/.exec(policy(['why', '--help']).stdout) ?? [];
    const { code, stdout } = why('-f', 'shop.yaml', ...ends.split(' '));
    expect(stdout).toContain('allowed: 192.0.2.7 -> shop/web ICMP/8');
    expect(code).toBe(0);
  });

  test('any port: what is open', () => {
    expect(why('frontend', 'backend').stdout).toContain('open: 8080/TCP\n');
  });

  test('wrong words are exit code 2, no agent is 3', () => {
    expect(why('frontend').code).toBe(2);
    expect(why('frontend', 'nobody:80').code).toBe(2);
    expect(why('frontend', 'backend:80/foo').code).toBe(2);
    expect(why('frontend', 'backend:80-90/tcp').stderr).toContain('one port, not a range');
    expect(why('frontend', '10.0.0.0/8').stderr).toContain('is a block of addresses');
    expect(why('frontend', 'example.com:443').stderr).toContain('names of DNS are not looked up');
    expect(why('frontend', 'backend:icmp/EchoRequest').stdout).toContain(' ICMP/8\n');
    expect(policy(['why', '-H', '/nowhere.sock', 'a', 'b']).code).toBe(3);
    const malformed = why('frontend', 'backend', '-o', 'jsonpath={.verdict');
    expect(malformed.stderr).toContain('parse jsonpath: "{.verdict" is not closed');
    expect([malformed.code, malformed.stdout]).toEqual([2, '']);
    expect(why('frontend', 'backend', '-o', 'yaml').stdout).not.toMatch(/[&*]a\d/);
  });
});

describe('matrix', () => {
  test('a row for each pair, port and outside address', () => {
    const { stdout, code } = policy([
      ...['matrix', '-f', 'cluster', '--external', '192.0.2.7'],
      ...['--port', '8080/TCP', '--port', '53/UDP', '-o', 'jsonl'],
    ]);
    expect(code).toBe(0);
    const rows = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    // Three pods to and from each other, and to and from the address.
    expect(rows).toHaveLength((9 + 6) * 2);
    const row = (from: string, port: number) =>
      rows.find((one) => one.from === from && one.to === 'default/backend' && one.port === port);
    expect(row('default/intruder', 8080)).toEqual({
      from: 'default/intruder',
      to: 'default/backend',
      port: 8080,
      protocol: 'TCP',
      verdict: 'denied',
      audit: false,
      egress: { verdict: 'allowed', rules: [], audit: false },
      ingress: {
        verdict: 'denied',
        rules: ['CiliumNetworkPolicy/default/backend-allows-frontend#0:ingress'],
        audit: false,
      },
    });
    expect(row('default/frontend', 8080)?.ingress.rules).toEqual([
      'CiliumNetworkPolicy/default/backend-allows-frontend#0:ingress[0]',
    ]);
    expect(row('default/frontend', 53)?.verdict).toBe('denied');
    expect(row('192.0.2.7', 8080)?.verdict).toBe('denied');
  });

  test('a grid for people', () => {
    const { stdout } = policy(['matrix', '-f', 'cluster', '-p', '8080']);
    expect(stdout.split('\n').slice(2, 5)).toEqual([
      '1 default/backend  - . .',
      '2 default/frontend . - .',
      '3 default/intruder X . -',
    ]);
  });

  test('five hundred pods in a few seconds', () => {
    mkdirSync(join(folder.path, 'large'));
    const pods = Array.from({ length: 500 }, (_, index) =>
      podObject(`pod-${index}`, [`10.1.${index >> 8}.${index & 255}`], `ns-${index % 20}`),
    );
    write('large/pods.yaml', { apiVersion: 'v1', kind: 'List', items: pods });
    write('large/policy.yaml', allowsFrontend);
    const started = performance.now();
    const { stdout } = policy(['matrix', '-f', 'large', '-o', 'jsonl']);
    expect(performance.now() - started).toBeLessThan(matrixMsMax);
    expect(stdout.split('\n').length - 1).toBe(250_000);
  });
});

describe('diff', () => {
  test('what flips, by which rule, and exit code 1', () => {
    const { stdout, code } = policy(['diff', 'cluster', 'deny.yaml']);
    expect(stdout).toContain(
      '- default/frontend -> default/backend 8080/TCP allowed -> denied (by CiliumNetworkPolicy/default/deny-all#0:ingress)',
    );
    expect(code).toBe(1);
  });

  test('what only concerns the world is a difference, without being asked about', () => {
    const closing = (egressDeny: object) =>
      ciliumPolicy('closed', {
        ...{ endpointSelector: {}, enableDefaultDeny: { egress: false } },
        egressDeny: [egressDeny],
      });
    const changed = (...args: string[]) => policy(['diff', 'cluster', 'closing', ...args]);
    mkdirSync(join(folder.path, 'closing'));
    write('closing/old.yaml', allowsFrontend);
    write('closing/new.yaml', closing({ toEntities: ['world'] }));
    const world = changed();
    expect(world.stdout).toContain('- default/frontend -> world all traffic allowed -> denied');
    expect(world.stdout).not.toContain('-> default/');
    expect(world.stderr).toContain('judged: pods, world;');
    expect(world.code).toBe(1);
    const block = { cidr: '198.51.100.0/24', except: ['198.51.100.0/25'] };
    write('closing/new.yaml', closing({ toCIDRSet: [block, { cidr: '2001:db8:7::/48' }] }));
    const blocks = changed();
    expect(blocks.stdout).toContain('- default/intruder -> 198.51.100.254 all traffic allowed');
    expect(blocks.stdout).toContain('- default/frontend -> 2001:db8:7::1 all traffic allowed');
    expect(blocks.stdout).not.toContain('world');
    expect(blocks.stderr).toContain('judged: pods, world, 198.51.100.1, 198.51.100.254,');
    expect(changed('--ipv6').stdout).not.toContain('198.51.100');
    // One that is asked for is in place of these.
    expect(changed('--external', '192.0.2.7')).toMatchObject({ code: 0, stderr: '' });
    const toCIDR = Array.from({ length: 17 }, (_, index) => `203.0.${index}.0/24`);
    write('closing/new.yaml', closing({ toCIDR }));
    expect(changed().stderr).toContain('none of 17 blocks that rules name');
  });

  test('the same is no difference', () => {
    expect(policy(['diff', 'cluster', 'cluster'])).toMatchObject({
      code: 0,
      stdout: 'no difference\n',
    });
  });
});

describe('simulate and suggest', () => {
  const seen = [
    flow('frontend', 'backend', 8080),
    flow('backend', 'frontend', 40000, 'FORWARDED', true),
    flow('intruder', 'backend', 8080, 'DROPPED'),
  ];

  test('flows that would flip, told once with their number', () => {
    writeFileSync(join(folder.path, 'flows.json'), [...seen, ...seen].join('\n'));
    const args = ['simulate', '--base', 'cluster/pods.yaml', '-f', 'deny.yaml'];
    const { stdout, code } = policy([...args, '--flows', 'flows.json']);
    expect(stdout.split('\n')[0]).toBe(
      '- default/frontend -> default/backend 8080/TCP IPv4 allowed -> denied, 2 flows (by CiliumNetworkPolicy/default/deny-all#0:ingress)',
    );
    expect(code).toBe(1);
    expect(policy([...args, '--flows', '-'], seen[2])).toMatchObject({ code: 0 });
  });

  test('what was recorded under older policies is no change', () => {
    const args = ['simulate', '--base', 'cluster/pods.yaml', '-f', 'cluster/pods.yaml'];
    const { stdout, code } = policy([...args, '--flows', '-'], seen.join('\n'));
    expect(stdout).toContain('0 of 2 connections change');
    expect(stdout).toContain('1 connection recorded under older policies');
    expect(code).toBe(0);
  });

  test('what was let through by audit was denied, until its side says otherwise', () => {
    const of = (verdict: string, type: number, traffic_direction?: string) => {
      const { flow: one } = JSON.parse(flow('intruder', 'backend', 8080, verdict));
      return JSON.stringify({ flow: { ...one, event_type: { type }, traffic_direction } });
    };
    const audited = [of('AUDIT', 5, 'EGRESS'), of('FORWARDED', 5, 'INGRESS'), of('FORWARDED', 4)];
    const suggested = (...flows: string[]) =>
      policy(['suggest', '--flows', '-'], flows.join('\n')).stdout;
    expect(suggested(...audited)).not.toContain('kind:');
    const later = [of('FORWARDED', 5, 'EGRESS'), of('FORWARDED', 5, 'INGRESS')];
    expect(suggested(...audited, ...later)).toContain('app: intruder');
  });

  test.each(['cnp', 'netpol'])('what suggest --kind %s prints changes nothing', (kind) => {
    const suggested = policy(['suggest', '--kind', kind, '--flows', '-'], seen.join('\n'));
    expect(suggested.code).toBe(0);
    writeFileSync(join(folder.path, 'least.yaml'), suggested.stdout);
    expect(policy(['validate', 'least.yaml']).code).toBe(0);
    const args = ['--base', 'cluster/pods.yaml', '-f', 'least.yaml', '--flows', '-', '-o', 'json'];
    const { stdout, code } = policy(['simulate', ...args], seen.join('\n'));
    expect(JSON.parse(stdout)).toMatchObject({ flips: [], connections: 2, denied: 1 });
    expect(code).toBe(0);
  });

  test('how many flows a suggestion rests on is in it', () => {
    const args = ['suggest', '--flows', '-'];
    expect(policy(args, seen.join('\n')).stdout).toStartWith(
      '# from 2 connections (3 flows, 1 skipped): what was not seen is not admitted\n---\n',
    );
    const { stdout } = policy([...args, '-o', 'json'], seen.join('\n'));
    expect(JSON.parse(stdout).metadata).toEqual({ flows: 3, skipped: 1, connections: 2 });
    expect(policy(['validate', '-'], stdout).code).toBe(0);
  });

  test('a line that is no flow is exit code 2, with its number', () => {
    const { code, stderr } = policy(['suggest', '--flows', '-'], `${seen[0]}\n{`);
    expect(stderr).toContain('line 2');
    expect(code).toBe(2);
  });
});

describe('documents as they stand in a repository', () => {
  const bare = (name: string) => {
    const { status: _, ...rest } = podObject(name, []);
    return rest;
  };

  test('pods without an address are judged', () => {
    write('bare.yaml', bare('frontend'), bare('backend'), bare('intruder'), allowsFrontend);
    const allowed = policy(['why', '-f', 'bare.yaml', 'frontend', 'backend:8080']);
    expect(allowed).toMatchObject({ code: 0 });
    expect(allowed.stderr).toContain('3 pods have no status.podIP');
    expect(policy(['why', '-f', 'bare.yaml', 'intruder', 'backend:8080']).code).toBe(1);
  });

  test('for people, one pod is one, and a clusterwide policy has no empty namespace', () => {
    const wide = {
      apiVersion: 'cilium.io/v2',
      kind: 'CiliumClusterwideNetworkPolicy',
      metadata: { name: 'wide' },
      spec: { endpointSelector: {}, ingress: [] },
    };
    write('wide.yaml', wide);
    write('one.yaml', bare('frontend'), podObject('backend', ['10.0.1.2']));
    const args = ['one.yaml', 'wide.yaml'];
    const { stdout, stderr } = policy(['diff', ...args]);
    expect(stderr).toContain('1 pod has no status.podIP');
    expect(stdout).toContain('(by CiliumClusterwideNetworkPolicy/wide#0:ingress)');
    const [first] = JSON.parse(policy(['diff', ...args, '-o', 'json']).stdout);
    expect(first.by).toEqual(['CiliumClusterwideNetworkPolicy//wide#0:ingress']);
    const files = args.flatMap((name) => ['-f', name]);
    const list = policy(['matrix', ...files, '-o', 'list']).stdout;
    expect(list).toContain('denied by CiliumClusterwideNetworkPolicy/wide#0:ingress');
    const again = policy(['matrix', ...files, '-f', 'wide.yaml']).stderr;
    expect(again).toContain('warning: CiliumClusterwideNetworkPolicy wide is in another file');
  });

  test('nothing is said of policies without pods', () => {
    write('alone.yaml', allowsFrontend);
    for (const args of [
      ['diff', 'alone.yaml', 'alone.yaml'],
      ['matrix', '-f', 'alone.yaml'],
    ]) {
      const { code, stderr } = policy(args);
      expect(stderr).toContain('there are no pods to judge');
      expect(code).toBe(2);
    }
  });

  test('a port name that nobody has is an error', () => {
    const { code, stderr } = policy(['matrix', '-f', 'cluster', '-p', 'htpp']);
    expect(stderr).toContain('no pod has a port named "htpp"');
    expect(code).toBe(2);
  });

  test('an empty file is refused, as an agent refuses it', () => {
    writeFileSync(join(folder.path, 'empty.yaml'), '');
    const { code, stdout } = policy(['validate', 'empty.yaml']);
    expect(stdout).toBe('empty.yaml: holds no document\n');
    expect(code).toBe(1);
  });
});
