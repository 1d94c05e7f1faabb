// thimble completion
import type { Command } from 'commander';
import type { Outcome } from '../context.ts';

/** One command with what can follow it. */
interface Words {
  name: string;
  about: string;
  options: { long: string; about: string; choices: readonly string[] }[];
}

export const SHELLS = ['bash', 'zsh', 'fish'] as const;

/** A script that completes commands, options and their choices; files everywhere else. */
export function completion(program: Command, shell: (typeof SHELLS)[number]): Outcome {
  const words = program.commands.map(
    (command): Words => ({
      name: command.name(),
      about: command.summary() || command.description(),
      options: command.options.map(({ long, description, argChoices }) => ({
        long: long!,
        about: description,
        choices: argChoices ?? [],
      })),
    }),
  );
  const text = { bash, zsh, fish }[shell](words);
  return { text, json: { shell, script: text } };
}

const quoted = (text: string) => `'${text.replaceAll("'", "'\\''")}'`;

function bash(words: readonly Words[]): string {
  const choices = words.flatMap(({ name, options }) =>
    options
      .filter((option) => option.choices.length > 0)
      .map((option) => `    ${name}:${option.long}) list=${quoted(option.choices.join(' '))} ;;`),
  );
  const lists = words.map(
    ({ name, options }) =>
      `      ${name}) list=${quoted(options.map(({ long }) => long).join(' '))} ;;`,
  );
  return `# Put this line into ~/.bashrc:  eval "$(thimble completion bash)"
_thimble() {
  local word="\${COMP_WORDS[COMP_CWORD]}" list=''
  COMPREPLY=()
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W ${quoted(words.map(({ name }) => name).join(' '))} -- "$word"))
    return
  fi
  case "\${COMP_WORDS[1]}:\${COMP_WORDS[COMP_CWORD-1]}" in
${choices.join('\n')}
  esac
  if [ -z "$list" ] && [ "\${word#-}" != "$word" ]; then
    case "\${COMP_WORDS[1]}" in
${lists.join('\n')}
    esac
  fi
  if [ -n "$list" ]; then COMPREPLY=($(compgen -W "$list" -- "$word")); fi
}
complete -o default -F _thimble thimble`;
}

function zsh(words: readonly Words[]): string {
  const plain = (text: string) => text.replace(/[[\]:]/g, ' ');
  const commands = words.map(({ name, about }) => `    ${quoted(`${name}:${plain(about)}`)}`);
  const cases = words.map(({ name, options }) => {
    const specs = options.map(({ long, about, choices }) => {
      const values = choices.length > 0 ? `:value:(${choices.join(' ')})` : '';
      return quoted(`${long}[${plain(about)}]${values}`);
    });
    return `    ${name}) _arguments ${[...specs, quoted('*:file:_files')].join(' ')} ;;`;
  });
  return `#compdef thimble
# Put this line into ~/.zshrc, after compinit:  eval "$(thimble completion zsh)"
_thimble() {
  local -a commands=(
${commands.join('\n')}
  )
  if (( CURRENT == 2 )); then
    _describe 'command' commands
    return
  fi
  local name="$words[2]"
  shift words
  (( CURRENT-- ))
  case "$name" in
${cases.join('\n')}
  esac
}
compdef _thimble thimble`;
}

function fish(words: readonly Words[]): string {
  const first = words.map(
    ({ name, about }) =>
      `complete -c thimble -n __fish_use_subcommand -f -a ${name} -d ${fishQuoted(about)}`,
  );
  const others = words.flatMap(({ name, options }) =>
    options.map(({ long, about, choices }) => {
      const values = choices.length > 0 ? ` -x -a ${fishQuoted(choices.join(' '))}` : '';
      return `complete -c thimble -n '__fish_seen_subcommand_from ${name}' -l ${long.slice(2)} -d ${fishQuoted(about)}${values}`;
    }),
  );
  return `# Save this as ~/.config/fish/completions/thimble.fish\n${[...first, ...others].join('\n')}`;
}

const fishQuoted = (text: string) => `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
