import { afterAll, describe, expect, test } from 'bun:test';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { loadAgentConfig, supportedOptions } from './config.ts';
import { optionDescriptions } from './config-descriptions.ts';
import { ConfigError } from './config-error.ts';
import { configMap, daemonConfigurationMap } from './config-map.ts';
import { agentOption, agentOptions, refusedOptions } from './config-options.ts';
import { parseValue } from './config-parse.ts';
import { explainedOptions } from './config-unsupported.ts';

const root = mkdtempSync(join(tmpdir(), 'config-test-'));
afterAll(() => rmSync(root, { recursive: true }));
let counter = 0;

/** A directory as the kubelet mounts a ConfigMap: links into `..data`, which is a link itself. */
function configMapMount(files: Record<string, string>): string {
  const dir = join(root, `mount-${counter++}`);
  mkdirSync(join(dir, '..2026_11_23'), { recursive: true });
  symlinkSync('..2026_11_23', join(dir, '..data'));
  for (const [name, text] of Object.entries(files)) {
    writeFileSync(join(dir, '..2026_11_23', name), text);
    symlinkSync(join('..data', name), join(dir, name));
  }
  return dir;
}

function configFile(text: string): string {
  const path = join(root, `config-${counter++}.yaml`);
  writeFileSync(path, text);
  return path;
}

const load = (argv: string[], env: Record<string, string> = {}) => loadAgentConfig(argv, env);

describe('options', () => {
  test('the table is complete: 389 of upstream, where they come from, and ours', () => {
    expect([...agentOptions()].length).toBe(392);
    for (const name of ['node-name', 'bpf-endpoint-map-max', 'vtep-mask', 'k8s-namespace']) {
      expect(agentOption(name)?.name).toBe(name);
    }
    for (const name of refusedOptions.keys()) expect(agentOption(name)?.type).toBe('bool');
  });

  test('path MTU discovery passes policy unless it is told not to', () => {
    expect(load([]).allowIcmpFragNeeded).toBe(true);
    const { allowIcmpFragNeeded, warnings } = load(['--allow-icmp-frag-needed=false']);
    expect({ allowIcmpFragNeeded, warnings }).toEqual({ allowIcmpFragNeeded: false, warnings: [] });
  });

  test('every default has its type', () => {
    for (const option of agentOptions()) {
      expect(() => parseValue(option.type, option.default)).not.toThrow();
      expect(option.name).toMatch(/^[a-z0-9]+(-[a-z0-9]+)*$/);
    }
  });

  test('every option can be given by flag, environment and file; setting a default warns of nothing', () => {
    for (const { name, type, default: text } of agentOptions()) {
      if (name === 'config' || name === 'config-dir') continue;
      const variable = `CILIUM_${name.toUpperCase().replaceAll('-', '_')}`;
      for (const config of [load([`--${name}=${text}`]), load([], { [variable]: text })]) {
        expect(config.options[name]).toEqual(parseValue(type, text));
        if (!explainedOptions.has(name)) expect(config.warnings).toEqual([]);
      }
    }
  });
});

describe('defaults', () => {
  test('are upstream’s, or what they stand for', () => {
    const config = load([]);
    expect(config).toMatchObject({
      enableK8s: true,
      enableHubble: false,
      stateDir: '/var/run/cilium',
      socketPath: '/var/run/cilium/cilium.sock',
      bpfRoot: '/sys/fs/bpf',
      cgroupRoot: '',
      nodeName: hostname(),
      bpfCtTimeoutRegularTcpMs: 8_000_000,
      bpfEndpointMapMax: 65_535,
      hubbleEventBufferCapacity: 4095,
      monitorAggregation: 'none',
      ipv4Range: 'auto',
      enableCiliumApiServerAccess: ['*'],
      warnings: [],
    });
    expect(Object.isFrozen(config)).toBe(true);
    expect(Object.isFrozen(config.devices)).toBe(true);
  });

  test('without Kubernetes Hubble is on, unless somebody says no', () => {
    expect(load(['--enable-k8s=false']).enableHubble).toBe(true);
    expect(load(['--enable-k8s=false', '--enable-hubble=false']).enableHubble).toBe(false);
    expect(load(['--enable-hubble']).enableHubble).toBe(true);
  });

  test('the node is named by flag, then by the pod’s environment', () => {
    expect(load([], { K8S_NODE_NAME: 'n1' }).nodeName).toBe('n1');
    expect(load(['--node-name', 'n2'], { K8S_NODE_NAME: 'n1' }).nodeName).toBe('n2');
  });
});

