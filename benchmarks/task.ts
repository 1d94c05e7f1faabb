// What a benchmark is.
import type { Row } from 'thimble-examples/shared/table';

/** What a benchmark gives back: a table to print and the measured figures to keep. */
export interface Measured {
  table: Row[];
  figures: unknown;
  /** For a page beside the figures: paragraphs of plain text and pieces of HTML such as charts. */
  page?: { title: string; paragraphs: string[]; pieces: string[] };
}

/** A benchmark: what it measures in a line, and how. `repeats` is the number of interleaved rounds. */
export interface Task {
  about: string;
  run(repeats: number): Promise<Measured>;
}
