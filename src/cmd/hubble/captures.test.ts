import { describe, expect, test } from 'bun:test';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { runHubble } from '../hubble.ts';
import type { CommandIo } from './output.ts';

process.env['TZ'] = 'UTC';

const dir = join(import.meta.dir, '../../../test/wire/hubble-captures');
const read = (name: string): string => readFileSync(join(dir, name), 'utf8');
const captures = readdirSync(dir)
  .filter((name) => name.endsWith('.jsonpb'))
  .map((name) => name.slice(0, -'.jsonpb'.length))
  .filter((name) => name !== 'agent-events');

async function hubble(...argv: string[]): Promise<{ code: number; out: string; err: string }> {
  const decoder = new TextDecoder();
  let out = '';
  let err = '';
  const io: CommandIo = {
    env: {},
    isTerminal: false,
    out: (bytes) => {
      out += decoder.decode(bytes, { stream: true });
    },
    err: (text) => {
      err += text;
    },
    signal: new AbortController().signal,
  };
  const code = await runHubble(argv, io);
  return { code, out, err };
}

const replay = (name: string, ...argv: string[]) =>
  hubble('observe', '--input-file', join(dir, name), ...argv);

describe('captures of a real server print as its own client prints them', () => {
  for (const name of captures) {
    for (const form of ['compact', 'dict', 'table']) {
      // This text is of another run than the capture is.
      if (name === 'lost-events' && form === 'compact') continue;
      test(`${name}, ${form}`, async () => {
        const result = await replay(`${name}.jsonpb`, '-o', form, '--print-policy-names=false');
        expect(result).toEqual({ code: 0, out: read(`${name}.${form}.txt`), err: '' });
      });
    }
    test(`${name}, json is what it was`, async () => {
      const result = await replay(`${name}.jsonpb`, '-ojsonpb');
      expect(result.out).toBe(read(`${name}.jsonpb`));
    });
  }

  for (const name of captures.filter((one) => /^(drop|policy)/.test(one))) {
    for (const form of ['compact', 'dict']) {
      test(`${name}, ${form} with policy names`, async () => {
        const result = await replay(`${name}.jsonpb`, '-o', form);
        expect(result.out).toBe(read(`${name}.${form}-policy-names.txt`));
      });
    }
  }

  for (const form of ['compact', 'dict', 'table', 'json']) {
    test(`agent events, ${form}`, async () => {
      const path = join(dir, 'agent-events-last12.json.txt');
      const result = await hubble('observe', 'agent-events', '--input-file', path, '-o', form);
      expect(result.out).toBe(read(`agent-events-last12.${form}.txt`));
    });
  }

  test('all agent events survive as JSON', async () => {
    const path = join(dir, 'agent-events.jsonpb');
    const result = await hubble('observe', 'agent-events', '--input-file', path, '-o', 'json');
    expect(result.out).toBe(read('agent-events.jsonpb'));
  });
});

describe('captures are filtered as a server would', () => {
  const lines = (text: string): number => text.split('\n').filter((line) => line !== '').length;

  test('by verdict, pod, port, type, address, identity', async () => {
    const name = 'drop-default-deny.jsonpb';
    expect(lines((await replay(name)).out)).toBe(8);
    expect(lines((await replay(name, '--from-pod', 'probe/client')).out)).toBe(2);
    expect(lines((await replay(name, '-n', 'shop')).out)).toBe(4);
    expect(lines((await replay(name, '--to-port', '8080')).out)).toBe(2);
    expect(lines((await replay(name, '--port', '8080', '--pod', 'shop/web')).out)).toBe(2);
    expect(lines((await replay(name, '-6')).out)).toBe(2);
    expect(lines((await replay(name, '--ip', '203.0.113.0/24')).out)).toBe(1);
    expect(lines((await replay(name, '--identity', 'host')).out)).toBe(1);
    expect(lines((await replay(name, '--label', 'app in (web), tier=back')).out)).toBe(4);
    expect(lines((await replay(name, '--not', '--protocol', 'tcp')).out)).toBe(4);
    expect(lines((await replay(name, '-t', 'trace')).out)).toBe(0);
    expect(
      lines((await replay(name, '-t', 'drop:policy-denied', '--verdict', 'dropped')).out),
    ).toBe(8);
    expect(lines((await replay(name, '--tcp-flags', 'syn')).out)).toBe(4);
    expect(lines((await replay(name, '--traffic-direction', 'egress')).out)).toBe(4);
    expect(lines((await replay(name, '--node-name', 'cap-*')).out)).toBe(8);
  });

  test('first and last work on a file too', async () => {
    const all = (await replay('drop-default-deny.jsonpb')).out.trimEnd().split('\n');
    const first = (await replay('drop-default-deny.jsonpb', '--first', '2')).out;
    expect(first.trimEnd().split('\n')).toEqual(all.slice(0, 2));
    const last = (await replay('drop-default-deny.jsonpb', '--last', '2')).out;
    expect(last.trimEnd().split('\n')).toEqual(all.slice(-2));
  });

  test('a field mask leaves the rest out', async () => {
    const result = await replay(
      'drop-by-deny-rule.jsonpb',
      '-ojson',
      '--field-mask',
      'verdict',
      '--first=1',
    );
    expect(JSON.parse(result.out).flow).toEqual({ verdict: 'DROPPED' });
  });
});

