// Long work on many images, in slices: other work gets its turn, progress is shown, a signal stops it.
import { type ProgressOption, startProgress } from '@thimble/base';

/** How long a slice may take, in milliseconds. */
const SLICE = 40;

/**
 * Calls `work` for 0..count-1. Lets go of the thread every 40 ms, to report progress and to look at the
 * signal; rejects with the signal's reason.
 */
export async function forEachImage(
  count: number,
  task: string,
  { signal, onProgress }: { signal: AbortSignal | undefined; onProgress: ProgressOption },
  work: (index: number) => void,
): Promise<void> {
  signal?.throwIfAborted();
  const progress = startProgress(onProgress, task, count);
  try {
    let started = performance.now();
    for (let i = 0; i < count; i++) {
      work(i);
      if (i % 32 === 31 && performance.now() - started > SLICE) {
        progress.update(i + 1);
        await new Promise((resolve) => setTimeout(resolve, 0));
        signal?.throwIfAborted();
        started = performance.now();
      }
    }
    progress.update(count);
  } finally {
    progress.stop();
  }
}
