// Where checkpoints are kept, what is in them, and reading them outside of `fit`.
import type { LayersModel } from '@tensorflow/tfjs-layers';
import {
  CheckpointError,
  checkInteger,
  checkOptions,
  OptionError,
  readBytes,
  writeBytes,
} from '@thimble/base';
import { decodeState, encodeState } from './checkpoint-file.ts';
import type { StateValue } from './training.ts';
import { type WeightValues, writeWeights } from './weight-values.ts';

/** A place for one checkpoint, for example in IndexedDB. `write` must replace all or nothing. */
export interface CheckpointStore {
  read(): Promise<Uint8Array | undefined>;
  write(bytes: Uint8Array): Promise<void>;
}

/** Where and how often `fit` writes its checkpoint. */
export interface CheckpointOptions {
  /** A file; Node only. Either this or `store`. */
  path?: string;
  store?: CheckpointStore;
  /** Also after every so many optimizer steps. */
  everySteps?: number;
  /** After every so many epochs; default 1. The end of training and an abort always write. */
  everyEpochs?: number;
}

/** Checkpointing as `fit` uses it. */
export interface Checkpointing {
  name: string;
  store: CheckpointStore;
  everySteps: number;
  everyEpochs: number;
}

/** All that a run needs to go on as if it had never stopped. */
export interface Checkpoint {
  /** What the run was started with; a run with another fingerprint cannot go on from here. */
  fingerprint: Record<string, StateValue>;
  /** Epochs that the run was to take. */
  epochs: number;
  /** True when something ended the run before that: early stopping or a callback. */
  stopped: boolean;
  /** Epochs that are complete. */
  epoch: number;
  /** Optimizer steps of the epoch after those. */
  stepInEpoch: number;
  /** Optimizer steps in all. */
  step: number;
  /** Time that training took, in seconds. */
  seconds: number;
  /** Sums of the unfinished epoch, for its means. */
  sums: { examples: number; means: Record<string, number>; totals: Record<string, number> };
  /** One number per complete epoch under each key. */
  logs: Record<string, number[]>;
  weights: WeightValues;
  trainable: Record<string, boolean>;
  optimizer: StateValue;
  earlyStopping: StateValue;
  /** State of each callback that has any, by its position. */
  hooks: Record<string, StateValue>;
}

function fileStore(path: string): CheckpointStore {
  return { read: () => readBytes(path), write: (bytes) => writeBytes(path, bytes) };
}

function placeOf(place: string | CheckpointStore): { name: string; store: CheckpointStore } {
  return typeof place === 'string'
    ? { name: `The checkpoint ${place}`, store: fileStore(place) }
    : { name: 'The checkpoint', store: place };
}

/** Reads the option `checkpoint` of `fit`. */
export function checkpointing(option: string | CheckpointOptions): Checkpointing {
  const options = typeof option === 'string' ? { path: option } : option;
  checkOptions('fit: checkpoint', options, ['path', 'store', 'everySteps', 'everyEpochs']);
  const { path, store, everySteps = Number.MAX_SAFE_INTEGER, everyEpochs = 1 } = options;
  const place = path ?? store;
  if (place === undefined || (path !== undefined && store !== undefined)) {
    throw new OptionError('fit: checkpoint needs either a path or a store.');
  }
  checkInteger('fit: checkpoint', 'everySteps', everySteps, 1);
  checkInteger('fit: checkpoint', 'everyEpochs', everyEpochs, 1);
  return { ...placeOf(place), everySteps, everyEpochs };
}

/**
 * Reads a checkpoint that `fit` wrote, without a model; undefined where there is none.
 *
 * @throws CheckpointError when it is truncated or corrupt.
 *
 * @example
 * const checkpoint = await readCheckpoint('run/checkpoint');
 * console.log(checkpoint?.epoch, checkpoint?.logs.loss);
 */
export async function readCheckpoint(
  place: string | CheckpointStore,
): Promise<Checkpoint | undefined> {
  return readFrom(placeOf(place));
}

/** As {@link readCheckpoint}, from a place that has a name for messages. */
export async function readFrom({
  name,
  store,
}: Pick<Checkpointing, 'name' | 'store'>): Promise<Checkpoint | undefined> {
  const bytes = await store.read();
  return bytes && (decodeState(bytes, name) as unknown as Checkpoint);
}

/** Writes a checkpoint; whoever reads sees the old one or this one, never a part. */
export async function writeCheckpoint(
  store: CheckpointStore,
  checkpoint: Checkpoint,
): Promise<void> {
  await store.write(encodeState(checkpoint as unknown as StateValue));
}

/**
 * Loads the weights of a checkpoint into a model of the same build: those of the last step, or with
 * `best` those of the best epoch that early stopping has seen.
 *
 * @throws CheckpointError when there is none, it is corrupt or of another model.
 *
 * @example
 * await fit(model, train, { epochs: 2, checkpoint: 'run/checkpoint' });
 * await loadCheckpointWeights(model, 'run/checkpoint');
 */
export async function loadCheckpointWeights(
  model: LayersModel,
  place: string | CheckpointStore,
  options: { best?: boolean } = {},
): Promise<void> {
  checkOptions('loadCheckpointWeights', options, ['best']);
  const checkpoint = await readCheckpoint(place);
  const { name } = placeOf(place);
  if (!checkpoint) throw new CheckpointError(`${name} does not exist.`);
  const best = checkpoint.earlyStopping as { bestWeights: WeightValues | null } | null;
  if (options.best && !best?.bestWeights) {
    throw new CheckpointError(`${name} holds no best weights: the run had no early stopping.`);
  }
  writeWeights(model, options.best ? best!.bestWeights! : checkpoint.weights);
}

/** Throws a CheckpointError that says in what a run differs from the one that wrote the checkpoint. */
export function checkFingerprint(
  name: string,
  saved: Record<string, StateValue>,
  now: Record<string, StateValue>,
): void {
  const show = (value: StateValue | undefined) => JSON.stringify(value) ?? 'nothing';
  const differences = [...new Set([...Object.keys(saved), ...Object.keys(now)])]
    .filter((key) => show(saved[key]) !== show(now[key]))
    .map((key) => `${key} was ${show(saved[key])} and is ${show(now[key])}`);
  if (differences.length > 0) {
    throw new CheckpointError(
      `${name} belongs to another run: ${differences.join('; ')}. Continue with the same options, or use another checkpoint.`,
    );
  }
}
