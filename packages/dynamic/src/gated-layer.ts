// Layers that compute parts of themselves for some samples only: gated blocks and gated channel groups.
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { checkInteger, OptionError } from '@thimble/base';
import { type ApplyPart, CompositeLayer, summarize } from '@thimble/core';
import { decide, shown } from './gates.ts';

type Layer = tfl.layers.Layer;
type LayerArgs = NonNullable<Parameters<typeof tfl.layers.flatten>[0]>;
type Kwargs = { [key: string]: unknown };

/** What all gated layers take. */
export interface GateOptions {
  /** Units of the gate's hidden layer with ReLU; default 16. 0: none. */
  hidden?: number;
  /** Initial bias of the gates' logits; default 2: open, with noise with the probability 0.88. */
  bias?: number;
  /**
   * Default false: gates open where the logit is above 0, in training too. True: they are drawn at random in training;
   * then a share of open gates is reached in training only, unless training is so long that gates become sure.
   */
  noise?: boolean;
}

/** Arguments of {@link gatedBlock}. */
export interface GatedBlockArgs extends GateOptions, LayerArgs {
  /** The layers of the block, new ones, applied in order; their output must have the shape of their input. */
  layers: readonly Layer[];
  /** The block has no gate of its own: it takes [x, decisions] and looks at this column of the decisions. */
  column?: number;
}

/** Arguments of {@link gatedConv2d}: those of `tf.layers.conv2d`, and its own. */
export type GatedConv2dArgs = Parameters<typeof tfl.layers.conv2d>[0] &
  GateOptions & {
    /** Groups of filters with a gate each; must divide `filters`. */
    groups: number;
  };

/**
 * A residual block that each sample takes or skips: `y = x + g F(x)`, with F the given layers and the gate g 0 or 1.
 *
 * - The gate: the mean over the places of x, a small hidden layer, one logit `l`. `g = 1` where `l > 0`
 * - In training the block is masked; backward through g as through a sigmoid (straight-through). With `noise` g is
 *   drawn anew for every sample and step, 1 with the probability `sigmoid(l)` (straight-through Gumbel)
 * - When predicting, F is computed for the samples that take the block alone, as a smaller batch. (The decision is
 *   read synchronously, which the backend webgpu cannot; there the block is masked.)
 *
 * {@link gateCost} teaches gates to close, {@link reinforcedGates} goes on from there as SkipNet does;
 * {@link gateUsage} tells who took what. With `column` another layer decides, see {@link policyGate}. The layers inside
 * are seen by masks, quantisation and summaries; a summary counts all of them.
 *
 * Papers: Wang et al., "SkipNet: Learning Dynamic Routing in Convolutional Networks", 2018, section 3; Veit, Belongie,
 * "Convolutional Networks with Adaptive Inference Graphs", 2018, section 3.2.
 *
 * @throws {OptionError} for an empty list of layers or impossible numbers; {OptionError} when it is built, where the
 *   layers change the shape.
 * @example
 * const { conv2d } = tfl.layers;
 * const block = gatedBlock({
 *   layers: [
 *     conv2d({ filters: 4, kernelSize: 3, padding: 'same', activation: 'relu' }),
 *     conv2d({ filters: 4, kernelSize: 3, padding: 'same' }),
 *   ],
 * });
 * block.apply(tf.zeros([2, 7, 7, 4])).shape; // [2, 7, 7, 4]
 */
export function gatedBlock(args: GatedBlockArgs): Layer {
  const { layers, ...rest } = args;
  if (!Array.isArray(layers) || layers.length === 0) {
    throw new OptionError('gatedBlock: layers must hold at least one layer.');
  }
  return new ThimbleGatedLayer({ ...rest, combine: 'add', branches: [layers] });
}

/**
 * A 2D convolution whose filters come in groups that each sample computes or leaves at zero: group k of the output is
 * `g_k activation(conv_k(x) + b_k)`. Gates, training and prediction are as in {@link gatedBlock}: when predicting, a
 * group is computed for the samples that want it alone. The paper has one agent over nested groups and learns it by
 * Q-learning; here each group has its own gate, and the gradient is straight-through.
 *
 * Paper: Lin et al., "Runtime Neural Pruning", 2017, section 3.
 *
 * @throws {OptionError} where `groups` does not divide `filters`.
 * @example
 * const layer = gatedConv2d({ filters: 8, kernelSize: 3, groups: 4, activation: 'relu' });
 * layer.apply(tf.zeros([2, 7, 7, 3])).shape; // [2, 5, 5, 8]
 */
