import { describe, expect, test } from 'bun:test';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { Namespace, Node, ServerStatusResponse } from '../../api/gen/observer/observer.ts';
import { readMessage } from '../../api/json/read.ts';
import { parseLine } from './flags.ts';
import { formatNamespaces, formatNodes } from './list.ts';
import { observeFlags } from './observe-flags.ts';
import { parseServerAddress } from './server-address.ts';
import { compactStatus, formatStatus } from './status.ts';
import { formatDuration, formatTime, parseDuration, parseMoment } from './time.ts';
import { UsageError } from './usage-error.ts';

/** What was printed after the command line and before the exit code. */
function capture(name: string): string {
  const path = join(import.meta.dir, '../../../test/wire/hubble-captures', name);
  const lines = readFileSync(path, 'utf8').split('\n');
  return lines.filter((line) => !/^(\$ |# rc=)/.test(line)).join('\n');
}

const status = (changes: Partial<ServerStatusResponse>): ServerStatusResponse =>
  ServerStatusResponse.fromPartial({
    num_flows: 291n,
    max_flows: 4095n,
    seen_flows: 268n,
    version: 'cilium v1.18.0-dev+g1c13836613ad',
    ...changes,
  });

describe('figures print as upstream prints them', () => {
  test('status', () => {
    const one = status({ uptime_ns: 55_001_462_028n, flows_rate: 4.86 });
    expect(formatStatus(one, 'dict')).toBe(capture('status-dict.txt'));
    const health = 'Healthcheck (via unix:///var/run/cilium/hubble.sock): Ok\n';
    expect(`${health}${compactStatus(one)}`).toBe(capture('status-compact.txt'));
    const two = status({ uptime_ns: 55_104_613_597n, flows_rate: 4.85 });
    expect(formatStatus(two, 'table')).toBe(capture('status-table.txt'));
    const three = status({ uptime_ns: 55_050_120_074n, flows_rate: 4.855443884164704 });
    expect(formatStatus(three, 'json')).toBe(capture('status-json.txt'));
    const down = ServerStatusResponse.fromPartial({
      num_connected_nodes: 0,
      num_unavailable_nodes: 1,
      unavailable_nodes: ['cap-node'],
    });
    expect(capture('relay-status-agent-down.txt')).toContain(compactStatus(down));
  });

  test('namespaces', () => {
    const names = ['probe', 'shop'].map((namespace) => Namespace.fromPartial({ namespace }));
    for (const form of ['table', 'wide', 'json'] as const) {
      expect(formatNamespaces(names, form)).toBe(capture(`list-namespaces-${form}.txt`));
    }
  });

  test('nodes', () => {
    const value: unknown = JSON.parse(capture('relay-list-nodes-json.txt'));
    const nodes = (value as unknown[]).map((one) =>
      Node.fromPartial(readMessage('observer.Node', one) as Partial<Node>),
    );
    expect(formatNodes(nodes, 'json')).toBe(capture('relay-list-nodes-json.txt'));
    // The other two were taken a moment later.
    const later = (uptime: bigint) => nodes.map((node) => ({ ...node, uptime_ns: uptime }));
    expect(formatNodes(later(59_030_000_000n), 'table')).toBe(
      capture('relay-list-nodes-table.txt'),
    );
    expect(formatNodes(later(60_000_000_000n), 'wide')).toBe(capture('relay-list-nodes-wide.txt'));
  });
});

describe('times', () => {
  test('durations', () => {
    expect(parseDuration('1h2m3.5s')).toBe(3723.5e9);
    expect(parseDuration('250ms')).toBe(250e6);
    for (const bad of ['', '5', 'm', '5 m', '-5m', 'yesterday'])
      expect(parseDuration(bad)).toBeUndefined();
    expect(formatDuration(3_723_500_000_000n)).toBe('1h2m3.5s');
    expect(formatDuration(1_500_000n)).toBe('1.5ms');
    expect(formatDuration(0n)).toBe('0s');
  });

  test('moments', () => {
    expect(parseMoment('5m', 'since', 1_000_000)).toEqual({ seconds: 700n, nanos: 0 });
    expect(parseMoment('2026-11-23T19:38:00.117235294Z', 'since', 0)).toEqual({
      seconds: 1_795_462_680n,
      nanos: 117_235_294,
    });
    expect(() => parseMoment('soon', 'since', 0)).toThrow(UsageError);
  });

  test('formats', () => {
    const time = { seconds: 1_795_462_680n, nanos: 117_235_000 };
    expect(formatTime(time, 'RFC3339Nano')).toMatch(
      /^2026-11-2\dT\d\d:\d\d:00\.117235(Z|[+-]\d\d:\d\d)$/,
    );
    expect(formatTime(time, 'RFC3339')).toMatch(/^2026-11-2\dT\d\d:\d\d:00(Z|[+-]\d\d:\d\d)$/);
    expect(formatTime(time, 'StampMilli')).toMatch(/^Nov 2\d \d\d:\d\d:00\.117$/);
    expect(formatTime(undefined, 'StampMilli')).toBe('');
  });
});

describe('command lines', () => {
  test('short flags join, long ones take = or the next word', () => {
    const { flags, words } = parseLine(
      ['-f6', '-nshop', '-t', 'drop', '--pod=a', '--not', '--port', '80', '-ojson', '--', '-x'],
      observeFlags,
    );
    expect(flags.map((flag) => `${flag.name}=${flag.value}`)).toEqual([
      'follow=true',
      'ipv6=true',
      'namespace=shop',
      'type=drop',
      'pod=a',
      'not=true',
      'port=80',
      'output=json',
    ]);
    expect(words).toEqual(['-x']);
  });

  test('any line is parsed or refused', () => {
    fc.assert(
      fc.property(fc.array(fc.string()), (argv) => {
        try {
          parseLine(argv, observeFlags);
        } catch (error) {
          expect(error).toBeInstanceOf(UsageError);
        }
      }),
    );
  });

  test('server addresses', () => {
    expect(parseServerAddress('unix:///a/b')).toEqual({
      shown: 'unix:///a/b',
      target: 'unix:/a/b',
      socketPath: '/a/b',
    });
    expect(parseServerAddress('localhost:4245').target).toBe('localhost:4245');
    expect(parseServerAddress('[::1]:4245').target).toBe('[::1]:4245');
    for (const bad of ['', 'localhost', 'tls://a:1', 'a b:1']) {
      expect(() => parseServerAddress(bad)).toThrow(UsageError);
    }
  });
});
