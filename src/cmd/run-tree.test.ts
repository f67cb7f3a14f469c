import { describe, expect, test } from 'bun:test';
import fc from 'fast-check';
import type { Command, Invocation } from './command.ts';
import { runTree } from './run-tree.ts';

let got: Invocation | undefined;
const remember = (exitCode: number) => (invocation: Invocation) => {
  got = invocation;
  return exitCode;
};

const tree: Command = {
  name: 'dbg',
  summary: 'Look',
  flags: [{ name: 'host', short: 'H', kind: 'string', help: 'socket' }],
  commands: [
    {
      name: 'endpoint',
      summary: 'Endpoints',
      commands: [
        {
          name: 'list',
          summary: 'List them',
          flags: [{ name: 'no-headers', kind: 'boolean', help: 'no headers' }],
          examples: [['cilium dbg endpoint list', 'the pods']],
          run: remember(0),
        },
        {
          name: 'get',
          summary: 'One',
          positionals: [{ name: 'endpoint-id', help: 'its number' }],
          run: remember(7),
        },
        { name: 'hidden', summary: 'x', hidden: true, run: remember(0) },
      ],
    },
  ],
};
const exec: Command = {
  name: 'exec',
  summary: 'Run',
  passThrough: true,
  positionals: [
    { name: 'pod', help: '' },
    { name: 'command', help: '', many: true },
  ],
  run: remember(0),
};

async function run(root: Command, ...argv: string[]) {
  got = undefined;
  const said = { out: '', error: '' };
  const code = await runTree(root, argv, {
    out: (text) => {
      said.out += text;
    },
    error: (text) => {
      said.error += `${text}\n`;
    },
  });
  return { code, ...said };
}

describe('runTree', () => {
  test('exit code, arguments, flags of a group before and after the words', async () => {
    expect(await run(tree, 'endpoint', 'get', '5')).toEqual({ code: 7, out: '', error: '' });
    expect(got?.args).toEqual(['5']);
    await run(tree, '--host', 'a', 'endpoint', 'list', '--no-headers');
    expect([got?.flags.string('host'), got?.flags.boolean('no-headers')]).toEqual(['a', true]);
    await run(tree, 'endpoint', '-Hb', 'list', '--host=c');
    expect(got?.flags.string('host')).toBe('c');
  });

  test('help, wherever it is asked for, and for a group without a command', async () => {
    for (const argv of [
      ['endpoint', 'list', '--help'],
      ['endpoint', '-h', 'list'],
      ['help', 'endpoint', 'list'],
    ]) {
      const { code, out } = await run(tree, ...argv);
      expect(code).toBe(0);
      expect(out).toContain('USAGE cilium dbg endpoint list');
      expect(out).toContain('EXAMPLES\n\n  cilium dbg endpoint list  # the pods\n');
      expect(got).toBeUndefined();
    }
    expect((await run(tree, 'endpoint', 'get', '--help')).out).toContain('<ENDPOINT-ID>');
    const group = await run(tree, 'endpoint');
    expect(group).toMatchObject({ code: 0, error: '' });
    expect(group.out).not.toContain('hidden');
  });

  test.each([
    [['endpiont'], 'unknown command "endpiont" for "cilium dbg" (did you mean endpoint?)'],
    [['endpoint', 'toString'], 'unknown command "toString" for "cilium dbg endpoint"'],
    [['endpoint', 'list', '--no-heders'], '(did you mean --no-headers?)'],
    [['endpoint', 'list', 'x'], 'unexpected argument "x"'],
    [['endpoint', 'get'], 'missing argument: endpoint-id'],
    [['--nope'], 'unknown flag: --nope'],
    [['--host'], 'flag needs an argument: --host'],
  ])('%p is a usage error with exit code 2', async (argv, message) => {
    const { code, out, error } = await run(tree, ...argv);
    expect([code, out]).toEqual([2, '']);
    expect(error).toContain(message);
    expect(error).toMatch(/Run 'cilium dbg.* --help' for usage\.\n$/);
  });

  test('what follows the first word belongs to it when it passes through', async () => {
    for (const argv of [
      ['web', '--', 'ls', '-l'],
      ['web', 'ls', '-l'],
    ]) {
      expect((await run(exec, ...argv)).code).toBe(0);
      expect(got?.args).toEqual(['web', 'ls', '-l']);
    }
    expect((await run(exec, 'web')).code).toBe(2);
    expect((await run(exec, '--help')).out).toContain('USAGE cilium exec');
  });

  test('an error of the command is one line and exit code 1', async () => {
    const run1 = () => {
      throw new Error('no luck', { cause: new Error('deeper') });
    };
    const result = await run({ name: 'x', summary: '', run: run1 });
    expect(result).toEqual({ code: 1, out: '', error: 'Error: no luck: deeper\n' });
  });

  test('any command line ends with an exit code', async () => {
    const words = ['endpoint', 'list', 'get', '--host', '--help', '--', '-', '__proto__', '--no-x'];
    const word = fc.oneof(fc.string(), fc.constantFrom(...words));
    await fc.assert(
      fc.asyncProperty(fc.array(word), async (argv) => {
        expect([0, 2, 7]).toContain((await run(tree, ...argv)).code);
      }),
      // Short flags in one word, of which one has the name that is reserved.
      { examples: [[['-_ ']], [['-a_']], [['--_=1']]] },
    );
  });
});
