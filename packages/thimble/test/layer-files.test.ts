// Layers, ready networks and coded weights as .thimble files: read as a tfjs model, and on packed kernels.
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { useCpu } from '@thimble/testing';
import {
  binaryConnect,
  binaryWeights,
  bLeNet,
  calibrateWidths,
  codebook,
  doReFa,
  earlyExits,
  encode,
  fakeQuant,
  fit,
  fixedPoint,
  float16,
  fromOnnx,
  hashed,
  incrementalQuantization,
  layers,
  load,
  lower,
  lsq,
  mask,
  models,
  msdNet,
  parametrize,
  runtime,
  setWidth,
  supermask,
  ternaryWeights,
  thresholdWeights,
  toOnnx,
  trainedTernary,
  UnsupportedError,
  type WeightTransform,
  watchGates,
  withSeed,
} from 'thimble';
import { describe, expect, it } from 'vitest';

useCpu();

type Layer = tfl.layers.Layer;
const stock = tfl.layers;
const image = [6, 6, 8];
const conv = { filters: 8, kernelSize: 3, padding: 'same' } as const;
const widths = [0.5, 1];

/** A model of one layer. */
function alone(make: () => Layer, shape: number[], inputs = 1): tfl.LayersModel {
  const given = Array.from({ length: inputs }, () => tfl.input({ shape }));
  const outputs = make().apply(inputs === 1 ? given[0]! : given) as tfl.SymbolicTensor;
  return tfl.model({ inputs: given, outputs });
}

/** With weights that are not 0 or 1, where one that is not read would be hidden. */
function shaken(model: tfl.LayersModel): tfl.LayersModel {
  const weights = model.getWeights().map((weight, i) => {
    if (/perforation/.test(model.weights[i]!.originalName)) return weight;
    return tf.add(weight, tf.randomUniform(weight.shape, 0, 0.1, 'float32', i));
  });
  model.setWeights(weights);
  return model;
}

const shuffled = (shuffle: boolean) => () =>
  layers.groupConv2d({ ...conv, groups: 4, shuffle, activation: 'relu' });

