// What layers do about channels that they no longer get.
import * as tf from '@tensorflow/tfjs-core';
import type { LayersModel, layers } from '@tensorflow/tfjs-layers';
import { Random, sizeOf, UnsupportedError } from '@thimble/base';
import {
  type ChannelGroup,
  channelGroups,
  LeastSquares,
  linearPart,
  type Probe,
  probe,
  type Traced,
  trace,
} from '@thimble/core';
import { Contributions, inputOf, type Reader, readersOf } from './contributions.ts';
import { DEFAULT_EXAMPLES, type EvidenceOptions, requireData } from './evidence.ts';

/** What can be done about removed channels. */
export type Compensation = 'none' | 'mean' | 'scale' | 'leastSquares';

/** Names of all of them. */
export const COMPENSATIONS: readonly Compensation[] = ['none', 'mean', 'scale', 'leastSquares'];

/** A share of the mean square of the inputs that keeps least squares from splitting hairs. */
const RIDGE = 1e-3;
/** Places per example that kernels are fitted at. */
const PLACES = 10;

type Removed = Readonly<Record<string, readonly number[]>>;

/** A layer of the model that loses inputs, with its like in the smaller one. */
interface Loser extends Pick<Reader, 'path' | 'layer'> {
  /** What it reads of the groups that lose channels: by group the channel for every index of its input. */
  reads: Map<ChannelGroup, Int32Array>;
  /** For every index of its input 1 where the channel is removed, of whichever group, else 0. */
  gone: Int32Array;
  smaller: layers.Layer;
  /** Which of its outputs are left. */
  outputs: number[];
}

/** Adjusts the readers of removed channels in `smaller`, in place. */
export async function compensate(
  owner: string,
  model: LayersModel,
  smaller: LayersModel,
  removed: Removed,
  compensation: Compensation,
  options: EvidenceOptions,
): Promise<void> {
  if (compensation === 'none') return;
  const data = requireData(owner, `of compensation '${compensation}'`, options);
  const losers = losersOf(owner, model, smaller, removed);
  const pass = (of: LayersModel, layers: layers.Layer[], visit: (probe: Probe) => void) =>
    probe(
      of,
      data,
      {
        layers,
        limit: options.examples ?? DEFAULT_EXAMPLES,
        batchSize: options.batchSize ?? 100,
        progress: false,
        signal: options.signal,
      },
      visit,
    );
  if (compensation === 'mean') await fillMeans(owner, model, losers, pass);
  else if (compensation === 'scale') await scale(model, losers, removed, options, pass);
  else for (const loser of losers) await fit(model, smaller, loser, options, pass);
}

type Pass = (
  of: LayersModel,
  layers: layers.Layer[],
  visit: (probe: Probe) => void,
) => Promise<void>;

/** The layers that lose inputs, each once, however many groups it loses them of. */
function losersOf(
  owner: string,
  model: LayersModel,
  smaller: LayersModel,
  removed: Removed,
): Loser[] {
  const groups = channelGroups(model);
  const traced = trace(model);
  const after = trace(smaller);
  const losers = new Map<string, Loser>();
  for (const group of groups) {
    const gone = new Set(removed[group.name] ?? []);
    if (gone.size === 0) continue;
    const readers = readersOf(group, traced);
    const skipped = group.consumers.find((path) => readers.every((reader) => reader.path !== path));
    if (skipped !== undefined) {
      throw new UnsupportedError(
        `${owner}: "${skipped}" cannot make up for channels of "${group.name}", as it is no linear ` +
          "function of them. Use compensation 'none', or ignore the group.",
      );
    }
    for (const { path, layer, channels } of readers) {
      const loser = losers.get(path) ?? {
        path,
        layer,
        reads: new Map<ChannelGroup, Int32Array>(),
        gone: new Int32Array(channels.length),
        smaller: after.layers.get(path)!,
        outputs: keptOutputs(path, groups, removed),
      };
      losers.set(path, loser);
      loser.reads.set(group, channels);
      channels.forEach((channel, i) => {
        if (gone.has(channel)) loser.gone[i] = 1;
      });
    }
  }
  return [...losers.values()];
}

