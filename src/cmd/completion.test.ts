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

/** With a terminal: what is completed is run, and the command prints its words. */
const zshCases = cases.filter(([, words]) => !words.includes(' '));

test.each(zshCases)('zsh: %p', (line, words) => {
  const shell = `cilium() { [ "$3 $4" = 'list -o' ] && echo 'default/web shop/db' || print -r -- 'r''an:' $* .; }
    PS1= ; autoload -U compinit && compinit -u -D; bindkey '^I' complete-word
    source =(print -r -- $COMPLETION)`;
  const terminal = `zmodload zsh/zpty; zpty shell zsh -f -i; zpty -w shell ${quoted(shell)}
    zpty -n -w shell ${quoted(`${line}\t\n`)}; zpty -r -m shell output '*ran: * .*'; print -r -- $output`;
  const env = { ...process.env, COMPLETION: bashScript(completions, 'zsh') };
  const child = Bun.spawnSync(['zsh', '-f', '-c', terminal], { env, timeout: 10_000 });
  const [, run] = /ran: (.*?) \./.exec(child.stdout.toString()) ?? [];
  expect(run).toBe([...line.split(' ').slice(1, -1), words].join(' '));
});

function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

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

test.each(fishCases)('fish: %p', (line, words) => {
  const script = `${fishScript(completions)}${agent.fish}
    complete -C '${line}' | cut -f1`;
  const child = Bun.spawnSync(['fish', '--no-config', '-c', script]);
  expect(child.stdout.toString().trim().replaceAll('\n', ' ')).toBe(words);
});