describe('sources', () => {
  test('flag beats environment beats directory beats file beats default', () => {
    const dir = configMapMount({ mtu: '3\n', 'cluster-name': 'dir', 'enable-policy': 'always' });
    const file = configFile('mtu: 4\ncluster-name: file\nenable-policy: never\ndebug: true\n');
    const argv = ['--mtu=1', '--config-dir', dir, '--config', file];
    const env = { CILIUM_MTU: '2', CILIUM_CLUSTER_NAME: 'env' };
    expect(load(argv, env)).toMatchObject({
      mtu: 1,
      clusterName: 'env',
      enablePolicy: 'always',
      debug: true,
    });
    expect(load([], { CILIUM_CONFIG_DIR: dir }).mtu).toBe(3);
    expect([...load(argv, env).explicit].sort()).toEqual(
      ['cluster-name', 'config', 'config-dir', 'debug', 'enable-policy', 'mtu'].sort(),
    );
  });

  test('lists and maps: commas, repetition, white space in files, YAML sequences', () => {
    expect(load(['--devices', 'eth0,eth1', '--devices=eth+']).devices).toEqual([
      'eth0',
      'eth1',
      'eth+',
    ]);
    expect(load(['--log-opt=level=debug', '--log-opt', 'format=json']).logOpt).toEqual({
      level: 'debug',
      format: 'json',
    });
    expect(load([], { CILIUM_LOG_OPT: '{"level":"warn"}' }).logOpt).toEqual({ level: 'warn' });
    const dir = configMapMount({ devices: 'eth0 eth1\n' });
    expect(load(['--config-dir', dir]).devices).toEqual(['eth0', 'eth1']);
    const file = configFile('devices: [a, b]\nlog-opt: {level: error}\n');
    expect(load(['--config', file])).toMatchObject({
      devices: ['a', 'b'],
      logOpt: { level: 'error' },
    });
  });

  test('unknown keys outside the command line are warnings by name', () => {
    const dir = configMapMount({ 'operator-thing': 'x', '.hidden': 'x' });
    const file = configFile('"strange\\u001b": 1\n');
    const { warnings } = load(['--config-dir', dir, '--config', file], { CILIUM_NO_SUCH: '1' });
    expect(warnings).toEqual([
      'environment variable CILIUM_NO_SUCH is no known option: ignored',
      'config-dir: operator-thing is no known option: ignored',
      'config: "strange\\u001b" is no known option: ignored',
    ]);
  });

  test('what is known but has no effect is named once', () => {
    const dir = configMapMount({ 'enable-sctp': 'true' });
    const { warnings } = load(['--enable-sctp', '--config-dir', dir], {
      CILIUM_ENABLE_SCTP: 'true',
    });
    expect(warnings).toEqual(['option enable-sctp is known but not supported yet: ignored']);
  });

  test('what protects is refused, not ignored', () => {
    for (const name of refusedOptions.keys()) {
      expect(() => load([`--${name}`])).toThrow(`option ${name}: not supported yet`);
      expect(load([`--${name}=false`]).warnings).toEqual([]);
    }
    expect(() => load(['--enable-hubble', '--hubble-listen-address=:4244'])).toThrow(
      'in the clear',
    );
    const clear = ['--enable-hubble', '--hubble-listen-address=:4244', '--hubble-disable-tls'];
    expect(load(clear).hubbleListenAddress).toBe(':4244');
  });
});

