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
  ['cilium policy why ', 'default/web shop/db'],
  ['cilium policy why default/web sh', 'shop/db'],
];

/** Stands for an agent that knows two pods and one whose name is a trap. */
const agent = {
  bash: `cilium() { [ "$1 $2 $3" = 'dbg endpoint list' ] && echo 'default/web shop/db $(touch /x) *'; }`,
  fish: `function cilium; echo 'default/web shop/db $(touch /x) *'; end`,
};

const bashCases: typeof cases = [...cases, ['cilium policy why -f ', '']];

test.each(bashCases)('bash: %p', (line, words) => {
  const script = `${bashScript(completions, 'bash')}${agent.bash}
    COMP_WORDS=("$@"); COMP_CWORD=$(($#-1)); _cilium; echo "\${COMPREPLY[*]}"`;
  const child = Bun.spawnSync(['bash', '-c', script, 'bash', ...line.split(' ')]);
  expect(child.stdout.toString().trim()).toBe(words);
});

const fishCases: typeof cases = [
  ...cases,
  ['cilium policy validate bunf', 'bunfig.toml'],
  ['cilium policy why --file bunf', 'bunfig.toml'],
];

test.skipIf(Bun.which('fish') === null).each(fishCases)('fish: %p', (line, words) => {
  const script = `${fishScript(completions)}${agent.fish}
    complete -C '${line}' | cut -f1`;
  const child = Bun.spawnSync(['fish', '--no-config', '-c', script]);
  expect(child.stdout.toString().trim().replaceAll('\n', ' ')).toBe(words);
});
