/**
 * @module `cilium completion bash|zsh|fish`: a script for the shell, made from the command trees. Nested
 * commands complete by path (`dbg bpf policy`), flags by the command that they belong to.
 */
import type { Command } from './command.ts';
import { commonFlags } from './command.ts';
import { UsageError } from './flags.ts';
import { printOut } from './terminal.ts';

const shells = ['bash', 'zsh', 'fish'] as const;

/** The words that may follow a path of commands. */
export interface Completion {
  /** `''` for the program itself, then e.g. `dbg bpf`. */
  readonly path: string;
  readonly words: readonly { readonly word: string; readonly summary: string }[];
  readonly flags: readonly string[];
}

export const command: Command = {
  name: 'completion',
  summary: 'Completion for bash, zsh or fish',
  arguments: 'bash|zsh|fish',
  count: [1, 1],
  run: async ({ args }) => {
    const shell = args[0] ?? '';
    const { loadTrees } = await import('./trees.ts');
    const completions = completionsOf(await loadTrees());
    if (shell === 'fish') printOut(fishScript(completions));
    else if (shell === 'bash' || shell === 'zsh') printOut(bashScript(completions, shell));
    else throw new UsageError(`unknown shell "${shell}": ${shells.join(', ')}`);
    return 0;
  },
};

/** Every path of the tree whose root is the program. */
export function completionsOf(root: Command): Completion[] {
  const found: Completion[] = [];
  const walk = (path: readonly string[], current: Command) => {
    const visible = (current.commands ?? []).filter((one) => one.hidden !== true);
    found.push({
      path: path.join(' '),
      words: visible.map((one) => ({ word: one.name, summary: one.summary })),
      flags: [...(current.flags ?? []), ...commonFlags].map((flag) => `--${flag.name}`),
    });
    for (const one of visible) walk([...path, one.name], one);
  };
  walk([], root);
  return found;
}

/** bash's completion; zsh understands it through bashcompinit. */
export function bashScript(completions: readonly Completion[], shell: 'bash' | 'zsh'): string {
  const cases = completions.map(({ path, words, flags }) => {
    const names = words.map((one) => one.word).join(' ');
    return `    '${path}') words='${names}'; flags='${flags.join(' ')}' ;;`;
  });
  const prelude = shell === 'zsh' ? 'autoload -U +X bashcompinit && bashcompinit\n' : '';
  return `${prelude}_cilium() {
  local current="\${COMP_WORDS[COMP_CWORD]}" path='' word words='' flags=''
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case "$word" in -*) continue ;; esac
    case " ${completions
      .map((one) => one.path.replaceAll(' ', '/'))
      .filter(Boolean)
      .join(' ')} " in
      *" \${path:+$path/}$word "*) path="\${path:+$path/}$word" ;;
    esac
  done
  case "\${path//\\// }" in
${cases.join('\n')}
  esac
  case "$current" in
    -*) COMPREPLY=($(compgen -W "$flags" -- "$current")) ;;
    *) COMPREPLY=($(compgen -W "$words" -- "$current")) ;;
  esac
}
complete -o default -F _cilium cilium
`;
}

export function fishScript(completions: readonly Completion[]): string {
  const lines = completions.flatMap(({ path, words, flags }) => {
    const condition =
      path === ''
        ? '__fish_use_subcommand'
        : path
            .split(' ')
            .map((word) => `__fish_seen_subcommand_from ${word}`)
            .join('; and ');
    return [
      ...words.map(
        ({ word, summary }) =>
          `complete -c cilium -f -n '${condition}' -a '${word}' -d '${summary.replaceAll("'", '’')}'`,
      ),
      ...flags.map((flag) => `complete -c cilium -n '${condition}' -l '${flag.slice(2)}'`),
    ];
  });
  return `${lines.join('\n')}\n`;
}
