// The values between operations: vectors, and images as planes of one channel each.
//
// Values that a stream of pixels leads from one to the other have rows of one pitch, and lie alike
// in every respect: they are a group. Between the rows of a value that is read with padding lie zeros.
import type { Piece, Place } from './program.ts';

/** How the planes of a group lie, in values of four bytes. */
export interface Layout {
  /** From row to row. */
  pitch: number;
  /** Before the first row. */
  front: number;
  /** From plane to plane. */
  step: number;
}

/** What a value's readers need around its rows, in values. */
export interface Border {
  gap: number;
  front: (pitch: number) => number;
  back: (pitch: number) => number;
}

/** Codes instead of floats: whole numbers of `step`, in the low halves of a plane for each channel, or of two in one. */
export interface StoredCodes {
  step: number;
  low: number;
  high: number;
  alone: boolean;
}

interface Group {
  parent?: Group;
  members: Value[];
  narrowest: number;
  layout?: Layout;
}

const STRIP = 16;
const ceilTo = (n: number, unit: number): number => Math.ceil(n / unit) * unit;

/** A value of the network. */
export class Value {
  readonly channels: number;
  readonly height: number;
  readonly width: number;
  /** Whether it is planes; else it is a vector: height, width, channels. */
  readonly planes: boolean;
  readonly borders: Border[] = [];
  /** What it holds where that is no floats. */
  codes: StoredCodes | undefined;
  #group: Group;
  #piece: Piece | undefined;

  constructor(shape: readonly number[], planes: boolean) {
    this.channels = shape.at(-1) ?? 1;
    this.width = shape.length > 1 ? shape.at(-2)! : 1;
    this.height = shape.slice(0, -2).reduce((n, size) => n * size, 1);
    this.planes = planes;
    this.#group = { members: [this], narrowest: this.width };
  }

  /** Number of values in it. */
  get size(): number {
    return this.channels * this.height * this.width;
  }

  /** Makes the two lie alike. */
  joinTo(other: Value): void {
    const [a, b] = [root(this.#group), root(other.#group)];
    if (a === b) return;
    b.parent = a;
    a.members.push(...b.members);
    a.narrowest = Math.max(a.narrowest, b.narrowest);
  }

  /** Asks for rows of at least `pitch`. */
  widen(pitch: number): void {
    const group = root(this.#group);
    group.narrowest = Math.max(group.narrowest, pitch);
  }

  get layout(): Layout {
    const group = root(this.#group);
    group.layout ??= layoutOf(group);
    return group.layout;
  }

  /** Values behind the last row that must be zero, and whether any border must. */
  get back(): number {
    const { pitch } = this.layout;
    return this.borders.reduce((most, { back }) => Math.max(most, back(pitch)), 0);
  }

  get isSealed(): boolean {
    return this.borders.length > 0;
  }

  get piece(): Piece {
    this.#piece ??= { bytes: this.#bytes };
    return this.#piece;
  }

  /** Where the value at row 0 and column 0 of channel 0 lies. */
  get origin(): Place {
    return { piece: this.piece, offset: this.planes ? 4 * this.layout.front : 0 };
  }

  /** Where its memory begins. */
  get start(): Place {
    return { piece: this.piece, offset: 0 };
  }

  /** Bytes from plane to plane, and from row to row. */
  get step(): number {
    return 4 * this.layout.step;
  }
  get pitch(): number {
    return 4 * this.layout.pitch;
  }

  /** Strips of 16 pixels from the first to the last pixel. */
  get strips(): number {
    return Math.ceil(((this.height - 1) * this.layout.pitch + this.width) / STRIP);
  }

  /** Planes that it takes. */
  get count(): number {
    return this.codes && !this.codes.alone ? Math.ceil(this.channels / 2) : this.channels;
  }

  /** Values in its memory that elementwise kernels go over. */
  get extent(): number {
    return this.planes ? this.channels * this.layout.step : ceilTo(this.size, STRIP);
  }

  get #bytes(): number {
    if (!this.planes) return 4 * ceilTo(this.size, STRIP);
    return 4 * (ceilTo(this.channels, 2) * this.layout.step + this.layout.front);
  }
}

function root(group: Group): Group {
  let at = group;
  while (at.parent) at = at.parent;
  return at;
}

/**
 * The step is a multiple of a strip, so that no strip writes into the next plane, but none of 256 bytes: planes
 * that far apart share a few sets of the first-level cache.
 */
function layoutOf({ members, narrowest }: Group): Layout {
  let pitch = narrowest;
  for (const { width, borders } of members) {
    for (const { gap } of borders) pitch = Math.max(pitch, width + gap);
  }
  let front = 0;
  for (const { borders } of members) {
    for (const border of borders) front = Math.max(front, border.front(pitch));
  }
  front = ceilTo(front, STRIP);
  let rows = 0;
  for (const { height, borders } of members) {
    rows = Math.max(rows, ceilTo(height * pitch, STRIP));
    for (const { back } of borders) rows = Math.max(rows, height * pitch + back(pitch));
  }
  return { pitch, front, step: planeStep(front + rows) };
}

/** Values from plane to plane, for planes of `size` values. */
export function planeStep(size: number): number {
  const step = ceilTo(size, STRIP);
  return step % (4 * STRIP) === 0 ? step + STRIP : step;
}