/** By the name of the layer: models with it, of which each has a name of its own behind a space. */
const OWN: Record<string, () => tfl.LayersModel> = {
  binaryActivation: () => alone(() => layers.binaryActivation({}), image),
  'binaryActivation to 0 and 1': () =>
    alone(() => layers.binaryActivation({ values: 'zeroOne' }), [12]),
  binaryConv2d: () => alone(() => layers.binaryConv2d(conv), image),
  'binaryConv2d stochastic': () =>
    alone(() => layers.binaryConv2d({ ...conv, mode: 'stochastic' }), image),
  binaryDense: () => alone(() => layers.binaryDense({ units: 5 }), [12]),
  xnorConv2d: () => alone(() => layers.xnorConv2d(conv), image),
  'xnorConv2d with the scale of inputs': () =>
    alone(() => layers.xnorConv2d({ ...conv, scaling: 'weightsAndInputs' }), image),
  xnorDense: () => alone(() => layers.xnorDense({ units: 5 }), [12]),
  maskedConv2d: () => alone(() => layers.maskedConv2d({ ...conv, sparsity: 0.5 }), image),
  maskedDense: () => alone(() => layers.maskedDense({ units: 5, sparsity: 0.5 }), [12]),
  maskedDepthwiseConv2d: () =>
    alone(() => layers.maskedDepthwiseConv2d({ kernelSize: 3, sparsity: 0.5 }), image),
  depthwiseSeparableConv2d: () => alone(() => layers.depthwiseSeparableConv2d(conv), image),
  invertedResidual: () => alone(() => layers.invertedResidual({ filters: 8, expansion: 2 }), image),
  fire: () => alone(() => layers.fire({ squeeze: 2, expand1x1: 3, expand3x3: 3 }), image),
  groupConv2d: () => alone(shuffled(false), image),
  'groupConv2d with shuffle': () => alone(shuffled(true), image),
  'lowRankConv2d spatial': () =>
    alone(() => layers.lowRankConv2d({ ...conv, rank: 2, scheme: 'spatial' }), image),
  'lowRankConv2d channel': () =>
    alone(() => layers.lowRankConv2d({ ...conv, rank: 2, scheme: 'channel' }), image),
  'lowRankConv2d tucker2': () =>
    alone(() => layers.lowRankConv2d({ ...conv, rank: 2, scheme: 'tucker2' }), image),
  'lowRankConv2d cp': () =>
    alone(() => layers.lowRankConv2d({ ...conv, rank: 2, scheme: 'cp' }), image),
  lowRankDense: () => alone(() => layers.lowRankDense({ units: 6, rank: 3 }), [12]),
  versatileConv2d: () => alone(() => layers.versatileConv2d({ ...conv, kernelSize: 5 }), image),
  'versatileConv2d over windows of channels': () =>
    alone(
      () =>
        layers.versatileConv2d({
          ...conv,
          filters: 11,
          channelDelta: 3,
          channelStride: 2,
          strides: 2,
        }),
      image,
    ),
  perforatedConv2d: () =>
    alone(() => layers.perforatedConv2d({ ...conv, activation: 'relu' }), image),
  'perforatedConv2d of a grid with strides': () =>
    alone(
      () => layers.perforatedConv2d({ filters: 3, kernelSize: 2, strides: 2, mask: 'grid' }),
      [13, 11, 2],
    ),
  'perforatedConv2d with many filters': () =>
    alone(() => layers.perforatedConv2d({ ...conv, filters: 65, keep: 0.25 }), [9, 11, 3]),
  'perforatedConv2d with many filters, strides and nothing around the image': () =>
    alone(
      () =>
        layers.perforatedConv2d({
          filters: 64,
          kernelSize: [3, 2],
          strides: [2, 1],
          keep: 0.3,
          activation: 'relu',
        }),
      [12, 10, 5],
    ),
  'perforatedConv2d with many filters and spaced windows': () =>
    alone(
      () => layers.perforatedConv2d({ ...conv, filters: 64, dilationRate: 2, keep: 0.2 }),
      [9, 8, 4],
    ),
  'perforatedConv2d that computes one position': () =>
    alone(
      () => layers.perforatedConv2d({ ...conv, filters: 64, strides: 3, keep: 0.1 }),
      [9, 9, 4],
    ),
  slimmableBatchNormalization: () =>
    alone(() => layers.slimmableBatchNormalization({ widths }), image),
  slimmableConv2d: () => alone(() => layers.slimmableConv2d({ ...conv, widths }), image),
  slimmableDense: () => alone(() => layers.slimmableDense({ units: 6, widths }), [12]),
  slimmableDepthwiseConv2d: () =>
    alone(() => layers.slimmableDepthwiseConv2d({ kernelSize: 3, widths }), image),
  earlyExitHead: () => alone(() => layers.earlyExitHead({ classes: 3, hidden: 4 }), image),
  gatedBlock: () =>
    alone(() => layers.gatedBlock({ layers: [stock.conv2d(conv)], bias: 0 }), image),
  'gatedBlock of vectors': () =>
    alone(() => layers.gatedBlock({ layers: [stock.dense({ units: 12 })], bias: 0 }), [12]),
  gatedConv2d: () => alone(() => layers.gatedConv2d({ ...conv, groups: 2, bias: 0 }), image),
  policyGate: () => {
    const input = tfl.input({ shape: [12] });
    const logits = stock.dense({ units: 2 }).apply(input);
    const decisions = layers.policyGate().apply(logits) as tfl.SymbolicTensor;
    const block = (column: number, x: tfl.SymbolicTensor) =>
      layers
        .gatedBlock({ layers: [stock.dense({ units: 12 })], column })
        .apply([x, decisions]) as tfl.SymbolicTensor;
    return tfl.model({ inputs: input, outputs: block(1, block(0, input)) });
  },
};

/** Ready networks. */
const small = { inputShape: [16, 16, 1] as [number, number, number], classes: 3 };
const READY: Record<string, () => tfl.LayersModel> = {
  ...Object.fromEntries(Object.entries(models).map(([name, make]) => [name, () => make(small)])),
  'resNet20 with projections': () => models.resNet20({ ...small, shortcut: 'projection' }),
  bLeNet: () => bLeNet(small).branchy,
  earlyExits: () => earlyExits(models.lenet5(small), { after: ['conv1'], head: { hidden: 4 } }),
  msdNet: () =>
    msdNet({
      inputShape: [8, 8, 1],
      classes: 3,
      exits: 2,
      base: 1,
      scales: 2,
      filters: 2,
      growth: 2,
    }),
};

