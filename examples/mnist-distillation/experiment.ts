// What both presets share: a network trained in one place, and what became of it.
import type { LayersModel } from '@tensorflow/tfjs-layers';
import { type data, type History, summarize } from 'thimble';
import { testErrors } from '../shared/test-errors.ts';

export type ImageDataset = data.ImageDataset;

/** One trained network. */
export interface Trained {
  name: string;
  parameters: number;
  bytes: number;
  /** Images that it was trained on. */
  images: number;
  /** Errors on the test set. */
  errors: number;
  testSize: number;
  seconds: number;
  /** Error in percent on the validation images after each epoch. */
  validationError: number[];
  /** Further facts worth a line, for example how many threes were found. */
  notes: Record<string, number>;
}

export interface RunOptions {
  train: ImageDataset;
  test: ImageDataset;
  seed: number;
  signal?: AbortSignal;
  progress: boolean;
  /** Folder for checkpoints; without it an interrupted run starts anew. */
  checkpoints?: string;
}

/** Puts together what became of one network. */
export async function describe(
  model: LayersModel,
  history: History,
  { train, test }: { train: ImageDataset; test: ImageDataset },
  notes: Record<string, number> = {},
): Promise<Trained> {
  const { params, bytes } = summarize(model).total;
  const errors = await testErrors(model, test);
  return {
    name: model.name,
    parameters: params,
    bytes,
    images: train.size,
    errors,
    testSize: test.size,
    seconds: history.seconds,
    validationError: (history.logs.val_accuracy ?? []).map((accuracy) => 100 * (1 - accuracy)),
    notes,
  };
}
