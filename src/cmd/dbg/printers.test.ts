import { describe, expect, test } from 'bun:test';
import { Flow } from '../../api/gen/flow/flow.ts';
import { metricLayout } from '../../bpf/gen/layouts.ts';
import { formatTextMap } from './bpf-endpoint.ts';
import { formatMetrics, metricRows } from './bpf-metrics.ts';
import { formatPolicy } from './bpf-policy.ts';
import { formatConfig } from './config.ts';
import { formatEndpointHealth, formatEndpointList, formatEndpointLog } from './endpoint.ts';
import { formatIdentities, formatIdentityEndpoints } from './identity.ts';
import { formatIpList, sortEntries } from './ip.ts';
import { formatEntries, formatMapList } from './map.ts';
import { formatEvent } from './monitor-text.ts';
import { formatSelectors } from './policy.ts';

describe('by REST', () => {
  test('endpoint list', () => {
    const endpoint = {
      id: 335,
      status: {
        state: 'ready',
        identity: { id: 15277, labels: ['k8s:tier=back', 'k8s:app=web'] },
        networking: { addressing: [{ ipv4: '10.244.0.224', ipv6: 'fd00::a2' }] },
        policy: { realized: { 'policy-enabled': 'ingress' } },
      },
    };
    expect(formatEndpointList([endpoint])).toBe(
      'ENDPOINT   POLICY (ingress)   POLICY (egress)   IDENTITY   LABELS (source:key[=value])   IPv6       IPv4           STATUS   \n' +
        `${'           ENFORCEMENT        ENFORCEMENT'.padEnd(124)}\n` +
        '335        Enabled            Disabled          15277      k8s:app=web                   fd00::a2   10.244.0.224   ready    \n' +
        `${'                                                           k8s:tier=back'.padEnd(124)}\n`,
    );
    expect(formatEndpointList([endpoint], false)).toStartWith(
      '335   Enabled   Disabled   15277   ',
    );
  });

  test('endpoint health and log', () => {
    expect(
      formatEndpointHealth({ overallHealth: 'OK', bpf: 'OK', policy: 'OK', connected: true }),
    ).toBe(
      'Overall Health:   OK\nBPF Health:       OK\nPolicy Health:    OK\nConnected:        yes\n',
    );
    expect(
      formatEndpointLog([
        { timestamp: '2026-11-23T19:44:35Z', code: 'OK', state: 'ready', message: 'done' },
      ]),
    ).toBe(
      'Timestamp              Status   State   Message\n2026-11-23T19:44:35Z   OK       ready   done\n',
    );
  });

  test('what is fixed at the start is not among what can be changed', () => {
    const config = {
      status: {
        realized: { options: { PolicyAuditMode: 'Disabled' }, 'policy-enforcement': 'default' },
        daemonConfigurationMap: { EnableIPv4: true },
      },
    };
    const fixed = '#### Read-only configurations ####\n';
    const enforcement = 'PolicyEnforcement                 : default\n';
    const options =
      '##### Read-write configurations #####\nPolicyAuditMode                   : Disabled\n';
    expect(formatConfig(config, false)).toBe(fixed + enforcement + options);
    expect(formatConfig(config, true)).toBe(
      `${fixed}EnableIPv4                        : true\n${enforcement}${options}`,
    );
  });

  test('identities', () => {
    expect(
      formatIdentities([
        { id: 2, labels: ['reserved:world'] },
        { id: 1, labels: ['reserved:kube-apiserver', 'reserved:host'] },
      ]),
    ).toBe('ID   LABELS\n1    reserved:host\n     reserved:kube-apiserver\n2    reserved:world\n');
    expect(
      formatIdentityEndpoints([{ identity: { id: 5, labels: ['reserved:init'] }, refCount: 1 }]),
    ).toBe('ID   LABELS          REFCOUNT\n5    reserved:init   1    \n');
  });

  test('addresses', () => {
    const entries = sortEntries([
      { cidr: '10.244.0.124/32', identity: 1 },
      { cidr: '10.244.0.23/32', identity: 40836, metadata: { source: 'custom-resource' } },
      { cidr: '::/0', identity: 10 },
      { cidr: '0.0.0.0/0', identity: 9 },
    ]);
    expect(formatIpList(entries, undefined, false)).toBe(
      'IP                IDENTITY   SOURCE\n' +
        '0.0.0.0/0         9          \n' +
        '::/0              10         \n' +
        '10.244.0.23/32    40836      custom-resource\n' +
        '10.244.0.124/32   1          \n',
    );
  });

  test('maps and selectors', () => {
    const map = {
      path: '/sys/fs/bpf/tc/globals/cilium_lxc',
      cache: [{ key: 'k', value: 'v', 'desired-action': 'sync' }],
    };
    expect(formatMapList([map, { path: '/x/cilium_metrics' }])).toBe(
      'Name             Num entries   Num errors   Cache enabled\n' +
        'cilium_lxc       1             0            true\n' +
        'cilium_metrics   0             0            false\n',
    );
    expect(formatEntries(map.cache)).toBe(
      'Key   Value   State   Error\nk     v       sync         \n',
    );
    const selector = {
      selector: '&LabelSelector{}',
      users: 2,
      identities: [2, 1],
      labels: [
        { key: 'io.cilium.k8s.policy.name', value: 'web', source: 'k8s' },
        { key: 'io.cilium.k8s.policy.namespace', value: 'shop', source: 'k8s' },
      ],
    };
    expect(formatSelectors([selector])).toBe(
      'SELECTOR           LABELS     USERS   IDENTITIES\n' +
        '&LabelSelector{}   shop/web   2       1    \n' +
        '                                      2    \n',
    );
  });
});

