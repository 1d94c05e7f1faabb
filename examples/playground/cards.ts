// What the page knows of a network before it loads it.

/** A network that is kept as a file. */
export interface Card {
  /** The file is `<id>.thimble`. */
  id: string;
  title: string;
  about: string;
  /** Of the file. */
  bytes: number;
  macs: number;
  /** Errors on the test set, one per exit. */
  errors: number[];
  /** Of a slimmable network. */
  width?: number;
}

/** networks.json */
export interface Listing {
  command: string;
  data: string;
  testSize: number;
  cards: Card[];
  /** Digits of the test set: 28 x 28 bytes each, as base64. */
  samples: { label: number; pixels: string }[];
}
