// Batch normalisation as part of the layer before it, also in training: what is rounded is then the kernel
// that integers will multiply with.
import * as tf from '@tensorflow/tfjs-core';
import type { LayersModel, layers } from '@tensorflow/tfjs-layers';
import {
  type CallTransform,
  callLinks,
  decorateCall,
  foldBatchNorm,
  foldReport,
  parametrize,
  parametrizedWeights,
  registerCallTransform,
  registerTransform,
  type Site,
  type WeightTransform,
  walkLayers,
} from '@thimble/core';
import { Numbers } from './activation.ts';
import { untracked } from './codes.ts';
import { checkModel } from './targets.ts';

/** What batch normalisation adds to a layer. */
interface Norm {
  gamma: tf.Variable;
  beta: tf.Variable;
  mean: tf.Variable;
  variance: tf.Variable;
}

interface NormOptions {
  epsilon: number;
}

interface CallOptions extends NormOptions {
  momentum: number;
}

const SCALE = 'ThimbleNormScale';
const SHIFT = 'ThimbleNormShift';
const CALL = 'ThimbleFusedNorm';

/** The kernels, by the class of the layer, with which the channels of the output are made. */
const KERNEL_OF: Record<string, string> = {
  DepthwiseConv2D: 'depthwiseKernel',
  SeparableConv2D: 'pointwiseKernel',
};

/** Of each layer, shared by the transforms of its kernel, its bias and its call. */
const norms = new WeakMap<layers.Layer, Norm>();

/**
 * A new model in which batch normalisation is part of the layers that `foldBatchNorm` would fold it into,
 * and goes on being trained there, for `quantizeAware`. With kernel w, bias b, moving mean m and variance v:
 *
 * - the layer computes with the kernel `w a`, `a = gamma / sqrt(v + epsilon)`, and the bias
 *   `(b - m) a + beta`; transforms put on afterwards, as rounding, get this kernel. Shared values (`codebook` but
 *   for one per channel, `hashed`) would be scaled too and are refused: they go on what `foldBatchNorm` gives
 * - in training its output y is put right for the statistics of the batch,
 *   `(y - mean(y)) sqrt(v + epsilon) / sqrt(var(y) / a^2 + epsilon) + beta`, which without rounding is what
 *   convolution and batch normalisation give, with the same gradients; m and v move as there. A channel
 *   with gamma 0 gives beta, and m and v do not move
 * - at test time, and in training once frozen (`quantizationAwareTraining`, `freezeBatchNormAfter`), y is the
 *   output
 *
 * Layers, names and values are those of the model given, which stays as it was; its transforms are baked.
 * `foldReport` tells what was fused. The new model is not compiled.
 *
 * Paper: Jacob et al. 2018, section 3.2; Krishnamoorthi, "Quantizing deep convolutional networks for
 * efficient inference", 2018, section 3.2.2.
 *
 * @throws {UnsupportedError} when the model is not built yet.
 * @example
 * const fused = quantizeAware(await fuseBatchNorm(model), { weights: 8, activations: 8 });
 */
export async function fuseBatchNorm(model: LayersModel): Promise<LayersModel> {
  checkModel('fuseBatchNorm', model);
  const fused = await foldBatchNorm(model);
  const before = new Map(walkLayers(model).map((layer) => [layer.name, layer]));
  const after = new Map(walkLayers(fused).map((layer) => [layer.name, layer]));
  for (const { name, into } of foldReport(fused).folded) {
    tf.tidy(() => fuse(before.get(into)!, before.get(name)!, after.get(into)!));
  }
  return fused;
}

function fuse(layer: layers.Layer, norm: layers.Layer, target: layers.Layer): void {
  const { className } = target.constructor as unknown as { className: string };
  const kernel = KERNEL_OF[className] ?? 'kernel';
  const { epsilon, momentum } = norm as unknown as CallOptions;
  // The kernel and the bias as they were before they were folded.
  const chains = new Map(parametrizedWeights(layer).map((one) => [one.weight, one]));
  const own = layer as unknown as Record<string, { read(): tf.Tensor } | null>;
  const to = target as unknown as Record<string, { read(): tf.Tensor }>;
  for (const role of [kernel, 'bias']) {
    const stored = to[role]!.read() as tf.Variable;
    stored.assign(chains.get(role)?.bake() ?? own[role]?.read() ?? tf.zerosLike(stored));
  }
  parametrize(target, { [kernel]: [normScale({ epsilon })], bias: [normShift({ epsilon })] });
  decorateCall(target, [fusedNorm({ epsilon, momentum })]);
  const from = norm as unknown as Record<string, { read(): tf.Tensor } | undefined>;
  const { gamma, beta, mean, variance } = norms.get(target)!;
  if (from.gamma) gamma.assign(from.gamma.read());
  if (from.beta) beta.assign(from.beta.read());
  mean.assign(from.movingMean!.read());
  variance.assign(from.movingVariance!.read());
}

/** a, for each channel of the output. */
function factorOf({ gamma, variance }: Norm, epsilon: number): tf.Tensor {
  return tf.div(gamma, tf.sqrt(tf.add(variance, epsilon)));
}

