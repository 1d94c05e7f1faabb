// What commands share.
import type { ProgressOption } from '@thimble/base';

/** What a command can use besides its arguments. */
export interface Context {
  progress: ProgressOption;
  /** Aborted by an interrupt. */
  signal: AbortSignal;
  /** For what is worth saying while work goes on; on standard error, nowhere with --json or --quiet. */
  say(text: string): void;
  /** For what goes wrong while work goes on; on standard error always, a line of JSON with --json. */
  warn(text: string): void;
}

/** What a command found out: as text, and as data for --json. */
export interface Outcome {
  text: string;
  json: unknown;
  /** Whether what was asked for was not to be had: the exit code is then 1. */
  failed?: boolean;
  /** What goes on when this has been printed. */
  after?: Promise<void>;
}
