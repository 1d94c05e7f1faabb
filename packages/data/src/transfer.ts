// One HTTP exchange of a download: asks for the bytes that are missing and adds them to the part.
import type { Part, PartInfo } from './platform.ts';

/**
 * How a transfer failed, which decides what comes next: `unreachable`, no answer from this server, try
 * another; `refused`, it answers that it has no such file; `broken`, worth another try here.
 */
export class TransferFailure extends Error {
  readonly kind: 'unreachable' | 'refused' | 'broken';
  constructor(kind: TransferFailure['kind'], message: string, cause?: unknown) {
    super(message, { cause });
    this.kind = kind;
  }
}

export interface TransferOptions {
  /** Milliseconds until the server must have begun to answer. */
  contactTimeout: number;
  /** Milliseconds that may pass without a byte. */
  stallTimeout: number;
  /** Give up above this many bytes. */
  maxSize: number;
  signal: AbortSignal | undefined;
  /** Called after every chunk; `total` is null where the server does not tell it. */
  onBytes(done: number, total: number | null): void;
}

/** Error codes of connections that were there and broke; all others mean that there was none. */
const BROKEN = new Set(['ECONNRESET', 'EPIPE', 'UND_ERR_SOCKET']);

function codeOf(error: unknown): string | undefined {
  const { code, cause } = error as { code?: string; cause?: unknown };
  return typeof code === 'string' ? code : cause ? codeOf(cause) : undefined;
}

function seconds(milliseconds: number): string {
  return `${milliseconds / 1000} s`;
}

/** The headers that continue `part`, or none where it must start from zero. */
function rangeHeaders(part: Part, url: string): Record<string, string> {
  const { info, length } = part;
  // A part of another address is left alone even where it may be the same file: only the server that
  // sent the first bytes can say whether the rest belongs to them.
  if (!info || info.url !== url || length === 0) return {};
  if (info.total !== null && length >= info.total) return {};
  const strong = info.etag !== null && !info.etag.startsWith('W/') ? info.etag : null;
  const validator = strong ?? info.lastModified;
  return { range: `bytes=${length}-`, ...(validator ? { 'if-range': validator } : {}) };
}

/** Whether a 206 answer continues the part exactly where it ends, in the same version of the file. */
function continues(response: Response, part: Part): boolean {
  const range = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(response.headers.get('content-range') ?? '');
  const { info } = part;
  if (!range || !info || Number(range[1]) !== part.length) return false;
  const etag = response.headers.get('etag');
  if (etag !== null && info.etag !== null && etag !== info.etag) return false;
  // Without any validator only the length can show that the file has changed.
  return range[2] === '*' || info.total === null || Number(range[2]) === info.total;
}

function describe(response: Response, url: string): PartInfo {
  const length = response.headers.get('content-length');
  // The length of an encoded body says nothing about the bytes that come out of it.
  const known = length !== null && !response.headers.get('content-encoding');
  return {
    url,
    total: known ? Number(length) : null,
    etag: response.headers.get('etag'),
    lastModified: response.headers.get('last-modified'),
  };
}

/**
 * Downloads `url` into `part`, continuing what is there when it is the beginning of the same file.
 * Throws a {@link TransferFailure}, or the signal's reason.
 */
export async function transfer(url: string, part: Part, options: TransferOptions): Promise<void> {
  const { signal, contactTimeout, stallTimeout } = options;
  signal?.throwIfAborted();
  const controller = new AbortController();
  const forward = (): void => controller.abort(signal?.reason);
  signal?.addEventListener('abort', forward, { once: true });
  let timer: ReturnType<typeof setTimeout> | undefined;
  const expect = (failure: TransferFailure, milliseconds: number): void => {
    clearTimeout(timer);
    timer = setTimeout(() => controller.abort(failure), milliseconds);
  };
  const failed = (error: unknown, kind: TransferFailure['kind']): unknown => {
    if (signal?.aborted) return signal.reason;
    if (error instanceof TransferFailure) return error;
    if (controller.signal.reason instanceof TransferFailure) return controller.signal.reason;
    const code = codeOf(error);
    const broken = code !== undefined && BROKEN.has(code);
    return new TransferFailure(broken ? 'broken' : kind, code ?? (error as Error).message, error);
  };

  try {
    expect(
      new TransferFailure('unreachable', `no answer within ${seconds(contactTimeout)}`),
      contactTimeout,
    );
    let response: Response;
    try {
      response = await fetch(url, {
        // Identity: a server that unpacks or packs on the way makes lengths and ranges meaningless.
        headers: { 'accept-encoding': 'identity', ...rangeHeaders(part, url) },
        signal: controller.signal,
      });
    } catch (error) {
      throw failed(error, 'unreachable');
    }
    try {
      expect(new TransferFailure('broken', `no byte for ${seconds(stallTimeout)}`), stallTimeout);
      await checkStatus(response, part);
      if (response.status === 200) await part.restart(describe(response, url));
      await receive(response, part, options, () =>
        expect(new TransferFailure('broken', `no byte for ${seconds(stallTimeout)}`), stallTimeout),
      );
    } catch (error) {
      throw failed(error, 'broken');
    }
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', forward);
    // Frees the connection of an answer that nobody reads to its end.
    controller.abort();
  }
}

async function checkStatus(response: Response, part: Part): Promise<void> {
  const { status } = response;
  if (status === 200) return;
  if (status === 206 && continues(response, part)) return;
  if (status === 206 || status === 416) {
    await part.restart(part.info ?? { url: '', total: null, etag: null, lastModified: null });
    throw new TransferFailure('broken', 'the file has changed since the first part came');
  }
  const again = status >= 500 || status === 408 || status === 425 || status === 429;
  throw new TransferFailure(again ? 'broken' : 'refused', `status ${status}`);
}

async function receive(
  response: Response,
  part: Part,
  { onBytes, maxSize }: TransferOptions,
  alive: () => void,
): Promise<void> {
  const total = part.info?.total ?? null;
  const encoded = response.headers.get('content-encoding') !== null;
  const limit = encoded ? Infinity : Math.min(total ?? maxSize, maxSize);
  const reader = response.body?.getReader();
  while (reader) {
    const { done, value } = await reader.read();
    if (done) break;
    alive();
    await part.append(value);
    if (part.length > limit) {
      const found = part.length;
      await part.restart({ url: '', total: null, etag: null, lastModified: null });
      throw new TransferFailure('broken', `${found} bytes or more where ${limit} were expected`);
    }
    onBytes(part.length, total);
  }
  if (total !== null && part.length < total) {
    throw new TransferFailure(
      'broken',
      `the connection ended after ${part.length} of ${total} bytes`,
    );
  }
}
