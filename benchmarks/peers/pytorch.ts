// PyTorch as a peer, where it is installed: a process that trains on request.
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

// Compiled to benchmarks/dist/peers; the program lies beside the source.
const PROGRAM = fileURLToPath(new URL('../../peers/training.py', import.meta.url));

/** A running PyTorch. */
export interface PyTorch {
  version: string;
  /** Mean milliseconds of one training step of a network, over `steps` of them; see the program. */
  time(network: string, steps: number): Promise<number>;
  end(): void;
}

/** Starts PyTorch; `undefined` where the Python of THIMBLE_PYTHON (default python3) has none. */
export async function startPyTorch(): Promise<PyTorch | undefined> {
  const python = process.env.THIMBLE_PYTHON ?? 'python3';
  const child: ChildProcess = spawn(python, [PROGRAM], { stdio: ['pipe', 'pipe', 'ignore'] });
  child.on('error', () => undefined); // no such program: the lines end
  const lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
  const answer = async () => (await lines.next()).value as string | undefined;
  const version = await answer();
  if (version === undefined) return undefined;
  return {
    version,
    async time(network, steps) {
      child.stdin!.write(`${network} ${steps}\n`);
      return Number(await answer());
    },
    end: () => child.stdin!.end('end\n'),
  };
}