export function gatedConv2d(args: GatedConv2dArgs): Layer {
  const { groups, hidden, bias, noise, name, filters, ...conv } = args;
  checkInteger('gatedConv2d', 'groups', groups, 1);
  checkInteger('gatedConv2d', 'filters', filters, 1);
  if (filters % groups !== 0) {
    throw new OptionError(`gatedConv2d: ${groups} groups do not divide ${filters} filters.`);
  }
  if (conv.dataFormat === 'channelsFirst') {
    throw new OptionError('gatedConv2d: channels must be last.');
  }
  const { batchInputShape, inputShape, ...shared } = conv;
  const branches = Array.from({ length: groups }, () => [
    tfl.layers.conv2d({ ...shared, filters: filters / groups }),
  ]);
  const own = { hidden, bias, noise, name, batchInputShape, inputShape };
  const given = Object.fromEntries(Object.entries(own).filter(([, value]) => value !== undefined));
  return new ThimbleGatedLayer({ ...given, combine: 'concat', branches });
}

type GateSettings = Required<GateOptions> & { combine: 'add' | 'concat'; column?: number };

interface GatedLayerArgs extends GateOptions, LayerArgs {
  combine: 'add' | 'concat';
  branches: readonly (readonly Layer[])[];
  column?: number;
}

class ThimbleGatedLayer extends CompositeLayer {
  static className = 'ThimbleGatedLayer';
  readonly #settings: GateSettings;
  readonly #branches: Layer[][];
  #macs: number[] = [];

  /** With the layers of the branches or, from a config, how many there are in each. */
  constructor(args: GatedLayerArgs | (Omit<GatedLayerArgs, 'branches'> & { sizes: number[] })) {
    const { combine, column, hidden = 16, bias = 2, noise = false } = args;
    const branches = 'branches' in args ? args.branches : [];
    const sizes = 'sizes' in args ? args.sizes : branches.map(({ length }) => length);
    const fixed = column === undefined ? {} : { column };
    const settings: GateSettings = { combine, hidden, bias, noise, ...fixed };
    super(args, { ...settings, sizes } as tf.serialization.ConfigDict);
    checkInteger(`gated layer "${this.name}"`, 'hidden', hidden, 0);
    if (column !== undefined) checkInteger(`gated layer "${this.name}"`, 'column', column, 0);
    this.#settings = settings;
    this.#branches = sizes.map((size, b) =>
      Array.from({ length: size }, (_, i) => {
        this.addPart(`branch${b}_${i}`, () => branches[b]![i]!);
        return this.part(`branch${b}_${i}`);
      }),
    );
    this.addPart('merge', (name) => new ThimbleGateMerge({ ...settings, name }));
    (this.part('merge') as ThimbleGateMerge).owner = this;
  }

  protected override get inputCount(): number {
    return this.#settings.column === undefined ? 1 : 2;
  }

  /** None for `finalize`, which would put layers in the place of this one that skip nothing. */
  override get body(): undefined {
    return undefined;
  }

  protected override prepare(inputShape: tfl.Shape): void {
    const { combine, column, hidden, bias } = this.#settings;
    if (combine === 'add') {
      const made = this.#branches[0]!.reduce(
        (shape, layer) => layer.computeOutputShape(shape) as tfl.Shape,
        inputShape,
      );
      const [from, to] = [inputShape, made].map((shape) => shape.slice(1).join(', '));
      if (from !== to) {
        throw new OptionError(
          `gated layer "${this.name}": the block makes [${to}] of [${from}]; it must keep the shape.`,
        );
      }
    }
    if (column !== undefined) return;
    const { dense, globalAveragePooling1d, globalAveragePooling2d } = tfl.layers;
    const rank = inputShape.length;
    if (rank === 4) this.addPart('gate_pool', (name) => globalAveragePooling2d({ name }));
    if (rank === 3) this.addPart('gate_pool', (name) => globalAveragePooling1d({ name }));
    if (hidden > 0) {
      this.addPart('gate_hidden', (name) => dense({ name, units: hidden, activation: 'relu' }));
    }
    const biasInitializer = tfl.initializers.constant({ value: bias });
    const units = this.#branches.length;
    this.addPart('gate', (name) => dense({ name, units, biasInitializer }));
  }

  /** The layers of the gate, none where another layer decides. */
  get #gate(): Layer[] {
    return ['gate_pool', 'gate_hidden', 'gate']
      .filter((role) => this.hasPart(role))
      .map((role) => this.part(role));
  }

  override connect<T>(input: T, apply: ApplyPart<T>, [given]: readonly T[]): T {
    const through = (layers: readonly Layer[]) =>
      layers.reduce((value, layer) => apply(layer, value), input);
    const outputs = this.#branches.map(through);
    return apply(this.part('merge'), [input, ...outputs, given ?? through(this.#gate)]);
  }

  override build(inputShape: tfl.Shape | tfl.Shape[]): void {
    super.build(inputShape);
    this.#macs = this.#branches.map((layers) => {
      const outputs = layers.at(-1)!.output as tfl.SymbolicTensor;
      return summarize(tfl.model({ inputs: this.inputs![0]!, outputs })).total.macs;
    });
  }

  /** Multiply-accumulates of the branches. */
  get macs(): readonly number[] {
    return this.#macs;
  }

  override call(inputs: tf.Tensor | tf.Tensor[], kwargs: Kwargs): tf.Tensor {
    if (kwargs?.training || tf.getBackend() === 'webgpu') return super.call(inputs, kwargs);
    return tf.tidy(() => this.#split([inputs].flat() as tf.Tensor[]));
  }

  /** Computes every branch for the samples alone whose gate is open. */
  #split([x, given]: tf.Tensor[]): tf.Tensor {
    const { combine, column } = this.#settings;
    const { macs } = this;
    let gates: tf.Tensor;
    if (column === undefined) {
      const logits = run(this.#gate, x!);
      gates = shown({ layer: this, gates: step0(logits), logits, macs });
    } else {
      gates = columnOf(given!, column);
      shown({ layer: this, gates, macs });
    }
    const open = gates.dataSync();
    const count = this.#branches.length;
    const [size] = x!.shape as [number];
    const parts = this.#branches.map((layers, branch) => {
      const taking: number[] = [];
      const leaving: number[] = [];
      for (let i = 0; i < size; i++) (open[i * count + branch]! > 0 ? taking : leaving).push(i);
      const all = leaving.length === 0;
      if (combine === 'add') {
        if (taking.length === 0) return tf.clone(x!);
        if (all) return tf.add(x!, run(layers, x!));
        const some = rows(x!, taking);
        const computed = tf.add(some, run(layers, some));
        return putBack([computed, rows(x!, leaving)], [...taking, ...leaving]);
      }
      if (all) return run(layers, x!);
      const shape = (layers.at(-1)!.outputShape as tfl.Shape).slice(1) as number[];
      const zeros = (n: number) => tf.zeros([n, ...shape]);
      if (taking.length === 0) return zeros(size);
      return putBack(
        [run(layers, rows(x!, taking)), zeros(leaving.length)],
        [...taking, ...leaving],
      );
    });
    return parts.length === 1 ? parts[0]! : tf.concat(parts, -1);
  }
}

