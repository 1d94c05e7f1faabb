// Made files, temporary folders and a server that misbehaves on request.
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { onTestFinished } from 'vitest';

type Bytes = Uint8Array<ArrayBuffer>;

export function gzip(bytes: Uint8Array): Bytes {
  return new Uint8Array(gzipSync(bytes));
}

/** An IDX file, from the description at http://yann.lecun.com/exdb/mnist/. */
export function encodeIdx(shape: number[], data: ArrayLike<number>, type: number = 0x08): Bytes {
  const bytes = new Uint8Array(4 + 4 * shape.length + data.length);
  const view = new DataView(bytes.buffer);
  bytes[2] = type;
  bytes[3] = shape.length;
  for (const [i, n] of shape.entries()) view.setUint32(4 + 4 * i, n);
  bytes.set(data, 4 + 4 * shape.length);
  return bytes;
}

/** Small files in MNIST's format: image i is filled with the byte i + 1, its label is i % 10. */
export function madeMnist(train: number = 7, test: number = 4): Record<string, Bytes> {
  const images = (n: number): Bytes =>
    encodeIdx(
      [n, 28, 28],
      Uint8Array.from({ length: n * 784 }, (_, k) => Math.floor(k / 784) + 1),
    );
  const labels = (n: number): Bytes =>
    encodeIdx(
      [n],
      Array.from({ length: n }, (_, i) => i % 10),
    );
  return {
    'train-images-idx3-ubyte': images(train),
    'train-labels-idx1-ubyte': labels(train),
    't10k-images-idx3-ubyte': images(test),
    't10k-labels-idx1-ubyte': labels(test),
  };
}

/** A folder that is removed when the test ends. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'thimble-data-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Sets environment variables until the test ends; undefined removes one. */
export function setEnvironment(variables: Record<string, string | undefined>): void {
  for (const [name, value] of Object.entries(variables)) {
    const old = process.env[name];
    if (value === undefined) delete process.env[name];
    else process.env[name] = value;
    onTestFinished(() => {
      if (old === undefined) delete process.env[name];
      else process.env[name] = old;
    });
  }
}

export type Handler = (
  request: IncomingMessage,
  response: ServerResponse,
  /** Number of this request, from 0. */
  index: number,
) => void;

export interface TestServer {
  url: string;
  /** What was asked for: path and Range header, for example "/a.gz bytes=10-". */
  requests: string[];
}

/** A server on this machine that is closed, with all connections, when the test ends. */
export async function serve(handler: Handler): Promise<TestServer> {
  const requests: string[] = [];
  const server = createServer((request, response) => {
    const { range } = request.headers;
    requests.push(range ? `${request.url} ${range}` : `${request.url}`);
    handler(request, response, requests.length - 1);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    return new Promise<void>((resolve) => server.close(() => resolve()));
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`, requests };
}

export interface SendOptions {
  etag?: string;
  lastModified?: string;
  /** Break the connection after this many bytes of the body. */
  breakAfter?: number;
  /** Send no more after this many bytes, and keep the connection. */
  stallAfter?: number;
  ignoreRange?: boolean;
  /** Do not tell the length. */
  chunked?: boolean;
}

/** Answers as a static file server does: Range and If-Range, ETag and Last-Modified. */
export function send(
  request: IncomingMessage,
  response: ServerResponse,
  bytes: Uint8Array,
  { etag, lastModified, breakAfter, stallAfter, ignoreRange, chunked }: SendOptions = {},
): void {
  const range = /^bytes=(\d+)-$/.exec(request.headers.range ?? '');
  const condition = request.headers['if-range'];
  const fits = condition === undefined || condition === etag || condition === lastModified;
  const start = range && fits && !ignoreRange ? Number(range[1]) : 0;
  if (range && fits && !ignoreRange && start >= bytes.length) {
    response.writeHead(416, { 'content-range': `bytes */${bytes.length}` }).end();
    return;
  }
  const body = bytes.subarray(start);
  response.writeHead(range && fits && !ignoreRange ? 206 : 200, {
    ...(chunked ? {} : { 'content-length': body.length }),
    ...(etag ? { etag } : {}),
    ...(lastModified ? { 'last-modified': lastModified } : {}),
    ...(range && fits && !ignoreRange
      ? { 'content-range': `bytes ${start}-${bytes.length - 1}/${bytes.length}` }
      : {}),
  });
  const stop = breakAfter ?? stallAfter;
  if (stop === undefined) {
    response.end(body);
    return;
  }
  response.write(body.subarray(0, stop), () => {
    // A moment for the bytes to arrive before the connection breaks.
    if (breakAfter !== undefined) setTimeout(() => response.destroy(), 20);
  });
}