/** Layers of tfjs. */
const activations = ['relu', 'relu6', 'elu', 'selu', 'sigmoid', 'hardSigmoid', 'tanh'] as const;
const more = ['softplus', 'softsign', 'softmax', 'swish', 'mish', 'gelu', 'gelu_new'] as const;
const STOCK: Record<string, () => tfl.LayersModel> = {
  ...Object.fromEntries(
    [...activations, ...more].map((activation) => [
      `activation ${activation}`,
      () => alone(() => stock.activation({ activation: activation as 'relu' }), [40]),
    ]),
  ),
  conv1d: () => alone(() => stock.conv1d({ filters: 3, kernelSize: 3 }), [9, 4]),
  conv2d: () => alone(() => stock.conv2d({ ...conv, strides: 2 }), image),
  conv2dTranspose: () =>
    alone(
      () => stock.conv2dTranspose({ filters: 3, kernelSize: 3, strides: 2, padding: 'same' }),
      image,
    ),
  'conv2dTranspose, valid': () =>
    alone(
      () => stock.conv2dTranspose({ filters: 3, kernelSize: [2, 4], strides: [3, 2] }),
      [3, 4, 2],
    ),
  'conv2dTranspose, kernel below stride': () =>
    alone(() => stock.conv2dTranspose({ filters: 2, kernelSize: 1, strides: 2 }), [3, 4, 2]),
  depthwiseConv2d: () =>
    alone(() => stock.depthwiseConv2d({ kernelSize: 3, depthMultiplier: 2 }), image),
  separableConv2d: () => alone(() => stock.separableConv2d({ filters: 4, kernelSize: 3 }), image),
  dense: () => alone(() => stock.dense({ units: 4 }), [12]),
  'dense over time': () => alone(() => stock.dense({ units: 4 }), [5, 6]),
  timeDistributed: () =>
    alone(() => stock.timeDistributed({ layer: stock.dense({ units: 4 }) }), [5, 6]),
  batchNormalization: () => alone(() => stock.batchNormalization(), image),
  prelu: () => alone(() => stock.prelu({ sharedAxes: [1, 2] }), image),
  'prelu of every entry': () => alone(() => stock.prelu(), image),
  leakyReLU: () => alone(() => stock.leakyReLU(), image),
  elu: () => alone(() => stock.elu(), image),
  reLU: () => alone(() => stock.reLU({ maxValue: 0.5 }), image),
  thresholdedReLU: () => alone(() => stock.thresholdedReLU({ theta: 0.5 }), image),
  softmax: () => alone(() => stock.softmax(), [12]),
  rescaling: () => alone(() => stock.rescaling({ scale: 0.5, offset: -1 }), image),
  dropout: () => alone(() => stock.dropout({ rate: 0.5 }), image),
  flatten: () => alone(() => stock.flatten(), image),
  reshape: () => alone(() => stock.reshape({ targetShape: [4, 9, 8] }), image),
  permute: () => alone(() => stock.permute({ dims: [3, 1, 2] }), image),
  repeatVector: () => alone(() => stock.repeatVector({ n: 3 }), [5]),
  cropping2D: () =>
    alone(
      () =>
        stock.cropping2D({
          cropping: [
            [1, 0],
            [0, 2],
          ],
        }),
      image,
    ),
  upSampling2d: () => alone(() => stock.upSampling2d({ size: [2, 3] }), image),
  zeroPadding2d: () => alone(() => stock.zeroPadding2d({ padding: [1, 2] as never }), image),
  maxPooling2d: () => alone(() => stock.maxPooling2d({ poolSize: 2 }), image),
  averagePooling2d: () =>
    alone(() => stock.averagePooling2d({ poolSize: 3, strides: 2, padding: 'same' }), image),
  globalAveragePooling2d: () => alone(() => stock.globalAveragePooling2d({}), image),
  globalMaxPooling1d: () => alone(() => stock.globalMaxPooling1d({}), [5, 6]),
  ...Object.fromEntries(
    (['add', 'average', 'multiply', 'maximum', 'minimum', 'concatenate'] as const).map((name) => [
      name,
      () => alone(() => stock[name](), image, 2),
    ]),
  ),
};