describe('what only this client prints', () => {
  test('default deny names the policies that did not allow it', async () => {
    const { mkdtempSync, writeFileSync, rmSync } = await import('node:fs');
    const { tmpdir } = await import('node:os');
    const scratch = mkdtempSync(join(tmpdir(), 'hubble-'));
    const flow = JSON.parse(read('policy-verdict-denied-default-deny.jsonpb').split('\n')[0] ?? '');
    flow.flow.egress_denied_by = [
      { name: 'a', kind: 'CiliumNetworkPolicy' },
      { name: 'b\u001b[31m', kind: 'CiliumNetworkPolicy' },
    ];
    flow.flow.source.pod_name = 'evil\u0007pod';
    const path = join(scratch, 'flows.json');
    writeFileSync(path, JSON.stringify(flow));
    const result = await hubble(
      'observe',
      '--input-file',
      path,
      '--print-policy-names',
      '--print-node-name',
    );
    expect(result.out).toBe(
      'Nov 23 19:38:00.117 [cap-node]: probe/evil\\x07pod (ID:29228) <> shop/web-0 (ID:15277) policy-verdict:none EGRESS DENIED BY a, b\\x1b[31m (default deny) (ICMPv4 EchoRequest)\n',
    );
    const colored = await hubble('observe', '--input-file', path, '--color', 'always');
    expect(colored.out).toContain('\u001b[31mDENIED\u001b[0m');
    rmSync(scratch, { recursive: true });
  });

  test('wrong command lines say what is wrong and exit 2', async () => {
    const cases: readonly (readonly [string[], string])[] = [
      [['observe', '--nonsense'], 'unknown flag: --nonsense'],
      [['observe', '-o', 'yaml'], '--output yaml: one of'],
      [['observe', '--not'], 'name a filter after it'],
      [['observe', '--last'], 'flag needs an argument'],
      [['observe', '--first', '1', '-f'], 'exclude each other'],
      [['observe', '--since', 'yesterday'], 'neither a duration'],
      [['observe', '--verdict', 'MAYBE'], '--verdict MAYBE'],
      [['observe', '--port', 'http', '--input-file', '/dev/null'], 'parse port'],
      [['observe', '--input-file', '/no/such/file'], 'ENOENT'],
      [['observe', '--server', 'tls://x:1'], 'TLS is not supported yet'],
      [['observe', '--allowlist', '{"nope":1}'], 'unknown field "nope"'],
      [['observe', 'debug-events'], 'debug-events: not supported'],
      [['nonsense'], 'unknown command'],
    ];
    for (const [argv, text] of cases) {
      const result = await hubble(...argv);
      expect(result.err).toContain(text);
      expect(result.code).toBe(2);
      expect(result.out).toBe('');
    }
  });

  test('raw filters can be printed and given again', async () => {
    const result = await hubble(
      'observe',
      '--pod',
      'shop/web',
      '--port',
      '80',
      '--not',
      '--verdict',
      'DROPPED',
      '--print-raw-filters',
    );
    expect(result.out).toBe(
      [
        'allowlist:',
        `    - '{"source_pod":["shop/web"],"source_port":["80"]}'`,
        `    - '{"source_pod":["shop/web"],"destination_port":["80"]}'`,
        `    - '{"destination_pod":["shop/web"],"source_port":["80"]}'`,
        `    - '{"destination_pod":["shop/web"],"destination_port":["80"]}'`,
        'denylist:',
        `    - '{"verdict":["DROPPED"]}'`,
        '',
      ].join('\n'),
    );
    const again = await hubble(
      'observe',
      '--allowlist',
      '{"source_pod":["shop/web"]}',
      '--print-raw-filters',
    );
    expect(again.out).toContain(`'{"source_pod":["shop/web"]}'`);
  });

  test('namespaces complete names and stand for all of their pods', async () => {
    const raw = async (...argv: string[]) =>
      (await hubble('observe', ...argv, '--print-raw-filters')).out;
    expect(await raw('-n', 'a', '--from-pod', 'x')).toContain('{"source_pod":["a/x"]}');
    expect(await raw('--pod', 'x', '-A')).toContain('{"destination_pod":["/x"]}');
    expect(await raw('--pod', 'x')).toContain('{"source_pod":["default/x"]}');
    expect(await raw('--to-namespace', 'a', '--to-namespace', 'b')).toContain(
      '{"destination_pod":["a/","b/"]}',
    );
  });

  test('an unreachable server is exit code 3', async () => {
    const result = await hubble('observe', '--server', 'unix:///no/such.sock');
    expect(result).toEqual({
      code: 3,
      out: '',
      err: 'hubble: connect to unix:///no/such.sock: no such socket; is the agent running?\n',
    });
  });

  test('help has the flags and examples', async () => {
    expect((await hubble()).out).toContain('observe');
    const help = (await hubble('observe', '--help')).out;
    for (const flag of ['--from-pod', '-f, --follow', '--not', '--input-file', 'Examples:']) {
      expect(help).toContain(flag);
    }
  });
});
