// What Node and browsers do differently: unpacking, and keeping what was downloaded.

/** What a partial download is a part of, so that it is only ever continued with the same file. */
export interface PartInfo {
  url: string;
  /** Length of the whole file as the server told it, or null where it did not. */
  total: number | null;
  etag: string | null;
  lastModified: string | null;
}

/** A download in the making. Exactly one of `keep`, `commit` and `discard` ends it. */
export interface Part {
  /** Bytes got so far. */
  readonly length: number;
  readonly info: PartInfo | undefined;
  /** Forgets all bytes; those that follow belong to `info`. */
  restart(info: PartInfo): Promise<void>;
  append(chunk: Uint8Array): Promise<void>;
  read(): Promise<Uint8Array<ArrayBuffer>>;
  /** Leaves the bytes for a later attempt to continue, where the platform can. */
  keep(): Promise<void>;
  /** Gives the bytes their final name, all at once. */
  commit(): Promise<void>;
  discard(): Promise<void>;
}

export interface Platform {
  /** Whether a data source can be a folder. */
  readonly hasFiles: boolean;
  /** Unpacks gzip; rejects when it is damaged, truncated or followed by other bytes. */
  gunzip(bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>>;
  /** Starts or continues the download that will be kept as `path`. */
  openPart(path: string): Promise<Part>;
  /** What an earlier download kept as `path`, if anything. */
  readKept(path: string): Promise<Uint8Array<ArrayBuffer> | undefined>;
  removeKept(path: string): Promise<void>;
}