/** What packed kernels do not run, and why. */
const REFUSED: Record<string, [why: string, make: () => tfl.LayersModel]> = {
  lstm: ['steps that follow on one another', () => alone(() => stock.lstm({ units: 3 }), [5, 4])],
  gru: ['steps that follow on one another', () => alone(() => stock.gru({ units: 3 }), [5, 4])],
  embedding: [
    'a table that is read by number',
    () => alone(() => stock.embedding({ inputDim: 5, outputDim: 3 }), [4]),
  ],
  layerNormalization: [
    'a mean of each example',
    () => alone(() => stock.layerNormalization(), [12]),
  ],
  conv3d: [
    'three axes',
    () => alone(() => stock.conv3d({ filters: 2, kernelSize: 2 }), [4, 4, 4, 2]),
  ],
  'conv2d, channels first': [
    'the layout',
    () => alone(() => stock.conv2d({ ...conv, dataFormat: 'channelsFirst' }), [8, 6, 6]),
  ],
  'batchNormalization, another axis': [
    'folds into channels only',
    () => alone(() => stock.batchNormalization({ axis: 1 }), image),
  ],
  'concatenate, another axis': [
    'puts planes together',
    () => alone(() => stock.concatenate({ axis: 1 }), image, 2),
  ],
  'timeDistributed convolution': [
    'an image in every step',
    () => alone(() => stock.timeDistributed({ layer: stock.conv2d(conv) }), [2, ...image]),
  ],
  'upSampling2d, bilinear': [
    'a mean of neighbours',
    () => alone(() => stock.upSampling2d({ size: [2, 2], interpolation: 'bilinear' }), image),
  ],
  dot: ['a product of two values', () => alone(() => stock.dot({ axes: 1 }), [5], 2)],
  'activation logSoftmax': [
    'a logarithm of each sum',
    () => alone(() => stock.activation({ activation: 'logSoftmax' as 'relu' }), [12]),
  ],
};

const inputsOf = (model: tfl.LayersModel, batch = 8) =>
  model.inputs.map(({ shape }, i) =>
    tf.randomNormal([batch, ...(shape.slice(1) as number[])], 0, 1, 'float32', 7 + i),
  );

const outputsOf = (model: tfl.LayersModel, inputs: tf.Tensor[]) =>
  [model.predict(inputs.length === 1 ? inputs[0]! : inputs)]
    .flat()
    .map((output) => output.dataSync());

/** Asserts that two results differ by at most a share of the largest value. */
function expectClose(got: ArrayLike<number>, wanted: ArrayLike<number>, share = 1e-5): void {
  const largest = Math.max(...Array.from(wanted, Math.abs));
  expect(largest).toBeGreaterThan(0);
  const inShares = (values: ArrayLike<number>) => Array.from(values, (value) => value / largest);
  expect(inShares(got)).toBeAllClose(inShares(wanted), share);
}

/** Asserts that the packed form of a file gives the outputs of the model. */
async function expectPacked(model: tfl.LayersModel, share?: number): Promise<void> {
  const inputs = inputsOf(model);
  const net = await runtime.load(await encode(model, { progress: false }));
  const named = Object.fromEntries(
    net.inputs.map(({ name }, i) => [name, inputs[i]!.dataSync() as Float32Array]),
  );
  const outputs = net.predict(named);
  const got =
    outputs instanceof Float32Array ? [outputs] : net.outputs.map(({ name }) => outputs[name]!);
  for (const [i, wanted] of outputsOf(model, inputs).entries()) expectClose(got[i]!, wanted, share);
  net.dispose();
}

it('covers every layer and every ready network', () => {
  const covered = new Set(Object.keys(OWN).map((name) => name.split(' ')[0]));
  expect([...covered].sort()).toEqual(Object.keys(layers).sort());
  expect(Object.keys(READY)).toEqual(expect.arrayContaining(Object.keys(models)));
});

describe.each(Object.entries(OWN))('%s', (_, make) => {
  const model = withSeed(1, () => shaken(make()));

  it('comes back as a tfjs model', async () => {
    const inputs = inputsOf(model);
    const again = await load(await encode(model, { progress: false }));
    const [got] = outputsOf(again, inputs);
    expectClose(got!, outputsOf(model, inputs)[0]!);
  });

  it('runs on packed kernels', () => expectPacked(model));
});

