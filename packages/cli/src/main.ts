// The command line, from words to an exit code.
import { existsSync, readFileSync } from 'node:fs';
import type { CommanderError } from 'commander';
import { type Ending, EXIT, endingOf } from './failure.ts';
import { type Act, programOf } from './program.ts';

/** Where a command writes, and what stops it. */
export interface Io {
  out(text: string): void;
  err(text: string): void;
  signal: AbortSignal;
}

/** Commands that keep what is done when they are interrupted. */
const GO_ON: readonly string[] = ['compress', 'search', 'lottery'];

/**
 * Runs the `thimble` command.
 *
 * @param words what comes after `thimble`
 * @returns the exit code: 0 well, 1 failed, 2 wrong usage (a recipe included), 130 interrupted
 * @example
 * const code = await main(['recipe', 'binary'], { out: console.log, err: console.log, signal: new AbortController().signal });
 */
export async function main(words: readonly string[], { out, err, signal }: Io): Promise<number> {
  const asked = { json: words.includes('--json'), debug: words.includes('--debug') };
  let code: number = EXIT.ok;
  const act: Act = async ({ json = false, quiet = false }, body) => {
    const say = json || quiet ? () => {} : (text: string) => err(`${text}\n`);
    const warn = (text: string) => err(`${json ? JSON.stringify({ warning: text }) : text}\n`);
    const outcome = await body({ progress: !quiet && !json, signal, say, warn });
    out(json ? `${JSON.stringify(outcome.json, finite, 2)}\n` : `${outcome.text}\n`);
    if (outcome.failed) code = EXIT.failure;
    await outcome.after;
  };
  const program = programOf(versionOf(), act);
  const output = { writeOut: out, writeErr: err };
  program.configureOutput(output).exitOverride();
  for (const command of program.commands) command.configureOutput(output).exitOverride();
  try {
    await program.parseAsync(words.map(withPaths), { from: 'user' });
    return code;
  } catch (error) {
    const ending = endingOf(error, GO_ON.includes(words[0] ?? ''));
    report(error, ending, asked, { out, err });
    return ending.code;
  }
}

function report(
  error: unknown,
  { code, message }: Ending,
  { json, debug }: { json: boolean; debug: boolean },
  { out, err }: Pick<Io, 'out' | 'err'>,
): void {
  if (code === 0) return;
  const { name, stack } = error as Error;
  if (json) {
    const said = message || (error as CommanderError).message;
    out(`${JSON.stringify({ error: { name, message: said, code } }, null, 2)}\n`);
  }
  if (message) err(`${message}\n`);
  if (debug && stack) err(`${stack}\n`);
}

/** file:// addresses, as the library takes them, are the paths in them; also after --option= and in images,labels. */
function withPaths(word: string): string {
  return word.replace(/(^|[=,])file:\/\/([^,]+)/g, (_, before: string, address: string) => {
    const path = address.replace(/^\/(?=[A-Za-z]:)/, '');
    try {
      return before + (existsSync(path) ? path : decodeURIComponent(path));
    } catch {
      return before + path; // a % that stands for itself
    }
  });
}

/** JSON has no NaN: what is not known is null. */
function finite(_: string, value: unknown): unknown {
  return typeof value === 'number' && !Number.isFinite(value) ? null : value;
}

function versionOf(): string {
  const text = readFileSync(new URL('../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}
