// Lets the event loop have its turn during long work, so that pages and timers live.

const INTERVAL_MS = 50;

function macrotask(): Promise<void> {
  return new Promise((resolve) => {
    if (typeof setImmediate === 'function') setImmediate(resolve);
    else setTimeout(resolve, 0);
  });
}

/**
 * A function to await between pieces of work: it waits for a macrotask when 50 ms have passed since the
 * last one, and answers whether it did.
 */
export function breather(): () => Promise<boolean> {
  let last = performance.now();
  return async () => {
    if (performance.now() - last < INTERVAL_MS) return false;
    await macrotask();
    last = performance.now();
    return true;
  };
}
