// Multi-scale dense networks.
import * as tfl from '@tensorflow/tfjs-layers';
import { checkInteger, checkOptions, withSeed } from '@thimble/base';

/** Options of {@link msdNet}. */
export interface MsdNetOptions {
  /** Shape of an image. */
  inputShape: [number, number, number];
  classes: number;
  /** Classifiers; default 4. */
  exits?: number;
  /** Layers before the first classifier; default 2. */
  base?: number;
  /** Layers from one classifier to the next; default 1. */
  step?: number;
  /** Resolutions, each half the one before; default 3. */
  scales?: number;
  /** Channels of the first layer at the finest scale; default 8. Twice as many at each coarser one. */
  filters?: number;
  /** Channels that a layer adds at the finest scale; default 4. Twice as many at each coarser one. */
  growth?: number;
  /** Of the first convolution; default 1. */
  strides?: number;
  /** Of the initial weights; default 0. */
  seed?: number | string;
}

const DEFAULTS = {
  exits: 4,
  base: 2,
  step: 1,
  scales: 3,
  filters: 8,
  growth: 4,
  strides: 1,
};

type Value = tfl.SymbolicTensor;

/**
 * A small MSDNet: every layer works at several resolutions and sees all layers before it, and classifiers sit at
 * the coarsest one, so that an early classifier has coarse features at hand and does not harm later ones.
 *
 * - First layer: 3x3 convolution at the finest scale, from there one with stride 2 for each coarser scale
 * - Layer l at scale s: half of its channels by a 3x3 convolution of all earlier features at s, half by one with
 *   stride 2 of all at s - 1, side by side; at the finest scale all by the former
 * - Classifier: two 3x3 convolutions with stride 2 at the coarsest scale, mean over the places, softmax
 *
 * Convolutions are followed by batch normalisation and ReLU. Bottlenecks and the dropping of fine scales in late layers
 * are left out, as the network is small; what no exit needs is not in the model. Outputs: exit1, exit2 ...
 * {@link fitExits} trains it; {@link evaluateExits} gives the anytime curve, {@link chooseThresholds} with a budget and
 * {@link predictEarly} budgeted batches.
 *
 * Paper: Huang, Chen, Li, Wu, van der Maaten, Weinberger, "Multi-Scale Dense Networks for Resource Efficient
 * Image Classification", 2018, section 4.
 *
 * @throws {OptionError} for sizes that are not whole numbers above 0.
 * @example
 * const model = msdNet({ inputShape: [28, 28, 1], classes: 10, exits: 2, strides: 2, seed: 1 });
 * const { exits } = await evaluateExits(model, test);
 * exits.map(({ macs, accuracy }) => [macs, accuracy]);
 */
export function msdNet(options: MsdNetOptions): tfl.LayersModel {
  checkOptions('msdNet', options, ['inputShape', 'classes', 'seed', ...Object.keys(DEFAULTS)]);
  const sizes = { ...DEFAULTS, ...options };
  for (const [name, value] of Object.entries(sizes)) {
    if (name === 'seed') continue;
    for (const n of [value].flat()) checkInteger('msdNet', name, n as number, 1);
  }
  return withSeed(options.seed ?? 0, () => build(sizes));
}

function build(options: MsdNetOptions & typeof DEFAULTS): tfl.LayersModel {
  const { inputShape, classes, exits, base, step, scales, filters, growth, strides } = options;
  const { concatenate, dense, globalAveragePooling2d } = tfl.layers;
  // A copy: tfjs keeps the list that it is given.
  const joined = (name: string, parts: Value[]) =>
    parts.length === 1 ? parts[0]! : (concatenate({ name }).apply([...parts]) as Value);
  const inputs = tfl.input({ shape: inputShape });
  // By scale, the features of all layers so far.
  const features: Value[][] = [];
  for (let scale = 0; scale < scales; scale++) {
    const from = scale === 0 ? inputs : features[scale - 1]![0]!;
    const stride = scale === 0 ? strides : 2;
    features.push([convolved(`layer0_scale${scale}`, from, filters * 2 ** scale, stride)]);
  }
  const outputs: Value[] = [];
  const last = base + step * (exits - 1);
  for (let layer = 1; layer <= last; layer++) {
    const seen = features.map((all, scale) => joined(`layer${layer}_scale${scale}_seen`, all));
    features.forEach((all, scale) => {
      const name = `layer${layer}_scale${scale}`;
      const width = growth * 2 ** scale;
      if (scale === 0) {
        all.push(convolved(name, seen[0]!, width, 1));
        return;
      }
      const fine = convolved(`${name}_down`, seen[scale - 1]!, width / 2, 2);
      const same = convolved(`${name}_same`, seen[scale]!, width / 2, 1);
      all.push(joined(name, [fine, same]));
    });
    if (layer < base || (layer - base) % step !== 0) continue;
    const name = `exit${outputs.length + 1}`;
    const coarsest = joined(`${name}_seen`, features.at(-1)!);
    const width = filters * 2 ** (scales - 1);
    const first = convolved(`${name}_conv1`, coarsest, width, 2);
    const second = convolved(`${name}_conv2`, first, width, 2);
    const pooled = globalAveragePooling2d({ name: `${name}_pool` }).apply(second) as Value;
    outputs.push(dense({ name, units: classes, activation: 'softmax' }).apply(pooled) as Value);
  }
  return tfl.model({ inputs, outputs, name: 'msdnet' });
}

function convolved(name: string, x: Value, filters: number, strides: number): Value {
  const { activation, batchNormalization, conv2d } = tfl.layers;
  const convolution = conv2d({
    name,
    filters,
    kernelSize: 3,
    strides,
    padding: 'same',
    useBias: false,
    kernelInitializer: 'heNormal',
  });
  return [
    convolution,
    batchNormalization({ name: `${name}_norm`, momentum: 0.9 }),
    activation({ name: `${name}_relu`, activation: 'relu' }),
  ].reduce((value, layer) => layer.apply(value) as Value, x);
}
