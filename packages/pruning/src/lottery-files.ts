// The files of finished trainings: what they are named by, and what they hold.
import type { LayersModel, layers } from '@tensorflow/tfjs-layers';
import { CheckpointError, hashSeed, Random, readBytes, writeBytes } from '@thimble/base';
import {
  type BatchSource,
  decodeState,
  encodeState,
  type FitOptions,
  layersWithKernels,
  type StateValue,
  toSource,
  type WeightValues,
  walkLayers,
} from '@thimble/core';
import type { LotteryBranch, LotteryTicketOptions } from './lottery-ticket.ts';
import type { TrainingSetup } from './lottery-training.ts';

/** What a training leaves for those that stand on it. */
export interface Kept {
  branch: LotteryBranch;
  /** Of a ticket: the masks of the next round; null where nothing would be left of a layer. */
  masks: Uint8Array[] | null;
  /** The trained kernels of round 0. */
  trained: Float32Array[] | null;
  /** The weights to rewind to, where they are not the initial ones. */
  start: WeightValues | null;
  /** What the data was; files of older versions do not have it. */
  data?: string;
}

/** What a training depends on, beside its seed, kind and round. */
export interface Described {
  model: LayersModel;
  fraction: number;
  perLayer: Readonly<Record<string, number>>;
  rewindTo: number;
  criterion: { readonly name: string };
  setup: TrainingSetup;
}

/** The data of an experiment, read once: plain tensors become sources. */
export async function sourcesOf(
  owner: string,
  model: LayersModel,
  {
    data,
    validationData,
    testData,
  }: Pick<LotteryTicketOptions, 'data' | 'validationData' | 'testData'>,
): Promise<{ data: BatchSource; validationData: BatchSource; testData?: BatchSource }> {
  const fixed = ({ shape }: { shape: (number | null)[] }) =>
    shape.slice(1).includes(null) ? undefined : (shape.slice(1) as number[]);
  const shapes = { inputs: model.inputs.map(fixed), outputs: model.outputs.map(fixed) };
  return {
    data: await toSource(data, shapes, owner),
    validationData: await toSource(validationData, shapes, `${owner}: validationData`),
    ...(testData ? { testData: await toSource(testData, shapes, `${owner}: testData`) } : {}),
  };
}

const LOOKED_AT = 32;

/** Tells data sets of one size apart, by some examples of each; those that vary are not looked at. */
export async function fingerprintOf(
  sources: readonly (BatchSource | undefined)[],
): Promise<string> {
  const prints: string[] = [];
  for (const source of sources) {
    if (!source || source.varies) {
      prints.push('-');
      continue;
    }
    const count = Math.min(LOOKED_AT, source.size);
    const places = Uint32Array.from({ length: count }, (_, i) =>
      Math.floor((i * source.size) / count),
    );
    const batch = source.batch(places, new Random('lottery', 'data'));
    const tensors = ('xs' in batch ? [batch.xs, batch.ys] : [batch.images, batch.labels]).flat();
    const values = await Promise.all(tensors.map((tensor) => tensor.data()));
    for (const tensor of tensors) tensor.dispose();
    prints.push(hashSeed(...values.map((numbers) => numbers.join())).toString(16));
  }
  return prints.join(' ');
}

/** The kept training of a file; undefined where there is none. */
export async function readBranch(path: string, data: string): Promise<Kept | undefined> {
  const bytes = await readBytes(path);
  if (!bytes) return undefined;
  const kept = decodeState(bytes, `The finished training ${path}`) as unknown as Kept;
  if (!kept?.branch) {
    throw new CheckpointError(
      `${path} holds no finished training. Remove it, or use another folder.`,
    );
  }
  if (kept.data !== undefined && kept.data !== data) {
    throw new CheckpointError(
      `The finished training ${path} is of other data of the same size. Use another folder.`,
    );
  }
  return kept;
}

/** Keeps a training in a file. */
export async function writeBranch(path: string, kept: Kept): Promise<void> {
  await writeBytes(path, encodeState(kept as unknown as StateValue));
}

/** A file name that tells what a training is, and a hash of what it depends on. */
export function branchName(
  { model, fraction, perLayer, rewindTo, criterion, setup }: Described,
  seed: number | string,
  kind: LotteryBranch['kind'],
  round: number,
): string {
  const { signal: _, progress: __, callbacks = [], ...training } = setup.training;
  const fractionOf = ({ name }: { name: string }) => perLayer[name] ?? fraction;
  const inner = layersWithKernels(model).filter((layer) => !model.layers.includes(layer));
  const sizeOf = (data: unknown) => (data as { size?: number } | undefined)?.size ?? 0;
  const described = JSON.stringify(
    {
      architecture: architectureOf(model),
      training: [withSchedule(training, sizeOf(setup.data)), callbacks.length],
      evaluateEvery: setup.evaluateEvery,
      sizes: [setup.data, setup.validationData, setup.testData].map(sizeOf),
      ...(round === 0
        ? {}
        : {
            fractions: model.layers.map(fractionOf),
            ...(inner.length > 0 ? { inner: inner.map(fractionOf) } : {}),
            criterion: criterion.name,
          }),
      rewindTo,
    },
    (_key, value) => (typeof value === 'function' ? String(value) : value),
  );
  const hash = [1, 2].map((salt) => hashSeed(salt, described).toString(16).padStart(8, '0'));
  const named = typeof seed === 'number' ? seed : encodeURIComponent(`"${seed}"`);
  return `seed-${named}-${kind}-${round}-${hash.join('')}.branch`;
}

const SAMPLES = 64;

/** Schedules are told apart by their rates: their text is the same for all that one function makes. */
function withSchedule(training: FitOptions, size: number): object {
  const { learningRate, epochs = 1, batchSize = 32, accumulate = 1 } = training;
  if (typeof learningRate !== 'function') return training;
  const stepsPerEpoch = Math.ceil(size / (batchSize * accumulate));
  const rates = Array.from({ length: SAMPLES }, (_, i) => {
    const step = Math.floor((i * stepsPerEpoch * epochs) / SAMPLES);
    const epoch = Math.floor(step / stepsPerEpoch);
    return learningRate({ epoch, step, stepsPerEpoch, epochs });
  });
  return { ...training, learningRate: rates };
}

/** What a network is, without the names of its layers: tfjs numbers them through from model to model. */
function architectureOf(model: LayersModel): string {
  const layers = walkLayers(model);
  const names = [...layers, ...layers.flatMap(hiddenIn)].map(({ name }) => name);
  return JSON.stringify(model.getConfig(), (key, value) => {
    if (key === 'name' && value === model.name) return 'model';
    const place = typeof value === 'string' ? names.indexOf(value) : -1;
    return place < 0 ? value : `layer ${place}`;
  });
}

/** What a layer's config names beside the layers inside it: the pattern of a Bidirectional, cells. */
function hiddenIn(layer: layers.Layer): layers.Layer[] {
  const { layer: pattern, cell, cells = [] } = layer as unknown as Inner;
  const found = [pattern, cell, ...cells].filter((inner) => inner !== undefined);
  return found.flatMap((inner) => [inner, ...hiddenIn(inner)]);
}

interface Inner {
  layer?: layers.Layer;
  cell?: layers.Layer;
  cells?: layers.Layer[];
}
