// How much a network suffers when the kernels of one of its layers get few bits, and the others do not.
import * as tf from '@tensorflow/tfjs-core';
import type { LayersModel } from '@tensorflow/tfjs-layers';
import {
  checkInteger,
  checkOptions,
  encodedBits,
  NonFiniteError,
  OptionError,
  type ProgressOption,
  Random,
  startProgress,
  UnsupportedError,
} from '@thimble/base';
import {
  axesOf,
  evaluate,
  type FitData,
  type LayerTargets,
  type LossName,
  layerWeight,
  lossAndGradients,
  losses,
  parametrizedWeights,
  type Site,
  summarize,
  toSource,
  walkLayers,
} from '@thimble/core';
import { type FakeQuantOptions, fakeQuant } from './fake-quant.ts';
import { type KernelSite, kernelSites } from './targets.ts';

/** Options of {@link sensitivityBits}. */
export interface SensitivityBitsOptions {
  /** What the loss is measured on: data to train or to validate on. */
  data: FitData;
  /** Default 'categoricalCrossentropy'. */
  loss?: LossName;
  /** Bits to try, each 2 to 16; default 2, 3, 4, 6, 8. */
  bits?: readonly number[];
  /**
   * 'loss' (default) quantises one layer at a time and measures the loss. 'hessian' estimates it by the
   * trace of the Hessian: two gradients per probe for all layers together, however many bits are tried.
   */
  method?: 'loss' | 'hessian';
  /** Fake quantisation besides its bits; default symmetric, narrow and per channel. */
  quantizer?: Omit<FakeQuantOptions, 'bits'>;
  /** For 'hessian': random directions to average over; default 8. */
  probes?: number;
  /** For 'hessian': examples that the gradients are taken on, from the first; default 512. */
  examples?: number;
  /** Seed of the directions; default 0. */
  seed?: number | string;
  /** The layers; default all with a kernel. */
  targets?: LayerTargets;
  /** Examples at a time while the loss is measured; default 100. */
  batchSize?: number;
  /** Default true. */
  progress?: ProgressOption;
  signal?: AbortSignal;
}

/** What one layer with some bits came to. */
export interface BitSensitivityRow {
  layer: string;
  bits: number;
  /** By how much the loss rises, this layer alone quantised; may be a little below 0. */
  rise: number;
  /** Bytes of the kernels of the layer, scales included. */
  bytes: number;
}

/** What {@link sensitivityBits} found; plain data, to keep as JSON. */
export interface BitSensitivity {
  /** Layer by layer, each from the fewest bits up. */
  rows: BitSensitivityRow[];
  /** Bytes of all else in the model: biases, and layers that were not scanned. */
  rest: number;
  quantizer: Omit<FakeQuantOptions, 'bits'>;
}

const OWNER = 'sensitivityBits';
const BITS = [2, 3, 4, 6, 8];
const QUANTIZER = { symmetric: true, narrowRange: true, perChannel: true };
/** How far a probe goes, relative to the root mean square of a kernel. */
const STEP = 1e-2;

/** A kernel with its stored variable, and the weight as its layer sees it. */
interface Kernel {
  site: Pick<Site, 'axes' | 'shape'>;
  variable: tf.Variable;
  seen(): tf.Tensor;
  mask: Uint8Array | undefined;
}
interface Scanned {
  name: string;
  kernels: Kernel[];
}

/**
 * How much the loss rises when the kernels of one layer get `b` bits, for every layer and every b.
 *
 * - 'loss': `L(Q_b(w_l), all other w) - L(w)`, measured; `layers * bits + 1` passes over the data
 * - 'hessian': `1/2 mean(diag H_l) |Q_b(w_l) - w_l|^2` with the Hessian H of the loss. Its trace is that of
 *   Hutchinson, the mean of `v . H v` over random signs v, and `H v` a difference of gradients,
 *   `(g(w + e v) - g(w - e v)) / 2e`. It presumes a trained network, where the gradient is near zero
 *
 * The rounding is that of {@link fakeQuant} with the option `quantizer`. Kernels with masks are quantised as
 * their layers see them. The model ends as it was, also when this throws. {@link bitsForBudget} chooses bits
 * by the result.
 *
 * Papers: Dong, Yao, Arfeen, Gholami, Mahoney, Keutzer, "HAWQ-V2: Hessian Aware trace-Weighted Quantization
 * of Neural Networks", 2020; Hutchinson, "A Stochastic Estimator of the Trace of the Influence Matrix", 1989.
 *
 * @throws {OptionError} for unknown options or bits out of range; {NoMatchError} for a target that matches no
 *   layer; {UnsupportedError} for a kernel with a codebook or another source; {NonFiniteError} naming the layer
 *   whose figure is NaN.
 * @example
 * const scan = await sensitivityBits(model, { data: test, bits: [2, 4, 8] });
 * const { bits } = bitsForBudget(scan, { bytes: 6000 });
 * quantizeByBits(model, bits);
 */
