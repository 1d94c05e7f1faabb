// One report of progress, and whatever draws it.

/** One report of progress. Times are in milliseconds. */
export interface ProgressEvent {
  /** What is being done, for example "epoch 3/10" or "downloading train-images". */
  task: string;
  done: number;
  total: number;
  elapsed: number;
  /** Estimated time left; NaN before the first step is done. */
  remaining: number;
  /** Figures to show beside the bar, for example the loss. */
  values: Record<string, number | string>;
}

/** A drawn progress bar; the platform provides it. */
export interface Bar {
  update(event: ProgressEvent): void;
  stop(): void;
}

/** A duration in milliseconds as people say it: "850 ms", "12 s", "3 min 05 s". */
export function formatDuration(milliseconds: number): string {
  if (!Number.isFinite(milliseconds)) return '?';
  if (milliseconds < 1000) return `${Math.round(milliseconds)} ms`;
  const seconds = Math.round(milliseconds / 1000);
  if (seconds < 120) return `${seconds} s`;
  return `${Math.floor(seconds / 60)} min ${String(seconds % 60).padStart(2, '0')} s`;
}