describe('refusals name the option', () => {
  const cases: [string[], string][] = [
    [['--enable-ipv5'], 'option enable-ipv5: no such option, did you mean --enable-ipv4?'],
    [['--xyzzyxyzzyxyzzy'], 'option xyzzyxyzzyxyzzy: no such option'],
    [['positional'], 'unexpected argument'],
    [['-D'], 'unexpected argument'],
    [['--'], 'unexpected argument'],
    [['--mtu'], 'option mtu: a value is missing'],
    [['--mtu', 'large'], 'option mtu: "large" is not a whole number'],
    [['--mtu=-1'], 'option mtu: -1 is not between 0 and 65535'],
    [['--debug', 'false'], 'write --debug=false'],
    [['--debug=perhaps'], 'option debug: "perhaps" is neither true nor false'],
    [['--enable-policy=sometimes'], 'option enable-policy: "sometimes" is none of'],
    [['--hubble-event-buffer-capacity=4096'], 'must be a power of two less one'],
    [['--hubble-event-buffer-capacity=131071'], 'is not between 1 and 65535'],
    [['--conntrack-gc-interval=5'], 'is not a duration'],
    [['--bpf-ct-timeout-regular-any=10ms'], 'a second at least'],
    [['--ipv4-range=fd00::/64'], 'option ipv4-range'],
    [['--ipv6-range=10.0.0.0/8'], 'option ipv6-range'],
    [['--local-router-ipv4=10.0.0.256'], 'option local-router-ipv4'],
    [['--enable-ipv4=false', '--enable-ipv6=false'], 'cannot both be false'],
    [['--cluster-name=Über'], 'option cluster-name'],
    [['--cluster-id=3'], 'needs a cluster-name other than default'],
    [['--cluster-id=256', '--cluster-name=a'], 'is not between 0 and 255'],
    [['--prometheus-serve-addr=9962'], 'option prometheus-serve-addr'],
    [['--prometheus-serve-addr=:99999'], 'option prometheus-serve-addr'],
    [['--log-opt=level=loud'], 'option log-opt'],
    [['--log-opt=level'], 'is not key=value'],
    [[`--socket-path=/${'x'.repeat(120)}`], 'at most 107 bytes'],
    [['--state-dir='], 'option state-dir: cannot be empty'],
    [['--config-dir=/nonexistent'], 'option config-dir'],
    [['--config=/nonexistent'], 'option config'],
  ];
  for (const [argv, message] of cases) {
    test(argv.join(' ').slice(0, 60), () => {
      expect(() => load(argv)).toThrow(ConfigError);
      expect(() => load(argv)).toThrow(message);
    });
  }

  test('and the source, if it was a file', () => {
    const dir = configMapMount({ debug: '' });
    expect(() => load(['--config-dir', dir])).toThrow(
      'is neither true nor false (from config-dir)',
    );
    for (const text of ['- a\n', 'mtu: [1, 2]\n', 'devices: [[a]]\n', 'a: [\n']) {
      expect(() => load(['--config', configFile(text)])).toThrow(ConfigError);
    }
  });
});

describe('maps', () => {
  test('by option name, durations as Go prints them, secrets withheld', () => {
    const map = configMap(load(['--kvstore-opt=etcd.password=hunter2,etcd.address=a']));
    expect(map['bpf-ct-timeout-regular-tcp']).toBe('2h13m20s');
    expect(map['kvstore-opt']).toEqual({ 'etcd.password': '[redacted]', 'etcd.address': 'a' });
    expect(Object.keys(map)).toHaveLength(392);
  });

  test('by the names of the REST API', () => {
    expect(daemonConfigurationMap(load([]))).toMatchObject({
      CTMapEntriesTimeoutTCP: 8_000_000_000_000,
      RunDir: '/var/run/cilium',
      EnableTCX: true,
    });
  });
});

