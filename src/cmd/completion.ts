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
  /** Arguments of the program that print more words. */
  readonly live: readonly string[];
  /** Whether an argument is a file or a folder, and the flags that are. */
  readonly files: boolean;
  readonly fileFlags: readonly string[];
}

export const command: Command = {
  name: 'completion',
  summary: 'Completion for bash, zsh or fish',
  positionals: [{ name: 'shell', help: shells.join(', ') }],
  examples: [
    ['source <(cilium completion bash)', 'for this shell; likewise with zsh'],
    ['cilium completion fish > ~/.config/fish/completions/cilium.fish', 'for good'],
  ],
  run: async ({ args }) => {
    const shell = args[0] ?? '';
    const { loadTrees } = await import('./trees.ts');
    const completions = completionsOf(await loadTrees(command));
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
      live: current.positionals?.find((one) => one.live !== undefined)?.live ?? [],
      files: current.positionals?.some(({ help }) => help.startsWith('file')) ?? false,
      fileFlags: (current.flags ?? [])
        .filter(({ hint }) => hint === 'path' || hint === 'file')
        .map((flag) => `--${flag.name}`),
    });
    for (const one of visible) walk([...path, one.name], one);
  };
  walk([], root);
  return found;
}

/** bash's completion; zsh understands it through bashcompinit. */
export function bashScript(completions: readonly Completion[], shell: 'bash' | 'zsh'): string {
  const cases = completions.map(({ path, words, flags, live }) => {
    const names = words.map((one) => one.word).join(' ');
    const asked = live.length === 0 ? '' : ` live=(${live.map((word) => `'${word}'`).join(' ')})`;
    return `    '${path}') words='${names}'; flags='${flags.join(' ')}'${asked} ;;`;
  });
  const prelude = shell === 'zsh' ? 'autoload -U +X bashcompinit && bashcompinit\n' : '';
  return `${prelude}_cilium() {
  # Not path, which is the search path of zsh.
  local current="\${COMP_WORDS[COMP_CWORD]}" typed='' word words='' flags='' live=()
  for word in "\${COMP_WORDS[@]:1:$((COMP_CWORD - 1))}"; do
    case "$word" in -*) continue ;; esac
    case " ${completions
      .map((one) => one.path.replaceAll(' ', '/'))
      .filter(Boolean)
      .join(' ')} " in
      *" \${typed:+$typed/}$word "*) typed="\${typed:+$typed/}$word" ;;
    esac
  done
  case "\${typed//\\// }" in
${cases.join('\n')}
  esac
  # Behind a flag comes its value, most likely a file.
  case "\${COMP_WORDS[COMP_CWORD - 1]}" in -*) live=() ;; esac
  case "$current" in
    -*) COMPREPLY=($(compgen -W "$flags" -- "$current")) ;;
    *) COMPREPLY=($(compgen -W "$words" -- "$current"))
      [ \${#live[@]} -eq 0 ] || while read -r word; do
        # Names come from elsewhere: only what no shell reads as more than a word.
        case "$word" in
          *[!a-zA-Z0-9./_-]*) ;;
          "$current"?*) COMPREPLY+=("$word") ;;
        esac
      done < <(cilium "\${live[@]}" 2>/dev/null | tr ' ' '\\n') ;;
  esac
}
complete -o default -F _cilium cilium
`;
}

/** Offers the words of the path that has been typed, and nothing of the paths above it. */
export function fishScript(completions: readonly Completion[]): string {
  const paths = completions.map((one) => one.path.replaceAll(' ', '/')).filter(Boolean);
  const prelude = `function __cilium_path
  set -l path ''
  for word in (commandline -opc)[2..]
    set -l next (string trim -c / "$path/$word")
    contains -- $next ${paths.join(' ')}; and set path $next
  end
  test "$path" = "$argv[1]"
end
function __cilium_live
  cilium $argv 2>/dev/null | string split ' ' | string match -r '^[a-zA-Z0-9./_-]+$'
end
complete -c cilium -f
`;
  const lines = completions.flatMap(({ path, words, flags, live, files, fileFlags }) => {
    const condition = `__cilium_path "${path.replaceAll(' ', '/')}"`;
    return [
      ...words.map(
        ({ word, summary }) =>
          `complete -c cilium -n '${condition}' -a '${word}' -d '${summary.replaceAll("'", '’')}'`,
      ),
      ...(live.length === 0
        ? []
        : [
            `complete -c cilium -n '${condition}' -a '(__cilium_live ${live.map((word) => `"${word}"`).join(' ')})'`,
          ]),
      ...(files ? [`complete -c cilium -n '${condition}' -F`] : []),
      ...flags.map((flag) => {
        const value = fileFlags.includes(flag) ? ' -r -F' : '';
        return `complete -c cilium -n '${condition}' -l '${flag.slice(2)}'${value}`;
      }),
    ];
  });
  return `${prelude}${lines.join('\n')}\n`;
}