/** Numbers of the outputs of a layer that are left. */
export function keptOutputs(
  path: string,
  groups: readonly ChannelGroup[],
  removed: Removed,
): number[] {
  const gone = new Set<number>();
  let size = 0;
  for (const group of groups) {
    const member = group.members.find(
      ({ layer, weight, role }) => layer === path && role === 'out' && /kernel$/i.test(weight),
    );
    if (!member) continue;
    size = member.channels.length;
    const chosen = new Set(removed[group.name] ?? []);
    member.channels.forEach((channel, i) => {
      if (channel >= 0 && chosen.has(channel)) gone.add(i);
    });
  }
  return Array.from({ length: size }, (_, i) => i).filter((i) => !gone.has(i));
}

/** The bias of a layer; throws where it has none. */
function biasOf(owner: string, { smaller }: Loser): tf.Variable {
  const { bias } = smaller as unknown as { bias?: { read(): tf.Variable } | null };
  if (bias) return bias.read();
  throw new UnsupportedError(
    `${owner}: "${smaller.name}" has no bias to take up the mean of what it misses. Use compensation ` +
      "'scale' or 'leastSquares', or give the layer a bias.",
  );
}

/** `b_o += mean over examples and positions of what the removed channels add to answer o`. */
async function fillMeans(
  owner: string,
  model: LayersModel,
  losers: readonly Loser[],
  pass: Pass,
): Promise<void> {
  const biases = losers.map((loser) => biasOf(owner, loser));
  const layers = losers.map(({ layer }) => layer);
  const sums = losers.map(() => ({ total: [] as Float32Array[], rows: 0 }));
  await pass(model, layers, ({ inputs }) => {
    losers.forEach(({ layer, gone }, i) => {
      for (const input of inputs[i]!) {
        tf.tidy(() => {
          const missing = linearPart(
            layer,
            inputOf(input, gone, (isGone) => isGone === 1),
          );
          const rows = tf.reshape(missing, [-1, missing.shape.at(-1)!]);
          sums[i]!.total.push(Float32Array.from(tf.sum(rows, 0).dataSync()));
          sums[i]!.rows += rows.shape[0]!;
        });
      }
    });
  });
  losers.forEach(({ outputs }, i) => {
    const { total, rows } = sums[i]!;
    const shift = Float32Array.from(outputs, (o) => {
      return total.reduce((sum, batch) => sum + batch[o]!, 0) / rows;
    });
    tf.tidy(() => biases[i]!.assign(tf.add(biases[i]!, tf.tensor1d(shift))));
  });
}

/**
 * `min_beta sum over samples of (y - sum_j beta_j x_j)^2` over the kept channels j of a group, y being what all
 * of its channels contribute.
 */
async function scale(
  model: LayersModel,
  losers: readonly Loser[],
  removed: Removed,
  options: EvidenceOptions,
  pass: Pass,
): Promise<void> {
  const traced: Traced = trace(model);
  const groups = [...new Set(losers.flatMap(({ reads }) => [...reads.keys()]))].map((group) => {
    const gone = new Set(removed[group.name]);
    const kept = Array.from({ length: group.size }, (_, c) => c).filter((c) => !gone.has(c));
    const samples = new Contributions(group, traced, options.seed ?? 0);
    return { group, kept, samples, squares: new LeastSquares(kept.length, 1) };
  });
  const layers = [...new Set(groups.flatMap(({ samples }) => samples.layers))];
  await pass(model, layers, (seen) => {
    for (const { kept, samples, squares } of groups) {
      samples.sample(
        seen,
        (layer) => layers.indexOf(layer),
        (parts, whole) => {
          const rows = whole.length;
          const x = new Float32Array(rows * kept.length);
          kept.forEach((channel, k) => {
            for (let r = 0; r < rows; r++) x[r * kept.length + k] = parts[channel * rows + r]!;
          });
          squares.add(x, whole, rows);
        },
      );
    }
  });
  for (const { group, kept, squares } of groups) {
    const factors = squares.solve(RIDGE);
    const factorOf = new Map(kept.map((channel, k) => [channel, factors[k]!]));
    for (const loser of losers) {
      const channels = loser.reads.get(group);
      if (channels) scaleKernel(loser, channels, factorOf);
    }
  }
}

