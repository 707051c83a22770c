import { Command } from 'commander';
import { UsageError } from './errors.ts';

const SHELLS = ['bash', 'zsh', 'fish'] as const;

export function command(): Command {
  return new Command('completion')
    .argument('<shell>', SHELLS.join(', '))
    .description('print shell completion')
    .addHelpText(
      'after',
      `
Examples:
  source <(pomona completion bash)
  pomona completion fish > ~/.config/fish/completions/pomona.fish`,
    )
    .action(async (shell: string, _options: object, self: Command) => {
      const root = self.parent;
      if (root === null || !(SHELLS as readonly string[]).includes(shell)) {
        throw new UsageError(`expected one of ${SHELLS.join(', ')}, not ${shell}`);
      }
      process.stdout.write(completionFor(shell as (typeof SHELLS)[number], wordsOf(root)));
    });
}

interface Words {
  /** Words that lead there, such as `job list`. */
  readonly path: string;
  readonly next: readonly string[];
}

/** What may follow each command: its commands and options. */
export function wordsOf(command: Command, path: readonly string[] = []): Words[] {
  const options = command.options.flatMap((option) =>
    option.long === undefined || option.long === null ? [] : [option.long],
  );
  const names = command.commands.map((inner) => inner.name());
  return [
    { path: path.join(' '), next: [...names, ...options, '--help'] },
    ...command.commands.flatMap((inner) => wordsOf(inner, [...path, inner.name()])),
  ];
}

export function completionFor(shell: 'bash' | 'zsh' | 'fish', words: readonly Words[]): string {
  if (shell === 'fish') return fish(words);
  const known = words.flatMap(({ path }) => (path === '' ? [] : [`'${path}'`])).join('|');
  const cases = words
    .map(({ path, next }) => `    '${path}') words='${next.join(' ')}' ;;`)
    .join('\n');
  // Words that are neither commands nor options, such as files, do not change what may follow.
  const bash = `_pomona() {
  local at='' word words=''
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case $word in --) return ;; esac
    case "\${at:+$at }$word" in ${known}) at="\${at:+$at }$word" ;; esac
  done
  case $at in
${cases}
  esac
  COMPREPLY=($(compgen -W "$words" -- "\${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _pomona pomona
`;
  if (shell === 'bash') return bash;
  return `#compdef pomona
_pomona() {
  local at='' word known=''
  for word in "\${(@)words[2,CURRENT-1]}"; do
    case $word in --) _files; return ;; esac
    case "\${at:+$at }$word" in ${known}) at="\${at:+$at }$word" ;; esac
  done
  case $at in
${cases.replaceAll(" words='", " known='")}
  esac
  compadd -- \${=known}
  [[ $PREFIX == -* ]] || _files
}
compdef _pomona pomona
`;
}

function fish(words: readonly Words[]): string {
  return words
    .flatMap(({ path, next }) => {
      const seen = path.split(' ').filter((word) => word !== '');
      const where =
        seen.length === 0
          ? '__fish_use_subcommand'
          : seen.map((word) => `__fish_seen_subcommand_from ${word}`).join('; and ');
      return next.map((word) =>
        word.startsWith('--')
          ? `complete -c pomona -n '${where}' -l ${word.slice(2)}`
          : `complete -c pomona -f -n '${where}' -a ${word}`,
      );
    })
    .join('\n')
    .concat('\n');
}