export async function sensitivityBits(
  model: LayersModel,
  options: SensitivityBitsOptions,
): Promise<BitSensitivity> {
  const { bits, method, quantizer } = resolve(options);
  const scanned = kernelSites(OWNER, model, options.targets).map((site) => scannedOf(model, site));
  const { progress = true } = options;
  const total = method === 'loss' ? scanned.length * bits.length + 1 : (options.probes ?? 8);
  const reporter = startProgress(progress, OWNER, total);
  try {
    let done = 0;
    const step = () => {
      options.signal?.throwIfAborted();
      reporter.update(++done);
    };
    const riseOf =
      method === 'loss'
        ? await measured(model, options, step)
        : await estimated(model, scanned, options, step);
    const rows: BitSensitivityRow[] = [];
    for (const [i, { name, kernels }] of scanned.entries()) {
      for (const each of bits) {
        const coded = kernels.map((kernel) => quantised(kernel, { ...quantizer, bits: each }));
        try {
          const rise = await riseOf(
            kernels,
            coded.map(({ weight }) => weight),
            i,
          );
          if (!Number.isFinite(rise)) {
            throw new NonFiniteError(`${OWNER}: layer "${name}" at ${each} bits comes to ${rise}.`);
          }
          const size = coded.reduce((sum, { stored }) => sum + stored, 0);
          rows.push({ layer: name, bits: each, rise, bytes: Math.ceil(size / 8) });
        } finally {
          tf.dispose(coded.map(({ weight }) => weight));
        }
      }
    }
    return { rows, rest: restOf(model, scanned), quantizer };
  } finally {
    reporter.stop();
  }
}

function resolve(options: SensitivityBitsOptions): {
  bits: number[];
  method: 'loss' | 'hessian';
  quantizer: Omit<FakeQuantOptions, 'bits'>;
} {
  checkOptions(OWNER, options, [
    ...['data', 'loss', 'bits', 'method', 'quantizer', 'probes', 'examples', 'seed', 'targets'],
    ...['batchSize', 'progress', 'signal'],
  ]);
  const {
    bits = BITS,
    method = 'loss',
    quantizer = QUANTIZER,
    probes = 8,
    examples = 512,
  } = options;
  if (method !== 'loss' && method !== 'hessian') {
    throw new OptionError(`${OWNER}: method must be loss or hessian, not "${String(method)}".`);
  }
  if (options.loss !== undefined && !Object.hasOwn(losses, options.loss)) {
    throw new OptionError(
      `${OWNER}: unknown loss "${options.loss}". Known: ${Object.keys(losses).join(', ')}.`,
    );
  }
  checkInteger(OWNER, 'probes', probes, 1);
  checkInteger(OWNER, 'examples', examples, 1);
  if (bits.length === 0) throw new OptionError(`${OWNER}: bits is an empty list.`);
  for (const each of bits) checkInteger(OWNER, 'bits', each, 2, 16);
  return { bits: [...new Set(bits)].sort((a, b) => a - b), method, quantizer };
}

function scannedOf(model: LayersModel, { layer, weights }: KernelSite): Scanned {
  const chains = parametrizedWeights(model);
  const kernels = walkLayers(layer).flatMap((part) =>
    weights.flatMap((name): Kernel[] => {
      const seen = layerWeight(part, name);
      if (!seen) return [];
      const chain = chains.find((each) => each.layer === part && each.weight === name);
      const source = chain?.links.find(({ transform }) => transform.source);
      if (source) {
        throw new UnsupportedError(
          `${OWNER}: "${name}" of layer "${part.name}" is made by ${source.transform.getClassName()}, not stored. ` +
            'Leave the layer out by targets, or finalize the model first.',
        );
      }
      const shape = seen.shape as number[];
      const site = { shape, axes: axesOf(part, name, shape) };
      const variable = chain?.variable ?? (seen.read() as tf.Variable);
      return [{ site, variable, seen: () => tf.clone(seen.read()), mask: chain?.encoding().mask }];
    }),
  );
  return { name: layer.name, kernels };
}

/** The kernel as it is with these bits: a tensor to dispose of, and the bits that it takes. */
function quantised(
  { site, seen, mask }: Kernel,
  options: FakeQuantOptions,
): { weight: tf.Tensor; stored: number } {
  const transform = fakeQuant(options);
  const state = transform.build(site as Site);
  return tf.tidy(() => {
    const before = seen();
    const { values } = transform.encoding(before, state);
    const encoding = { shape: site.shape, values: values!, nonzero: 0, ...(mask ? { mask } : {}) };
    return { weight: transform.bake(before, state), stored: encodedBits(encoding) };
  });
}

