import { describe, expect, test } from 'bun:test';
import { ago, formatBrief, formatStatus, isWell, type StatusModel } from './status-text.ts';

const now = Date.parse('2026-11-23T20:00:00Z');
const status: StatusModel = {
  kvstore: { state: 'Disabled' },
  kubernetes: {
    state: 'Ok',
    msg: '1.34 (v1.34.4) [linux/amd64]',
    'k8s-api-versions': ['core/v1::Pods', 'cilium/v2::CiliumNode'],
  },
  'kube-proxy-replacement': {
    mode: 'True',
    devices: ['eth0'],
    deviceList: [{ name: 'eth0', ip: ['', '172.30.0.2'] }],
    directRoutingDevice: 'eth0',
  },
  'host-firewall': { mode: 'Disabled' },
  cilium: { state: 'Ok', msg: '1.18.0' },
  ipam: {
    status: 'IPv4: 10/254 allocated from 10.244.0.0/24',
    allocations: { '10.244.0.23': 'probe/client' },
  },
  routing: { 'inter-host-routing-mode': 'Native', 'intra-host-routing-mode': 'BPF' },
  'attach-mode': 'tcx',
  masquerading: {
    enabled: true,
    mode: 'BPF',
    enabledProtocols: { ipv4: true, ipv6: true },
    'snat-exclusion-cidr-v4': '10.244.0.0/16',
  },
  controllers: [
    { name: 'good', status: {} },
    {
      name: 'bad',
      status: {
        'consecutive-failure-count': 2,
        'failure-count': 9,
        'last-failure-msg': 'no luck',
        'last-failure-timestamp': '2026-11-23T19:59:42Z',
        'last-success-timestamp': '0001-01-01T00:00:00.000Z',
      },
    },
  ],
  'identity-range': { 'min-identity': 256, 'max-identity': 65535 },
  hubble: {
    state: 'Ok',
    observer: { 'current-flows': 317, 'max-flows': 4095, 'seen-flows': 268, uptime: '4m10.08s' },
    metrics: { state: 'Ok' },
  },
  encryption: { mode: 'Disabled' },
};

describe('status', () => {
  test('as upstream prints it', () => {
    expect(formatStatus(status, false, now)).toBe(
      `KVStore:                Disabled   
Kubernetes:             Ok         1.34 (v1.34.4) [linux/amd64]
Kubernetes APIs:        ["cilium/v2::CiliumNode", "core/v1::Pods"]
KubeProxyReplacement:   True   [eth0    172.30.0.2 (Direct Routing)]
Host firewall:          Disabled
Cilium:                 Ok   1.18.0
IPAM:                   IPv4: 10/254 allocated from 10.244.0.0/24
Routing:                Network: Native   Host: BPF
Attach Mode:            TCX
Masquerading:           BPF   [eth0]   10.244.0.0/16 [IPv4: Enabled, IPv6: Enabled]
Controller Status:      1/2 healthy
  Name   Last success   Last error   Count   Message
  bad    never          18s ago      9       no luck   
Proxy Status:            No managed proxy redirect
Global Identity Range:   min 256, max 65535
Hubble:                  Ok         Current/Max Flows: 317/4095 (7.74%), Flows/s: 1.07   Metrics: Ok
Encryption:              Disabled   
`,
    );
  });

  test('verbose lists addresses and all controllers', () => {
    const text = formatStatus(status, true, now);
    expect(text).toContain('Allocated addresses:\n  10.244.0.23 (probe/client)\n');
    expect(text).toContain('  good   never');
  });

  test('brief', () => {
    expect(formatBrief(status)).toBe('OK\n');
    expect(isWell({})).toBe(false);
    expect(formatBrief({ cilium: { state: 'Failure', msg: 'no luck' } })).toBe('error: no luck\n');
    expect(formatStatus({}, true, now)).toContain('Proxy Status');
  });

  test('problems are shown and are no failure', () => {
    const problems = ['policy file a.yaml: spec: unknown field\nspec: another'];
    expect(isWell({ cilium: { state: 'Warning' } })).toBe(true);
    expect(formatBrief({ cilium: { state: 'Ok' }, problems })).toStartWith('warning: policy file');
    expect(formatStatus({ ...status, problems }, false, now)).toEndWith(
      'Problems:\n  ! policy file a.yaml: spec: unknown field\n    spec: another\n',
    );
  });

  test.each([
    ['2026-11-23T19:55:47Z', '4m13s ago'],
    ['2026-11-23T18:59:00Z', '1h1m0s ago'],
    [undefined, 'never'],
    ['nonsense', 'never'],
  ])('%p is %p', (timestamp, text) => {
    expect(ago(timestamp, now)).toBe(text);
  });
});
