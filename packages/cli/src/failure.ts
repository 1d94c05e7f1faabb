// How a command ends when it fails: a sentence that says what to do.

import { OptionError, ThimbleError } from '@thimble/base';
import { CommanderError } from 'commander';

/** What the command line got wrong, as opposed to what went wrong. */
export class UsageError extends ThimbleError {
  override name: string = 'UsageError';
}

export const EXIT = { ok: 0, failure: 1, usage: 2, interrupted: 130 } as const;

/** How a command ended, and what to say. */
export interface Ending {
  code: number;
  message: string;
}

/** The sentence and the exit code for an error; `goesOn`: whether the same command goes on after an interrupt. */
export function endingOf(error: unknown, goesOn: boolean = false): Ending {
  if (error instanceof CommanderError) {
    // Help and version end this way too.
    return { code: error.exitCode === 0 ? EXIT.ok : EXIT.usage, message: '' };
  }
  if (error instanceof DOMException && error.name === 'AbortError') {
    return {
      code: EXIT.interrupted,
      message: goesOn
        ? 'Stopped. What is done is kept; the same command goes on from there.'
        : 'Stopped.',
    };
  }
  const usage = error instanceof UsageError || error instanceof OptionError;
  const code = usage ? EXIT.usage : EXIT.failure;
  if (error instanceof ThimbleError) return { code, message: error.message };
  const {
    message = String(error),
    code: system,
    path,
    port,
  } = error as NodeJS.ErrnoException & { port?: number };
  const sentences: Record<string, string> = {
    ENOENT: `There is no file "${path}".`,
    EACCES:
      port === undefined
        ? `"${path}" may not be read or written: check its permissions.`
        : `Port ${port} may not be opened: choose one from 1024 on with --port.`,
    EADDRINUSE: `Port ${port} is in use by another program: choose another with --port, or --port 0 for any that is free.`,
    EEXIST: `"${path}" is a file, where a folder is needed.`,
    EROFS: `"${path}" is on a disk that cannot be written to.`,
    EISDIR: `"${path}" is a folder, where a file is needed. Give the name of a file in it.`,
    ENOTDIR: `"${path}" has a file where a folder is needed.`,
    ENOSPC: 'The disk is full.',
  };
  const known = system === undefined ? undefined : sentences[system];
  return {
    code,
    message: known ?? `${message}\nThis was not foreseen. With --debug it tells where it happened.`,
  };
}