describe('from maps', () => {
  test('two columns', () => {
    expect(
      formatTextMap(['IP ADDRESS', 'LOCAL ENDPOINT INFO'], [['172.30.0.2:0', '(localhost)']]),
    ).toBe('IP ADDRESS     LOCAL ENDPOINT INFO\n172.30.0.2:0   (localhost)           \n');
  });

  test('policy: denials first, labels of identities, ranges, names of rules', () => {
    const row = {
      deny: false,
      isDefault: false,
      direction: 'ingress',
      identity: 7,
      addressSet: 0,
      classId: 2,
      proto: 6,
      port: 8080,
      prefix: 24,
      cookie: 9,
    } as const;
    const names = { labels: new Map([[7, ['k8s:app=web']]]), rules: new Map([[9, 'shop/web']]) };
    const rows = [
      row,
      { ...row, deny: true, port: 8096, prefix: 19 },
      {
        ...row,
        direction: 'egress',
        identity: 0,
        proto: 0,
        port: 0,
        prefix: 0,
        cookie: 0,
      } as const,
    ];
    expect(formatPolicy(rows, names)).toBe(
      'POLICY   DIRECTION   LABELS (source:key[=value])   PORT/PROTO      PROXY PORT   AUTH TYPE   BYTES   PACKETS   PREFIX   RULES      \n' +
        'Deny     Ingress     k8s:app=web                   8096-8127/TCP   NONE         disabled    -       -         19       shop/web   \n' +
        'Allow    Ingress     k8s:app=web                   8080/TCP        NONE         disabled    -       -         24       shop/web   \n' +
        'Allow    Egress      ANY                           ANY             NONE         disabled    -       -         0        -          \n',
    );
  });

  test('metrics are summed over CPUs', () => {
    const value = new Uint8Array(metricLayout.size * 2);
    const view = new DataView(value.buffer);
    metricLayout.encode({ packets: 2n, bytes: 100n }, view, 0);
    metricLayout.encode({ packets: 3n, bytes: 50n }, view, metricLayout.size);
    const key = new Uint8Array(new Uint32Array([133 * 4 + 1]).buffer);
    expect(formatMetrics(metricRows([{ key, value }]))).toBe(
      'REASON          DIRECTION   PACKETS   BYTES\nPolicy denied   INGRESS     5         150\n',
    );
  });
});

describe('monitor', () => {
  const tcp = {
    IP: { source: '10.244.0.96', destination: '10.244.0.224' },
    l4: { TCP: { source_port: 49018, destination_port: 8080, flags: { SYN: true } } },
    source: { ID: 496, identity: 29228 },
    destination: { ID: 335, identity: 15277 },
    interface: { index: 12 },
  };

  test('verdict', () => {
    const flow = Flow.fromPartial({
      ...tcp,
      event_type: { type: 5 },
      traffic_direction: 1,
      verdict: 2,
    });
    expect(formatEvent(flow)).toBe(
      'Policy verdict log: flow 0x0 local EP ID 335, remote ID 29228, proto 6, ingress, action deny, auth: disabled, match none, 10.244.0.96:49018 -> 10.244.0.224:8080 tcp SYN',
    );
  });

  test('drop', () => {
    const flow = Flow.fromPartial({
      ...tcp,
      event_type: { type: 1, sub_type: 133 },
      drop_reason: 133,
      file: { name: 'bpf_lxc.c', line: 2121 },
    });
    expect(formatEvent(flow)).toBe(
      'xx drop (Policy denied) flow 0x0 to endpoint 335, ifindex 12, file bpf_lxc.c:2121, , identity 29228->15277: 10.244.0.96:49018 -> 10.244.0.224:8080 tcp SYN',
    );
  });

  test('trace', () => {
    const flow = Flow.fromPartial({
      ...tcp,
      event_type: { type: 4 },
      trace_observation_point: 101,
      trace_reason: 1,
      source: { ID: 0, identity: 10 },
    });
    expect(formatEvent(flow)).toBe(
      '-> endpoint 335 flow 0x0 , identity world-ipv6->15277 state new ifindex 12 orig-ip 10.244.0.96: 10.244.0.96:49018 -> 10.244.0.224:8080 tcp SYN',
    );
  });
});