it.each(Object.entries(READY))('%s runs on packed kernels', (_, make) => {
  const model = make();
  const start = model.getWeights();
  model.setWeights(
    start.map((weight, i) => tf.add(weight, tf.randomUniform(weight.shape, 0, 0.02, 'float32', i))),
  );
  return expectPacked(model);
});

it.each(Object.entries(STOCK))("tfjs's %s runs on packed kernels", (_, make) =>
  expectPacked(withSeed(1, () => shaken(make()))),
);

it.each(Object.entries(REFUSED).map(([name, [why, make]]) => [name, why, make] as const))(
  '%s is refused by name: %s',
  async (_name, _why, make) => {
    const model = make();
    const bytes = await encode(model, { progress: false });
    const refused = runtime.load(bytes);
    await expect(refused).rejects.toThrow(UnsupportedError);
    await expect(refused).rejects.toThrow(`layer "${model.layers.at(-1)!.name}`);
  },
);

/** Transforms of a kernel: how it is coded in the file, and the share by which results may differ. */
const CODED: Record<string, [WeightTransform | WeightTransform[], type: string, share?: number]> = {
  mask: [mask({ sparsity: 0.5 }), 'float'],
  supermask: [supermask(), 'float'],
  float16: [float16(), 'float'],
  'fakeQuant, 8 bits': [fakeQuant({ bits: 8 }), 'affine', 1e-3],
  'fakeQuant, 8 bits by channel': [
    fakeQuant({ bits: 8, perChannel: true, symmetric: true }),
    'affine',
    1e-3,
  ],
  'fakeQuant, 4 bits': [fakeQuant({ bits: 4 }), 'affine', 1e-3],
  'mask and fakeQuant': [[mask({ sparsity: 0.5 }), fakeQuant({ bits: 8 })], 'affine', 1e-3],
  fixedPoint: [fixedPoint({ integerBits: 2, fractionBits: 6 }), 'affine', 1e-3],
  doReFa: [doReFa({ bits: 4 }), 'codebook'],
  lsq: [lsq({ bits: 4 }), 'affine', 1e-3],
  codebook: [codebook({ clusters: 8 }), 'codebook'],
  hashed: [hashed({ ratio: 0.25 }), 'hashed'],
  binaryConnect: [binaryConnect(), 'binary'],
  binaryWeights: [binaryWeights(), 'binary'],
  ternaryWeights: [ternaryWeights(), 'affine', 1e-3],
  trainedTernary: [trainedTernary(), 'codebook'],
  thresholdWeights: [thresholdWeights(), 'affine', 1e-3],
};

describe.each(Object.entries(CODED))('weights of %s', (_, [transform, type, share]) => {
  const chain = [transform].flat();

  it.each([
    ['dense', () => stock.dense({ units: 9 }), 'kernel', [40]],
    ['conv2d', () => stock.conv2d(conv), 'kernel', image],
    ['depthwiseConv2d', () => stock.depthwiseConv2d({ kernelSize: 3 }), 'depthwiseKernel', image],
  ] as const)('%s', async (_name, make, role, shape) => {
    const model = withSeed(1, () =>
      alone(() => parametrize(make(), { [role]: chain }), [...shape]),
    );
    const stored = Object.values(lower(model).weights).map(({ encoding }) => encoding.values.type);
    expect(stored).toContain(type);
    await expectPacked(model, share);
  });
});

it.each(Object.entries(OWN).filter(([name]) => /^(slimmable|versatile)/.test(name)))(
  '%s is a plain layer in an ONNX file',
  async (_, make) => {
    const model = withSeed(1, () => shaken(make()));
    const inputs = inputsOf(model);
    const again = await fromOnnx(toOnnx(model));
    expectClose(outputsOf(again, inputs)[0]!, outputsOf(model, inputs)[0]!);
  },
);

it('weights that became powers of two run packed', async () => {
  const model = alone(() => stock.dense({ units: 9 }), [40]);
  const data = { xs: tf.randomNormal([8, 40], 0, 1, 'float32', 2), ys: tf.zeros([8, 9]) };
  const callbacks = [incrementalQuantization({ bits: 5 })];
  await fit(model, data, { epochs: 4, loss: 'meanSquaredError', callbacks, progress: false });
  const { kernel } = lower(model).nodes.at(-1)!.weights;
  expect(lower(model).weights[kernel!]!.encoding.values.type).toBe('powersOfTwo');
  await expectPacked(model);
});

