// The numbers of the .thimble format that writer and reader share.
//
//   "THMB", version (1 byte), CRC-32 of all that follows (4 bytes, little-endian)
//   varint: bytes of the whole file
//   varint: bytes of the description with phrases (text-model.ts); varint: bytes of its arithmetic code; the code
//   the weights, in the order in which the nodes first use them (weight.ts); zeros up to the end
//
// A varint has 7 bits a byte, the lowest first, the top bit set where more follow.

export const MAGIC: readonly number[] = [0x54, 0x48, 0x4d, 0x42];
export const VERSION = 1;
/** Magic, version, checksum. */
export const HEAD = 9;

/** What a weight's values are. */
export const VALUES = {
  float32: 0,
  float16: 1,
  affine: 2,
  codebook: 3,
  powersOfTwo: 4,
  hashed: 5,
  binary: 6,
} as const;
/** Added to the kind of value where every entry that is 0 counts as pruned. */
export const MASKED = 16;

/** Where the kept entries of a weight are. */
export const LAYOUTS = {
  /** All are kept. */
  dense: 0,
  /** Distances from one kept entry to the next, in a few bits each; a filler zero where that is too far. */
  gaps: 1,
  /** A bit for every entry. */
  bitmap: 2,
  /** Of every M entries along an axis N are kept: their places. */
  nm: 3,
  /** A bit for every run of B entries along an axis. */
  blocks: 4,
  /** All entries, by the arithmetic coder. */
  arithmetic: 5,
} as const;

/** How the codes of the kept entries are written. */
export const ENTROPY = { none: 0, huffman: 1 } as const;
/** Storage byte: layout * 4 + entropy. */
export const LAYOUT_STEP = 4;

/** Added to the bits of a gap where entries are numbered output by output. */
export const BY_OUTPUTS = 128;

/** No axis. */
export const NO_AXIS = 255;

/** A decoded file may have so many values, or so many for each of its bytes, unless the reader is told otherwise. */
export const FREE_VALUES: number = 2 ** 20;
export const VALUES_PER_BYTE = 256;
/** And never more than so many. */
export const MOST_VALUES: number = 2 ** 29;
