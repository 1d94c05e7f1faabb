// Milliseconds of things that are compared.
import { type ProgressOption, startProgress } from '@thimble/base';

/** How times are taken. */
export interface TimesOptions {
  /** Rounds that count. */
  repeats: number;
  progress: ProgressOption;
  signal?: AbortSignal;
}

const WARM_UP = 5;

/**
 * Milliseconds of each thing, round by round: in turn, so that whatever else the machine does hits all alike.
 *
 * @example
 * const [first] = await timesInTurn([() => model.predict(x)], { repeats: 10, progress: false });
 * console.log(median(first));
 */
export async function timesInTurn(
  things: readonly (() => unknown)[],
  { repeats, progress, signal }: TimesOptions,
): Promise<number[][]> {
  const times = things.map((): number[] => []);
  const bar = startProgress(progress, 'measuring', repeats);
  try {
    for (let round = -Math.min(WARM_UP, repeats); round < repeats; round++) {
      signal?.throwIfAborted();
      for (const [i, run] of things.entries()) {
        const started = performance.now();
        await run();
        if (round >= 0) times[i]!.push(performance.now() - started);
      }
      bar.update(Math.max(0, round + 1));
      await new Promise((resolve) => setTimeout(resolve, 0)); // lets an interrupt arrive
    }
  } finally {
    bar.stop();
  }
  return times;
}

/** The value in the middle, the upper one of two. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)]!;
}
