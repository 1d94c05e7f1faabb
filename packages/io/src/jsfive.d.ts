// What is used of jsfive, which has no types of its own.
declare module 'jsfive' {
  export class Dataset {
    readonly value: ArrayLike<number>;
    readonly shape: number[];
    readonly dtype: string;
  }
  export class Group {
    readonly keys: string[];
    readonly attrs: Record<string, unknown>;
    get(path: string): Group | Dataset | null | undefined;
  }
  export class File extends Group {
    constructor(buffer: ArrayBuffer, name: string);
  }
}
