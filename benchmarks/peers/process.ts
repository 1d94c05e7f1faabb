// Processes that run the runtimes, and what is asked of them.
import { type ChildProcess, type ForkOptions, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Answer, Request } from './worker.ts';

const WORKER = fileURLToPath(new URL('./worker.js', import.meta.url));
const COLD = fileURLToPath(new URL('./cold.js', import.meta.url));
/** No flags of ours: Node 20 is then without relaxed SIMD. What the runtimes print is of no interest. */
const BARE: ForkOptions = { execArgv: [], stdio: ['ignore', 'ignore', 'ignore', 'ipc'] };

/** A runtime in a process of its own. */
export class RuntimeProcess {
  readonly name: string;
  readonly #child: ChildProcess;

  constructor(name: string) {
    this.name = name;
    this.#child = fork(WORKER, [name], {
      ...BARE,
      serialization: 'advanced',
    });
  }

  /** The answer to one request; one at a time. Throws what the process throws, or that it is gone. */
  ask(request: Request): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const child = this.#child;
      if (!child.connected) {
        reject(new Error(`the process of ${this.name} has ended`));
        return;
      }
      const done = (answer: Answer): void => {
        child.off('exit', gone);
        if ('error' in answer) reject(new Error(answer.error));
        else resolve(answer.value);
      };
      const gone = (code: number | null, signal: string | null): void => {
        child.off('message', done);
        reject(new Error(`the process of ${this.name} ended with ${signal ?? code}`));
      };
      child.once('message', done);
      child.once('exit', gone);
      child.send(request);
    });
  }

  end(): void {
    this.#child.kill();
  }
}

/** Milliseconds to the first result, from the start of a process and from its first import. */
export interface ColdStart {
  fromStart: number;
  fromImport: number;
}

/** One cold start in a fresh process. */
export function coldStart(name: string, path: string, side: number): Promise<ColdStart> {
  return new Promise((resolve, reject) => {
    const child = fork(COLD, [name, path, String(side)], BARE);
    let result: ColdStart | undefined;
    child.once('message', (message) => {
      result = message as ColdStart;
    });
    child.once('exit', (code) => {
      if (result) resolve(result);
      else reject(new Error(`the process ended with ${code}`));
    });
  });
}
