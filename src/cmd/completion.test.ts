import { expect, test } from 'bun:test';
import { bashScript, command, completionsOf, fishScript } from './completion.ts';
import { loadTrees } from './trees.ts';

const completions = completionsOf(await loadTrees(command));
const cases: [line: string, words: string][] = [
  ['cilium dbg en', 'endpoint'],
  ['cilium dbg bpf policy ', 'get list'],
  ['cilium dbg endpoint list --no', '--no-headers'],
  ['cilium hubble obs', 'observe'],
  ['cilium agent --static', '--static-cnp-path'],
];

test.each(cases)('bash: %p', (line, words) => {
  const script = `${bashScript(completions, 'bash')}
    COMP_WORDS=("$@"); COMP_CWORD=$(($#-1)); _cilium; echo "\${COMPREPLY[*]}"`;
  const child = Bun.spawnSync(['bash', '-c', script, 'bash', ...line.split(' ')]);
  expect(child.stdout.toString().trim()).toBe(words);
});

test.skipIf(Bun.which('fish') === null).each(cases)('fish: %p', (line, words) => {
  const script = `${fishScript(completions)}complete -C '${line}' | cut -f1`;
  const child = Bun.spawnSync(['fish', '--no-config', '-c', script]);
  expect(child.stdout.toString().trim().replaceAll('\n', ' ')).toBe(words);
});