function restOf(model: LayersModel, scanned: readonly Scanned[]): number {
  const all = summarize(model).total.bits;
  const chains = parametrizedWeights(model);
  const own = scanned.flatMap(({ kernels }) =>
    kernels.map(({ variable }) => {
      const chain = chains.find((each) => each.variable === variable);
      return chain ? encodedBits(chain.encoding()) : 32 * variable.size;
    }),
  );
  return Math.ceil((all - own.reduce((sum, bits) => sum + bits, 0)) / 8);
}

type RiseOf = (kernels: Kernel[], coded: tf.Tensor[], layer: number) => number | Promise<number>;

async function measured(
  model: LayersModel,
  options: SensitivityBitsOptions,
  step: () => void,
): Promise<RiseOf> {
  const { data, loss = 'categoricalCrossentropy', batchSize = 100 } = options;
  const measure = async () => {
    const result = await evaluate(model, data, { loss, metrics: [], batchSize, progress: false });
    step();
    return result.loss!;
  };
  const whole = await measure();
  return async (kernels, coded) => {
    const before = kernels.map(({ variable }) => tf.clone(variable));
    try {
      kernels.forEach(({ variable }, i) => {
        variable.assign(coded[i]!);
      });
      return (await measure()) - whole;
    } finally {
      kernels.forEach(({ variable }, i) => {
        variable.assign(before[i]!);
      });
      tf.dispose(before);
    }
  };
}

async function estimated(
  model: LayersModel,
  scanned: readonly Scanned[],
  options: SensitivityBitsOptions,
  step: () => void,
): Promise<RiseOf> {
  const traces = await hessianTraces(model, scanned, options, step);
  return (kernels, coded, layer) => {
    const size = kernels.reduce((sum, { variable }) => sum + variable.size, 0);
    const squares = tf.tidy(() =>
      kernels.map(({ seen }, i) => tf.sum(tf.squaredDifference(seen(), coded[i]!)).dataSync()[0]!),
    );
    return ((traces[layer]! / size) * squares.reduce((sum, each) => sum + each, 0)) / 2;
  };
}

/** The trace of the Hessian of the loss for the kernels of each layer. */
async function hessianTraces(
  model: LayersModel,
  scanned: readonly Scanned[],
  options: SensitivityBitsOptions,
  step: () => void,
): Promise<number[]> {
  const { loss = 'categoricalCrossentropy', probes = 8, examples = 512, seed = 0 } = options;
  const source = await toSource(options.data, undefined, OWNER);
  const count = Math.min(examples, source.size);
  const raw = source.batch(
    Uint32Array.from({ length: count }, (_, i) => i),
    new Random(seed, OWNER),
  );
  const [xs, ys] = 'images' in raw ? [raw.images, raw.labels] : [raw.xs, raw.ys];
  const kernels = scanned.flatMap((each) => each.kernels);
  const variables = kernels.map(({ variable }) => variable);
  const before = variables.map((variable) => tf.clone(variable));
  const trained = variables.map(({ trainable }) => trainable);
  const sums = new Float64Array(scanned.length);
  const gradients = () =>
    lossAndGradients(() => {
      const outputs = [model.apply(xs as tf.Tensor, { training: false })].flat() as tf.Tensor[];
      const each = outputs.map((y, i) => tf.mean(losses[loss]([ys].flat()[i] as tf.Tensor, y)));
      return each.reduce((sum, value) => tf.add(sum, value)) as tf.Scalar;
    }, variables).gradients;
  try {
    for (const variable of variables) variable.trainable = true; // layers that are frozen count as well
    for (let probe = 0; probe < probes; probe++) {
      tf.tidy(() => {
        const random = new Random(seed, OWNER, probe);
        const signs = variables.map(({ shape, size }) =>
          tf.tensor(
            Float32Array.from({ length: size }, () => (random.integer(2) ? 1 : -1)),
            shape,
          ),
        );
        const steps = before.map((weight) =>
          Math.max(1e-6, STEP * Math.sqrt(tf.mean(tf.square(weight)).dataSync()[0]!)),
        );
        const at = (side: number) => {
          variables.forEach((variable, i) => {
            variable.assign(tf.add(before[i]!, tf.mul(signs[i]!, side * steps[i]!)));
          });
          return gradients();
        };
        const [up, down] = [at(1), at(-1)];
        const parts = signs.map((sign, i) => {
          const product = tf.sum(tf.mul(sign, tf.sub(up[i]!, down[i]!))).dataSync()[0]!;
          return product / (2 * steps[i]!);
        });
        let place = 0;
        for (const [i, each] of scanned.entries()) {
          for (const _ of each.kernels) sums[i]! += parts[place++]! / probes;
        }
      });
      step();
    }
    return [...sums];
  } finally {
    variables.forEach((variable, i) => {
      variable.assign(before[i]!);
      variable.trainable = trained[i]!;
    });
    tf.dispose([before, xs, ys] as tf.TensorContainer);
  }
}