describe('a narrowed network', () => {
  const made = (
    ways: number[] | { min: number },
    first: (layer: Layer) => Layer = (layer) => layer,
  ) =>
    withSeed(3, () => {
      const { reLU, maxPooling2d, flatten, activation } = stock;
      return shaken(
        tfl.sequential({
          layers: [
            first(
              layers.slimmableConv2d({
                filters: 8,
                kernelSize: 3,
                widths: ways,
                inputShape: [8, 8, 2],
              }),
            ),
            layers.slimmableBatchNormalization({ widths: ways }),
            reLU(),
            layers.slimmableDepthwiseConv2d({ kernelSize: 3, widths: ways, padding: 'same' }),
            maxPooling2d({ poolSize: 2 }),
            layers.slimmableConv2d({ filters: 6, kernelSize: 1, widths: ways }),
            activation({ activation: 'tanh' }),
            flatten(),
            layers.slimmableDense({ units: 6, widths: ways }),
            layers.slimmableDense({ units: 3, widths: ways }),
          ],
        }),
      );
    });

  it.each([0.5, 1])(
    'runs packed at width %d, with the weights of that width alone',
    async (width) => {
      const model = made(widths);
      setWidth(model, width);
      await expectPacked(model);
      const net = await runtime.load(await encode(model, { progress: false }));
      setWidth(model, 1);
      const whole = await runtime.load(await encode(model, { progress: false }));
      const share = net.explain().weightBytes / whole.explain().weightBytes;
      if (width === 1) expect(share).toBe(1);
      else expect(share).toBeLessThan(0.6);
      net.dispose();
      whole.dispose();
    },
  );

  it('runs packed in 8 bits by channel', async () => {
    const kernel = [fakeQuant({ bits: 8, perChannel: true, symmetric: true })];
    const model = made(widths, (layer) => parametrize(layer, { kernel }));
    setWidth(model, 0.5);
    await expectPacked(model, 1e-3);
  });

  it('runs packed at a width of a range that has statistics, and is refused at others', async () => {
    const model = made({ min: 0.25 });
    const xs = tf.randomNormal([16, 8, 8, 2], 0, 1, 'float32', 3);
    await calibrateWidths(model, { xs, ys: tf.zeros([16, 3]) }, { widths: [0.5] });
    setWidth(model, 0.5);
    await expectPacked(model);
    setWidth(model, 0.25);
    await expect(runtime.load(await encode(model, { progress: false }))).rejects.toThrow(
      /has no statistics for width 0.25: call calibrateWidths/,
    );
  });

  it.each([0.5, 1])('keeps every width in a file that is written at width %d', async (width) => {
    const model = made(widths);
    const inputs = inputsOf(model);
    setWidth(model, width);
    const again = await load(await encode(model, { progress: false }));
    for (const other of widths) {
      setWidth(model, other);
      setWidth(again, other);
      expect(outputsOf(again, inputs)).toEqual(outputsOf(model, inputs));
    }
  });
});

it('has gates that are open for some examples and closed for others', () => {
  for (const name of ['gatedBlock', 'gatedBlock of vectors', 'gatedConv2d', 'policyGate']) {
    const model = withSeed(1, () => shaken(OWN[name]!()));
    const seen = new Set<number>();
    const note = ({ gates }: { gates: tf.Tensor }) => {
      for (const gate of gates.dataSync()) seen.add(gate);
      return undefined;
    };
    watchGates(note, () => outputsOf(model, inputsOf(model)));
    expect([...seen].sort(), name).toEqual([0, 1]);
  }
});

it('says what is computed in another way than the layer says', async () => {
  const whys = async (model: tfl.LayersModel) => {
    const net = await runtime.load(await encode(model, { progress: false }));
    const { layers: plans } = net.explain();
    net.dispose();
    return plans.map(({ why }) => why);
  };
  expect(await whys(OWN.perforatedConv2d!())).toContain(
    'all positions are computed before: it is faster',
  );
  expect(await whys(OWN['perforatedConv2d with many filters']!())).not.toContain(
    'all positions are computed before: it is faster',
  );
  expect(await whys(OWN.gatedBlock!())).toContain(
    'where its gate is closed; else the branch is computed',
  );
});