/** The kernel times a, along its outputs. */
function normScale(options: NormOptions): WeightTransform<{ norm: Norm; shape: number[] }> {
  const scaled = (weight: tf.Tensor, { norm, shape }: { norm: Norm; shape: number[] }) =>
    tf.mul(weight, tf.reshape(factorOf(norm, options.epsilon), shape));
  return {
    getClassName: () => SCALE,
    getConfig: () => ({ ...options }),
    build: (site) => {
      const shape = channelShape(site);
      const channels = [shape.reduce((n, size) => n * size, 1)];
      const add = (name: string, initial: number, trainable: boolean) =>
        site.addWeight(name, channels, initial, trainable);
      const norm = {
        gamma: add('gamma', 1, true),
        beta: add('beta', 0, true),
        mean: add('moving_mean', 0, false),
        variance: add('moving_variance', 1, false),
      };
      norms.set(site.owner, norm);
      return { norm, shape };
    },
    apply: scaled,
    bake: scaled,
    // What came before had values or a grid of its own, which are scaled now.
    encoding: () => ({ values: { type: 'float', bits: 32 } }),
  };
}
registerTransform(
  SCALE,
  (config) => normScale(config as unknown as NormOptions) as WeightTransform,
);

/** Ones but where the channels of the output are: for a depthwise kernel these take two axes. */
function channelShape({ weight, shape, axes }: Site): number[] {
  return shape.map((size, i) =>
    i === axes.out || (weight === 'depthwiseKernel' && i === shape.length - 1) ? size : 1,
  );
}

/** The bias put right for mean and beta. */
function normShift(options: NormOptions): WeightTransform<Norm> {
  const shifted = (bias: tf.Tensor, norm: Norm) =>
    tf.add(tf.mul(tf.sub(bias, norm.mean), factorOf(norm, options.epsilon)), norm.beta);
  return {
    getClassName: () => SHIFT,
    getConfig: () => ({ ...options }),
    build: (site) => norms.get(site.owner)!,
    apply: shifted,
    bake: shifted,
    encoding: () => ({}),
  };
}
registerTransform(
  SHIFT,
  (config) => normShift(config as unknown as NormOptions) as WeightTransform,
);

interface FusedState {
  norm: Norm;
  /** 1 once the statistics stay. */
  frozen: Numbers;
  channelsFirst: boolean;
}

function fusedNorm(options: CallOptions): CallTransform<FusedState> {
  const statistics: { momentum?: number } = {};
  return {
    statistics,
    getClassName: () => CALL,
    getConfig: () => ({ ...options }),
    build: ({ layer, addWeight }) => ({
      norm: norms.get(layer)!,
      frozen: new Numbers(addWeight('norm_frozen', [], 0, false)),
      channelsFirst: (layer as unknown as { dataFormat?: string }).dataFormat === 'channelsFirst',
    }),
    call(run, inputs, state, { training }) {
      const y = run(inputs) as tf.Tensor;
      if (!training) return y;
      const { momentum } = statistics;
      if (momentum === undefined && state.frozen.values[0] === 1) return y;
      return normalized(y, state, { ...options, ...(momentum === undefined ? {} : { momentum }) });
    },
  };
}
registerCallTransform(
  CALL,
  (config) => fusedNorm(config as unknown as CallOptions) as CallTransform,
);

/** The output put right for the statistics of the batch; moves the running ones. */
function normalized(y: tf.Tensor, { norm, channelsFirst }: FusedState, options: CallOptions) {
  const { epsilon, momentum } = options;
  const channels = channelsFirst ? 1 : y.rank - 1;
  const axes = y.shape.map((_, i) => i).filter((i) => i !== channels);
  const broadcast = y.shape.map((size, i) => (i === channels ? size : 1));
  const { mean, variance } = tf.moments(y, axes);
  const factor = factorOf(norm, epsilon);
  // Where a is 0 the output is the same everywhere, and its variance 0: it is divided by 1.
  const dead = untracked(() => tf.cast(tf.equal(factor, 0), 'float32'));
  const batchVariance = tf.div(variance, tf.add(tf.square(factor), dead));
  const spread = tf.sqrt(
    tf.add(
      untracked(() => tf.clone(norm.variance)),
      epsilon,
    ),
  );
  const gain = tf.div(spread, tf.sqrt(tf.add(batchVariance, epsilon)));
  untracked(() =>
    tf.tidy(() => {
      const rate = tf.mul(tf.sub(1, dead), 1 - momentum);
      const offset = tf.div(tf.sub(mean, norm.beta), tf.add(factor, dead));
      norm.mean.assign(tf.add(norm.mean, tf.mul(offset, rate)));
      const change = tf.sub(batchVariance, norm.variance);
      norm.variance.assign(tf.add(norm.variance, tf.mul(change, rate)));
    }),
  );
  const along = (perChannel: tf.Tensor) => tf.reshape(perChannel, broadcast);
  return tf.add(tf.mul(tf.sub(y, along(mean)), along(gain)), along(norm.beta));
}

/** The axes along which fused batch normalisation scales a weight of a layer; undefined where it does not. */
export function scaledAxes(layer: layers.Layer, weight: string): number[] | undefined {
  const chain = parametrizedWeights(layer).find((each) => each.weight === weight);
  const link = chain?.links.find(({ transform }) => transform.getClassName() === SCALE);
  const { shape } = (link?.state ?? {}) as { shape?: number[] };
  return shape?.flatMap((size, axis) => (size === 1 ? [] : [axis]));
}

/** True for a layer that batch normalisation was fused into. */
export function hasFusedNorm(layer: layers.Layer): boolean {
  return callLinks(layer).some(({ transform }) => transform.getClassName() === CALL);
}

/** Holds the statistics of all fused batch normalisation of a model still, or lets them move. */
export function freezeFusedNorms(model: layers.Layer, frozen: boolean): void {
  for (const layer of walkLayers(model)) {
    for (const { transform, state } of callLinks(layer)) {
      if (transform.getClassName() !== CALL) continue;
      const { values, variable } = (state as FusedState).frozen;
      if ((values[0] === 1) !== frozen) {
        tf.tidy(() => variable.assign(tf.scalar(frozen ? 1 : 0)));
      }
    }
  }
}