function run(layers: readonly Layer[], x: tf.Tensor): tf.Tensor {
  return layers.reduce((value, layer) => layer.apply(value, {}) as tf.Tensor, x);
}

function step0(logits: tf.Tensor): tf.Tensor {
  return tf.cast(tf.greater(logits, 0), 'float32');
}

function columnOf(decisions: tf.Tensor, column: number): tf.Tensor {
  return tf.slice(decisions, [0, column], [decisions.shape[0]!, 1]);
}

function rows(x: tf.Tensor, which: readonly number[]): tf.Tensor {
  return tf.gather(x, tf.tensor1d(which as number[], 'int32'));
}

/** The parts one after the other, each row at the place that `places` says. */
function putBack(parts: tf.Tensor[], places: readonly number[]): tf.Tensor {
  const from = new Int32Array(places.length);
  places.forEach((place, row) => {
    from[place] = row;
  });
  return tf.gather(tf.concat(parts, 0), tf.tensor1d(from, 'int32'));
}

/** Masks the branches with their gates: [x, branches, logits or decisions] to the layer's output. */
class ThimbleGateMerge extends tfl.layers.Layer {
  static className = 'ThimbleGateMerge';
  readonly #args: Pick<GatedLayerArgs, 'combine' | 'column' | 'noise'>;
  /** Who shows the decisions. */
  owner: ThimbleGatedLayer | undefined;

  constructor(args: Pick<GatedLayerArgs, 'combine' | 'column' | 'noise'> & LayerArgs) {
    super(args);
    const { combine, column, noise } = args;
    this.#args = { combine, ...(column === undefined ? {} : { column }), noise: noise ?? false };
  }

  override computeOutputShape(inputShape: tfl.Shape[]): tfl.Shape {
    const branches = inputShape.slice(1, -1);
    if (this.#args.combine === 'add') return inputShape[0]!;
    const channels = branches.reduce((sum, shape) => sum + shape.at(-1)!, 0);
    return [...branches[0]!.slice(0, -1), channels];
  }

  override call(inputs: tf.Tensor | tf.Tensor[], kwargs: Kwargs): tf.Tensor {
    return tf.tidy(() => {
      const [x, ...rest] = inputs as tf.Tensor[];
      const last = rest.pop()!;
      const { combine, column, noise = false } = this.#args;
      const layer = this.owner ?? this;
      const { macs } = layer as ThimbleGatedLayer;
      let gates: tf.Tensor;
      if (column === undefined) {
        const training = kwargs?.training === true;
        gates = decide(layer.name, last, { training, noise });
        gates = shown({ layer, gates, logits: last, macs });
      } else {
        gates = columnOf(last, column);
        shown({ layer, gates, macs });
      }
      const masked = rest.map((y, i) =>
        tf.mul(y, tf.reshape(columnOf(gates, i), [-1, ...new Array(y.rank - 1).fill(1)])),
      );
      if (combine === 'add') return tf.add(x!, masked[0]!);
      return masked.length === 1 ? masked[0]! : tf.concat(masked, -1);
    });
  }

  override getConfig(): tf.serialization.ConfigDict {
    return { ...super.getConfig(), ...this.#args } as never;
  }
}

tf.serialization.registerClass(ThimbleGatedLayer as never);
tf.serialization.registerClass(ThimbleGateMerge as never);