test('a path cannot drive the terminal', () => {
  const load = () => loadAgentConfig([], { CILIUM_CONFIG: '\u0001\u009b' });
  expect(load).toThrow(/^option config: [^\p{Cc}]*$/u);
});

test('any command line gives a configuration or a ConfigError', () => {
  const names = [...agentOptions()].map((option) => option.name);
  const name = fc.oneof(fc.constantFrom(...names), fc.string());
  const value = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.constantFrom('true', '1', '5s', 'a=b', '{}', '{"__proto__":"x"}', '0x10', ',', ' '),
  );
  const flag = fc.oneof(
    fc.tuple(name, value).map(([n, v]) => [`--${n}=${v}`]),
    fc.tuple(name, value).map(([n, v]) => [`--${n}`, v]),
    name.map((n) => [`--${n}`]),
    value.map((v) => [v]),
  );
  const env = fc.dictionary(
    name.map((n) => `CILIUM_${n.toUpperCase().replaceAll('-', '_')}`),
    value,
  );
  fc.assert(
    fc.property(fc.array(flag, { maxLength: 3 }), env, (flags, variables) => {
      try {
        expect(loadAgentConfig(flags.flat(), variables).stateDir).not.toBe('');
      } catch (error) {
        if (!(error instanceof ConfigError)) throw error;
        expect(error.message).toMatch(/^option /);
        expect(error.message).not.toMatch(/\p{Cc}/u);
      }
    }),
    { numRuns: 300 },
  );
});

test('any file gives a configuration or a ConfigError', () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
      try {
        load(['--config', configFile(text)]);
      } catch (error) {
        if (!(error instanceof ConfigError)) throw error;
      }
    }),
    { numRuns: 100 },
  );
});

describe('options that do nothing yet', () => {
  test('said outright they are named, also with their default', () => {
    const { warnings } = load(['--enable-k8s', '--routing-mode=tunnel', '--enable-l7-proxy=true']);
    expect(warnings).toEqual([
      expect.stringMatching(/^option enable-k8s=true is not supported yet: no Kubernetes yet/),
      expect.stringMatching(/^option routing-mode=tunnel is not supported yet/),
      expect.stringMatching(/^option enable-l7-proxy=true is not supported yet/),
    ]);
    expect(load(['--tunnel-protocol=geneve']).warnings).toHaveLength(1);
    expect(load(['--routing-mode=native', '--enable-k8s=false']).warnings).toEqual([]);
    expect(load([], { CILIUM_SOCK: '/run/a/cilium.sock' }).warnings).toEqual([]);
  });

  test('what is described is read, and what is read is described', () => {
    const inert = [
      'lib-dir',
      'api-rate-limit',
      'label-prefix-file',
      'max-connected-clusters',
      'identity-allocation-mode',
      'kube-proxy-replacement',
      'ipam',
      'bpf-ct-timeout-service-tcp',
      'bpf-ct-timeout-service-any',
    ];
    const read = [...supportedOptions()].filter((name) => !inert.includes(name));
    expect([...optionDescriptions.keys()].sort()).toEqual(read.sort());
  });

  test('policies are not in the folder of state, by whatever name', () => {
    symlinkSync(root, join(root, 'other'));
    const folder = (name: string) => () =>
      load([`--state-dir=${root}/state`, `--static-cnp-path=${root}/${name}`]).staticCnpPath;
    for (const inside of ['state', 'state/policies', 'other/state/last-good-policies']) {
      expect(folder(inside)).toThrow(/static-cnp-path.*is in state-dir/);
    }
    for (const beside of ['policies', 'states', 'other/policies']) {
      expect(folder(beside)()).toBe(`${root}/${beside}`);
    }
  });

  test('a Hubble socket that somebody names is served', () => {
    expect(load(['--hubble-socket-path=/run/a/hubble.sock']).enableHubble).toBe(true);
    expect(load(['--hubble-socket-path=/run/a/h', '--enable-hubble=false']).enableHubble).toBe(
      false,
    );
  });
});
