import { describe, expect, test } from 'bun:test';
import fc from 'fast-check';
import { type Flag, parseArguments, UsageError } from './flags.ts';

const declared: readonly Flag[] = [
  { name: 'output', short: 'o', kind: 'string', help: '' },
  { name: 'numeric', short: 'n', kind: 'boolean', help: '' },
  { name: 'all', short: 'a', kind: 'boolean', help: '' },
  { name: 'pods', kind: 'number', help: '' },
  { name: 'type', short: 't', kind: 'strings', help: '' },
];

describe('parseArguments', () => {
  test('every way to give a value', () => {
    for (const argv of [
      ['-o', 'json'],
      ['-ojson'],
      ['-o=json'],
      ['--output', 'json'],
      ['--output=json'],
      ['-no', 'json'],
    ]) {
      expect(parseArguments(declared, argv).flags.string('output')).toBe('json');
    }
  });

  test('joined booleans, lists, numbers, positional arguments anywhere', () => {
    const { flags, args } = parseArguments(declared, [
      '335',
      '-na',
      '-t',
      'drop,trace',
      '-t=x',
      '--pods=3',
      '--',
      '-z',
    ]);
    expect([flags.boolean('numeric'), flags.boolean('all'), flags.number('pods')]).toEqual([
      true,
      true,
      3,
    ]);
    expect(flags.strings('type')).toEqual(['drop', 'trace', 'x']);
    expect(args).toEqual(['335', '-z']);
  });

  test('says what may have been meant', () => {
    expect(() => parseArguments(declared, ['--outptu', 'json'])).toThrow(
      'unknown flag: --outptu (did you mean --output?)',
    );
  });

  test.each([
    [['--nope']],
    [['-z']],
    [['--output']],
    [['-n=x']],
    [['--numeric', '--output']],
    [['--pods', 'x']],
    [['--all=maybe']],
  ])('refuses %p', (argv) => {
    expect(() => parseArguments(declared, argv)).toThrow(UsageError);
  });

  test('any arguments parse or are refused as usage errors', () => {
    fc.assert(
      fc.property(
        fc.array(fc.oneof(fc.string(), fc.constantFrom('-o', '--output', '--', '-na', '--pods=1'))),
        (argv) => {
          try {
            parseArguments(declared, argv);
          } catch (error) {
            expect(error).toBeInstanceOf(UsageError);
          }
        },
      ),
    );
  });
});
