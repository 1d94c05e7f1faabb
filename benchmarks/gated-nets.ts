// The networks with gates of `npm run reproduce -- sample-difficulty`.
import * as tfl from '@tensorflow/tfjs-layers';
import { gatedBlock, gatedConv2d, policyGate, withSeed } from 'thimble';

/** Gated blocks and their channels. */
export const BLOCKS = 8;
export const BLOCK = 24;
/** Layers of gated channel groups, their channels, and how many groups each has. */
export const LAYERS = 6;
export const LAYER = 64;
export const GROUPS = 4;
/** Initial bias of the gates: open. */
export const BIAS = 1;

const { activation, batchNormalization, conv2d, dense, flatten, globalAveragePooling2d } =
  tfl.layers;
type Value = tfl.SymbolicTensor;
const inputShape: [number, number, number] = [28, 28, 1];
const apply = (x: Value, ...layers: tfl.layers.Layer[]) =>
  layers.reduce((value, layer) => layer.apply(value) as Value, x);
/** A short memory: training is short too. */
const norm = () => batchNormalization({ momentum: 0.9 });
const relu = () => activation({ activation: 'relu' });
const conv = (filters: number, strides = 1) =>
  conv2d({
    filters,
    kernelSize: 3,
    strides,
    padding: 'same',
    useBias: false,
    kernelInitializer: 'heNormal',
  });
const block = (filters: number) => [conv(filters), norm(), relu(), conv(filters), norm()];

/** The image at 4 x 4. */
const stem = (image: Value, channels: number): Value =>
  apply(image, conv(12, 2), norm(), relu(), conv(16, 2), norm(), relu(), conv(channels, 2), norm());
const head = (x: Value): Value =>
  apply(x, relu(), globalAveragePooling2d({}), dense({ units: 10, activation: 'softmax' }));

/** A residual network of gated blocks. With a policy, one look before the first block decides for all. */
export function residual(seed: number, withPolicy: boolean): tfl.LayersModel {
  return withSeed(seed, () => {
    const image = tfl.input({ shape: inputShape });
    let x = apply(stem(image, BLOCK), relu());
    const decisions = withPolicy ? policy(x) : undefined;
    for (let i = 0; i < BLOCKS; i++) {
      const layers = block(BLOCK);
      const name = `block${i}`;
      x = decisions
        ? (gatedBlock({ name, layers, column: i }).apply([x, decisions]) as Value)
        : apply(x, gatedBlock({ name, layers, bias: BIAS }));
    }
    return tfl.model({ inputs: image, outputs: head(x) });
  });
}

/** Decides for every block from what comes before the first one; the names tell its layers from those of the trunk. */
function policy(x: Value): Value {
  return apply(
    x,
    conv2d({ name: 'policy_conv', filters: 8, kernelSize: 3, padding: 'same', useBias: false }),
    batchNormalization({ name: 'policy_norm', momentum: 0.9 }),
    activation({ name: 'policy_relu', activation: 'relu' }),
    flatten({ name: 'policy_flat' }),
    dense({ name: 'policy_hidden', units: 32, activation: 'relu' }),
    dense({
      name: 'policy_logits',
      units: BLOCKS,
      biasInitializer: tfl.initializers.constant({ value: BIAS }),
    }),
    policyGate({ name: 'policy' }),
  );
}

/** A residual network of single convolutions, each in gated groups of channels, after batch normalisation and ReLU. */
export function grouped(seed: number): tfl.LayersModel {
  return withSeed(seed, () => {
    const image = tfl.input({ shape: inputShape });
    let x = stem(image, LAYER);
    for (let i = 0; i < LAYERS; i++) {
      const gated = gatedConv2d({
        name: `gated${i}`,
        filters: LAYER,
        groups: GROUPS,
        kernelSize: 3,
        padding: 'same',
        useBias: false,
        kernelInitializer: 'heNormal',
        bias: BIAS,
      });
      x = tfl.layers.add().apply([x, apply(x, norm(), relu(), gated)]) as Value;
    }
    return tfl.model({ inputs: image, outputs: head(apply(x, norm())) });
  });
}

/** Writes the weights of a network whose blocks decide for themselves into one with a policy. */
export function copyTrunk(from: tfl.LayersModel, to: tfl.LayersModel): void {
  const trunk = (model: tfl.LayersModel) =>
    model.layers
      .filter(({ name }) => !name.startsWith('policy'))
      .flatMap((layer) => layer.weights.filter(({ originalName }) => !/_gate/.test(originalName)));
  const weights = trunk(from);
  trunk(to).forEach((weight, i) => {
    weight.write(weights[i]!.read());
  });
}
