// A download that goes on where it broke off, over several addresses, until the right bytes are there.
import { DownloadError, type ProgressOption, startProgress } from '@thimble/base';
import { platform } from '#platform';
import type { Part } from './platform.ts';
import { TransferFailure, transfer } from './transfer.ts';

/** How long and how often to try. Times in milliseconds. */
export interface Patience {
  /** Until a server must have begun to answer. */
  contactTimeout: number;
  /** Without a byte. */
  stallTimeout: number;
  /** Tries in a row, per address, that bring no byte beyond those that came before. */
  attempts: number;
  /** Wait before the second try; doubles with every further one. */
  backoff: number;
}

export const PATIENCE: Patience = {
  contactTimeout: 15_000,
  stallTimeout: 15_000,
  attempts: 3,
  backoff: 500,
};

export interface DownloadRequest {
  /** What to call the file in progress and errors. */
  title: string;
  /** Addresses of the same file, tried in this order. */
  urls: string[];
  /** Where the file belongs; what is partly downloaded lies beside it. */
  path: string;
  /** Whether to keep the file there. */
  keep: boolean;
  /** Bytes, where they are known. */
  size?: number;
  /** Says what is wrong with the bytes, or nothing when they are the right ones. */
  check(bytes: Uint8Array<ArrayBuffer>): Promise<string | undefined>;
  /** Servers that did not answer, so that the next file need not wait for them. Added to. */
  unreachable?: Set<string>;
  patience: Patience;
  signal: AbortSignal | undefined;
  onProgress: ProgressOption;
}

/** Waits, or rejects with the signal's reason. */
async function pause(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
  signal?.throwIfAborted();
  return new Promise((resolve, reject) => {
    const stop = (): void => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', stop);
      resolve();
    }, milliseconds);
    signal?.addEventListener('abort', stop, { once: true });
  });
}

/** Tries one address until the part is whole and right; returns the bytes or why it was given up. */
async function tryAddress(
  url: string,
  part: Part,
  request: DownloadRequest,
  onBytes: (done: number, total: number | null) => void,
): Promise<Uint8Array<ArrayBuffer> | TransferFailure> {
  const { patience, signal, size } = request;
  let failure = new TransferFailure('broken', 'not tried');
  let wrong = 0;
  let furthest = part.info?.url === url ? part.length : 0;
  for (let attempt = 0; attempt < patience.attempts; attempt++) {
    if (attempt > 0) await pause(patience.backoff * 2 ** (attempt - 1), signal);
    try {
      await transfer(url, part, { ...patience, signal, onBytes, maxSize: size ?? Infinity });
      const bytes = await part.read();
      const fault = await request.check(bytes);
      if (fault === undefined) return bytes;
      // Wrong bytes are never continued. They may be two versions of a file, so once more from zero.
      wrong += 1;
      await part.restart({ url: '', total: null, etag: null, lastModified: null });
      failure = new TransferFailure('broken', fault);
      if (wrong > 1) return failure;
    } catch (error) {
      if (!(error instanceof TransferFailure)) throw error;
      failure = error;
      if (failure.kind !== 'broken') return failure;
      if (part.length > furthest) attempt = -1;
    }
    furthest = Math.max(furthest, part.length);
  }
  return failure;
}

/**
 * Downloads a file: continues a part that an earlier run left, tries every address, waits longer
 * between tries, checks the bytes, and gives them their final name only when they are right.
 *
 * Throws a `DownloadError` that says what every address answered, or the signal's reason. What came
 * is kept for the next run in both cases.
 */
export async function download(request: DownloadRequest): Promise<Uint8Array<ArrayBuffer>> {
  const { title, urls, path, keep, unreachable, signal } = request;
  signal?.throwIfAborted();
  const part = await platform.openPart(path);
  let progress: ReturnType<typeof startProgress> | undefined;
  let open = true;
  const report = (done: number, total: number | null): void => {
    const whole = total ?? request.size ?? 0;
    progress ??= startProgress(request.onProgress, `downloading ${title}, kB`, kilo(whole));
    progress.update(kilo(done));
  };
  try {
    const faults: string[] = [];
    for (const url of urls) {
      const { origin } = new URL(url);
      if (unreachable?.has(origin)) {
        faults.push(`${url}: not asked again`);
        continue;
      }
      const result = await tryAddress(url, part, request, report);
      if (result instanceof TransferFailure) {
        if (result.kind === 'unreachable') unreachable?.add(origin);
        faults.push(`${url}: ${result.message}`);
        continue;
      }
      open = false;
      await (keep ? part.commit() : part.discard());
      return result;
    }
    throw new DownloadError(`Could not download ${title}.\n  ${faults.join('\n  ')}`);
  } finally {
    progress?.stop();
    if (open) await (part.length > 0 ? part.keep() : part.discard());
  }
}

/** What every server answered, in a line: "example.org: ENOTFOUND; example.com: status 404". */
export function reasonsOf(error: DownloadError): string {
  const lines = error.message.matchAll(/^ {2}https?:\/\/([^/]+)\S*: (.+)$/gm);
  return [...lines].map(([, host, reason]) => `${host}: ${reason}`).join('; ');
}

function kilo(bytes: number): number {
  return Math.ceil(bytes / 1000);
}