/** Multiplies what a layer gets from each kept channel of a group by its factor. */
function scaleKernel(
  { smaller, gone }: Loser,
  channels: Int32Array,
  factorOf: Map<number, number>,
): void {
  const name = 'depthwiseKernel' in smaller ? 'depthwiseKernel' : 'kernel';
  const variable = (smaller as unknown as Record<string, { read(): tf.Variable }>)[name]!.read();
  const factors = Float32Array.from(
    channels.filter((_, i) => gone[i] === 0),
    (channel) => factorOf.get(channel) ?? 1,
  );
  const transposed = /Transpose$/.test(smaller.getClassName());
  const axis = transposed ? variable.rank - 1 : variable.rank - 2;
  const shape = variable.shape.map((n, i) => (i === axis ? n : 1));
  tf.tidy(() => variable.assign(tf.mul(variable, tf.reshape(tf.tensor1d(factors), shape))));
}

/** Fits kernel and bias of one reader to the answers that it gave before, from what it gets now. */
async function fit(
  model: LayersModel,
  smaller: LayersModel,
  loser: Loser,
  options: EvidenceOptions,
  pass: Pass,
): Promise<void> {
  const target = loser.smaller as unknown as {
    kernel?: { read(): tf.Variable };
    bias?: { read(): tf.Variable } | null;
  };
  const className = loser.smaller.getClassName();
  if (!target.kernel || !/^(Dense|Conv\dD)$/.test(className)) {
    throw new UnsupportedError(
      `removeChannels: the kernel of "${loser.path}" (${className}) cannot be fitted by least squares. ` +
        "Use compensation 'mean' or 'scale', or ignore its group.",
    );
  }
  const kernel = target.kernel.read();
  const outputs = kernel.shape.at(-1)!;
  const width = kernel.size / outputs;
  const intercept = target.bias ? 1 : 0;
  const random = new Random(options.seed ?? 0, 'least squares', loser.path);
  const answers: Float32Array[] = [];
  const places: Uint32Array[] = [];
  await pass(model, [loser.layer], ({ inputs, batch }) => {
    for (const input of inputs[0]!) {
      tf.tidy(() => {
        const answer = linearPart(loser.layer, input);
        const all = answer.shape.at(-1)!;
        const rows = answer.size / all;
        const count = Math.min(rows, batch.size * PLACES);
        const chosen = random.permutation(rows).slice(0, count);
        const values = answer.dataSync();
        const wanted = new Float32Array(count * outputs);
        chosen.forEach((row, r) => {
          loser.outputs.forEach((o, k) => {
            wanted[r * outputs + k] = values[row * all + o]!;
          });
        });
        answers.push(wanted);
        places.push(chosen);
      });
    }
  });
  const squares = new LeastSquares(width + intercept, outputs);
  let next = 0;
  await pass(smaller, [loser.smaller], ({ inputs }) => {
    for (const input of inputs[0]!) {
      const chosen = places[next]!;
      const x = patches(loser.smaller, input, chosen, width, intercept);
      squares.add(x, answers[next++]!, chosen.length);
    }
  });
  const solved = squares.solve(RIDGE);
  const size = sizeOf(kernel.shape);
  tf.tidy(() => {
    kernel.assign(tf.tensor(solved.slice(0, size), kernel.shape));
    const { bias } = target;
    if (bias) bias.read().assign(tf.add(bias.read(), tf.tensor1d(solved.slice(size))));
  });
}

/**
 * What a layer multiplies its kernel with at some of its positions, row by row, with a 1 at the end where
 * there is a bias: its answer with the identity for a kernel.
 */
function patches(
  layer: layers.Layer,
  input: tf.Tensor,
  rows: Uint32Array,
  width: number,
  intercept: number,
): Float32Array {
  const target = layer as unknown as { kernel: { read(): tf.Tensor } };
  const { kernel } = target;
  const spatial = kernel.read().shape.slice(0, -1);
  return tf.tidy(() => {
    const identity = tf.reshape(tf.eye(width), [...spatial, width]);
    target.kernel = Object.create(kernel, { read: { value: () => identity } });
    try {
      const values = linearPart(layer, input).dataSync();
      const x = new Float32Array(rows.length * (width + intercept)).fill(1);
      rows.forEach((row, r) => {
        x.set(
          values.subarray(row * width, (row + 1) * width) as Float32Array,
          r * (width + intercept),
        );
      });
      return x as never;
    } finally {
      target.kernel = kernel;
    }
  });
}
