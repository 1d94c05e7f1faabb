// One runtime in a process of its own, on request: loads networks, times them, computes scores.
import { readFileSync } from 'node:fs';
import { RUNTIMES, type RunningNet, type Runtime } from './runtimes.ts';

/** What can be asked of the process. */
export type Request =
  | { ask: 'start' }
  | { ask: 'load'; key: string; path: string; side: number }
  /** Milliseconds of `count` calls with `batch` images each, per image. */
  | { ask: 'time'; key: string; count: number; batch: number }
  /** The scores of images `from` to `to` of a file of bytes. */
  | { ask: 'scores'; key: string; images: string; from: number; to: number };

/** What comes back. */
export type Answer = { value: unknown } | { error: string };

const nets = new Map<string, { net: RunningNet; side: number }>();
const files = new Map<string, Uint8Array>();
let runtime: Runtime | undefined;

/** Pixels as the networks see them. */
function pixels(path: string, size: number, from: number, to: number): Float32Array {
  if (!files.has(path)) {
    files.clear();
    files.set(path, readFileSync(path));
  }
  return Float32Array.from(files.get(path)!.subarray(from * size, to * size), (byte) => byte / 255);
}

async function answer(request: Request): Promise<unknown> {
  switch (request.ask) {
    case 'start':
      runtime = await RUNTIMES[process.argv[2]!]!();
      return runtime.version;
    case 'load': {
      const net = await runtime!.load(request.path, request.side);
      nets.set(request.key, { net, side: request.side });
      return net.batches;
    }
    case 'time': {
      const { net, side } = nets.get(request.key)!;
      const { batch, count } = request;
      const images = Float32Array.from(
        { length: batch * side * side },
        (_, i) => ((i * 7919) % 256) / 255,
      );
      const started = performance.now();
      for (let i = 0; i < count; i++) await net.predict(images, batch);
      return (performance.now() - started) / count / batch;
    }
    case 'scores': {
      const { net, side } = nets.get(request.key)!;
      const { images, from, to } = request;
      const size = side * side;
      const all = pixels(images, size, from, to);
      const step = net.batches ? 20 : 1;
      const scores: Float32Array[] = [];
      for (let i = 0; i < to - from; i += step) {
        const batch = Math.min(step, to - from - i);
        const part = await net.predict(all.subarray(i * size, (i + batch) * size), batch);
        scores.push(Float32Array.from(part));
      }
      const flat = new Float32Array(scores.reduce((sum, { length }) => sum + length, 0));
      let at = 0;
      for (const part of scores) {
        flat.set(part, at);
        at += part.length;
      }
      return flat;
    }
  }
}

process.on('message', async (request: Request) => {
  let result: Answer;
  try {
    result = { value: await answer(request) };
  } catch (error) {
    result = { error: error instanceof Error ? error.message : String(error) };
  }
  process.send!(result);
});

process.on('disconnect', () => process.exit()); // whoever asked is gone
