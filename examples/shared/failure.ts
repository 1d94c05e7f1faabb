// How an example ends when it fails: a sentence for what a user can mend, all of it for the rest.
import { ThimbleError } from 'thimble';

/** For `main().catch(reportFailure)`. */
export function reportFailure(error: unknown): void {
  if (error instanceof DOMException && error.name === 'AbortError') {
    console.error('\nStopped.');
    process.exitCode = 130;
    return;
  }
  const known =
    error instanceof ThimbleError ||
    (error as { code?: string }).code?.startsWith('ERR_PARSE_ARGS');
  console.error(known ? `${(error as Error).message}\n\nSee --help.` : error);
  process.exitCode = 1;
}
