import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { withSeed } from '@thimble/base';
import {
  finalize,
  finalizeReport,
  fit,
  lower,
  parametrize,
  parametrizedWeights,
  registerTransform,
} from '@thimble/core';
import {
  activationPlaces,
  fakeQuant,
  fakeQuantActivations,
  fakeQuantize,
  quantizationAwareTraining,
  quantizeActivations,
  quantizeAware,
} from '@thimble/quantization';
import {
  classifier,
  describeCallbackContract,
  describeLayerContract,
  expectSameOutputs,
  layerCases,
  outputs,
  savedAndLoaded,
  snapshot,
  threeClasses,
  useCpu,
} from '@thimble/testing';
import { describe, expect, it } from 'vitest';
import { setStage } from '../src/quantized-call.ts';

useCpu();

const { layers } = tfl;
const rounding = { skip: 'rounding has no gradient of differences' };

for (const { name, make, inputShape, classes } of layerCases) {
  if (name === 'batchNormalization') continue;
  describeLayerContract(`${name} with quantised weights and activations`, {
    make: () => quantizeAware(make(), { weights: 8, activations: 8 }),
    inputShape,
    ...(classes ? { classes } : {}),
    gradients: rounding,
  });
}
describeLayerContract('stacked cells with quantised weights', {
  make: () =>
    quantizeAware(
      layers.rnn({ cell: [layers.lstmCell({ units: 2 }), layers.gruCell({ units: 3 })] as never }),
      { activations: false },
    ),
  inputShape: [3, 2],
  gradients: rounding,
});
describeLayerContract('average pooling with quantised activations', {
  make: () => quantizeAware(layers.averagePooling2d({ poolSize: 2 })),
  inputShape: [4, 4, 2],
  gradients: rounding,
});
describeLayerContract('a layer with quantised output', {
  make: () =>
    quantizeActivations(layers.reLU(), {
      output: fakeQuantActivations({ bits: 4, symmetric: true, narrowRange: true }),
    }),
  inputShape: [3],
  gradients: rounding,
});

describeCallbackContract('quantizationAwareTraining', {
  make: () =>
    quantizationAwareTraining({
      observeSteps: 2,
      freezeRangesAfter: 5,
      quantize: { weights: 4, activations: 4 },
    }),
  changesTraining: true,
});

/** A network with every kind of layer that computes with codes. */
function network() {
  return withSeed(3, () => {
    const input = tfl.input({ shape: [8, 8, 2] });
    const conv = layers.conv2d({
      filters: 4,
      kernelSize: 3,
      activation: 'relu',
      padding: 'same',
      name: 'conv',
    });
    const depthwise = layers.depthwiseConv2d({
      kernelSize: 3,
      depthMultiplier: 1,
      padding: 'same',
      name: 'depthwise',
    });
    const a = conv.apply(input) as tfl.SymbolicTensor;
    const b = depthwise.apply(a) as tfl.SymbolicTensor;
    const sum = layers.add({ name: 'sum' }).apply([a, b]) as tfl.SymbolicTensor;
    const pooled = layers.averagePooling2d({ poolSize: 2, name: 'pool' }).apply(sum);
    const flat = layers.flatten().apply(pooled);
    const y = layers.dense({ units: 3, name: 'last' }).apply(flat) as tfl.SymbolicTensor;
    return tfl.model({ inputs: input, outputs: y });
  });
}
const x = (n = 4) => tf.randomUniform([n, 8, 8, 2], -1, 1, 'float32', 7);

/** Shows a model some data in training mode, so that its ranges are known. */
function calibrate(model: tfl.LayersModel) {
  tf.tidy(() => {
    model.apply(x(), { training: true });
  });
  return model;
}

describe('quantizeAware', () => {
  it('rounds activations and weights as fake quantisation does', () => {
    const dense = layers.dense({ units: 2, inputShape: [3], biasInitializer: 'randomNormal' });
    const model = tfl.sequential({
      layers: [quantizeAware(dense, { weights: 4, activations: 3 })],
    });
    const input = tf.tensor2d([
      [-0.5, 0.2, 1],
      [0.9, -0.1, 0.35],
    ]);
    tf.tidy(() => {
      model.apply(input, { training: true });
    });
    const [kernel, bias] = dense.getWeights() as [tf.Tensor2D, tf.Tensor1D];
    const symmetric = { bits: 4, symmetric: true, narrowRange: true };
    const w = fakeQuantize(kernel, tf.min(kernel, 0, true), tf.max(kernel, 0, true), symmetric);
    const rounded = fakeQuantize(input, -0.5, 1, { bits: 3 }) as tf.Tensor2D;
    // The bias is rounded to whole steps s_x s_w: 1.5/7 by 2 max|w| / 14.
    const steps = tf.mul(1.5 / 7, tf.div(tf.max(tf.abs(kernel), 0), 7));
    const b = tf.mul(tf.round(tf.div(bias, steps)), steps);
    expect(outputs(model, input)).toBeAllClose(
      tf.add(tf.matMul(rounded, w as tf.Tensor2D), b),
      1e-5,
    );
  });

  it('passes the gradients of fake quantisation back', () => {
    const conv = layers.conv2d({
      filters: 2,
      kernelSize: 2,
      activation: 'relu',
      inputShape: [4, 4, 1],
    });
    quantizeAware(conv, { weights: 4, activations: 4 });
    // Of rounded numbers some kernels make sums of just 0, where the gradient of ReLU may go either way.
    const model = withSeed(1, () => tfl.sequential({ layers: [conv] }));
    const input = tf.randomUniform([2, 4, 4, 1], -1, 1, 'float32', 9);
    tf.tidy(() => {
      model.apply(input, { training: true });
    });
    setStage(model, 2);
    const upstream = tf.randomNormal([2, 3, 3, 2], 0, 1, 'float32', 4);
    const [kernel, bias] = [conv.weights[0]!.read(), conv.weights[1]!.read()] as [
      tf.Variable,
      tf.Variable,
    ];
    const stored = conv.trainableWeights.map((weight) => weight.read() as tf.Variable);
    expect(stored).toHaveLength(2);
    const { grads } = tf.variableGrads(
      () =>
        tf.sum(tf.mul(model.apply(input, { training: true }) as tf.Tensor, upstream)) as tf.Scalar,
      stored,
    );
    // The same network of fakeQuantize and a float convolution.
    const [low, high] = [tf.min(input).dataSync()[0]!, tf.max(input).dataSync()[0]!];
    const plainKernel = tf.variable(tf.clone(stored[0]!));
    const plainBias = tf.variable(tf.clone(stored[1]!));
    const reduce = [0, 1, 2];
    const [bottom, top] = [tf.min(plainKernel, reduce, true), tf.max(plainKernel, reduce, true)];
    const { grads: expected } = tf.variableGrads(() => {
      const options = { bits: 4, symmetric: true, narrowRange: true };
      const w = fakeQuantize(plainKernel, bottom, top, options) as tf.Tensor4D;
      const xr = fakeQuantize(input, low, high, { bits: 4 }) as tf.Tensor4D;
      const y = tf.relu(tf.add(tf.conv2d(xr, w, 1, 'valid'), plainBias));
      return tf.sum(tf.mul(y, upstream)) as tf.Scalar;
    }, [plainKernel, plainBias]);
    expect(grads[stored[0]!.name]).toBeAllClose(expected[plainKernel.name]!, 1e-4);
    expect(grads[stored[1]!.name]).toBeAllClose(expected[plainBias.name]!, 1e-4);
    expect(kernel.shape.length + bias.shape.length).toBe(5);
  });

  it('lets activations pass until it has seen some', () => {
    const [plain, quantised] = [network(), quantizeAware(network(), { weights: false })];
    expect(outputs(quantised, x())).toEqual(outputs(plain, x()));
    expect(lower(quantised).nodes.find(({ name }) => name === 'sum')!.codes).toEqual({
      inputs: [null, null],
    });
    calibrate(quantised);
    expect(outputs(quantised, x())).not.toEqual(outputs(plain, x()));
    expect(outputs(quantised, x())).toBeAllClose(outputs(plain, x()), 0.05);
  });

  it('quantises every layer that multiplies or adds up', () => {
    const model = quantizeAware(network());
    const places = activationPlaces(model).map(
      ({ layer, end, index }) => `${layer.name} ${end} ${index}`,
    );
    expect(places).toEqual([
      'conv input 0',
      'depthwise input 0',
      'sum input 0',
      'sum input 1',
      'pool input 0',
      'last input 0',
    ]);
  });

  it('takes other weights and activations for single layers, and leaves some out', () => {
    const model = quantizeAware(network(), {
      weights: { bits: 4, groupSize: 2 },
      activations: { bits: 4 },
      ignore: ['pool', 'sum'],
      perLayer: { last: { weights: 8, activations: false } },
    });
    calibrate(model);
    const bits = Object.fromEntries(
      Object.entries(lower(model).weights).map(([key, { encoding }]) => [
        key,
        encoding.values.bits,
      ]),
    );
    expect(bits).toMatchObject({ 'conv/kernel': 4, 'last/kernel': 8, 'last/bias': 32 });
    expect(activationPlaces(model).map(({ layer }) => layer.name)).toEqual(['conv', 'depthwise']);
  });

  it('survives saving and finalizing', async () => {
    const model = calibrate(quantizeAware(network(), { weights: 4, activations: 4 }));
    const loaded = await savedAndLoaded(model);
    expect(snapshot(loaded)).toEqual(snapshot(model));
    expectSameOutputs(model, loaded, x());
    const plain = await finalize(model);
    expectSameOutputs(model, plain, x());
    expect(finalizeReport(plain)).toHaveLength(5);
  });

  it('keeps zeros of a mask, which comes first', () => {
    registerTransform('ThimbleTestHalfMask', () => halfMask);
    const dense = layers.dense({ units: 4, inputShape: [4], kernelInitializer: 'ones' });
    parametrize(dense, { kernel: [halfMask] });
    quantizeAware(dense, { weights: 2 });
    const model = tfl.sequential({ layers: [dense] });
    expect(lower(model).weights[`${dense.name}/kernel`]!.encoding.nonzero).toBe(8);
  });

  it('holds ranges, stage and batches seen in weights of the layer', () => {
    const model = calibrate(quantizeAware(network()));
    const saved = snapshot(model);
    expect(saved['conv/stage']).toEqual([1]);
    const seen = x().dataSync();
    expect(saved['conv/input_moving_range']).toEqual([Math.min(...seen), Math.max(...seen), 1]);
    expect(saved).toHaveProperty(['sum/input_moving_range2']);
  });

  it('averages ranges over batches', () => {
    const relu = quantizeActivations(layers.reLU({ inputShape: [2] }), {
      input: fakeQuantActivations({ bits: 8, decay: 0.5 }),
    });
    const model = tfl.sequential({ layers: [relu] });
    for (const [low, high] of [
      [0, 6],
      [2, 10],
    ]) {
      tf.tidy(() => {
        model.apply(tf.tensor2d([[low!, high!]]), { training: true });
      });
    }
    // PyTorch's figures for a constant of 0.5, as in observers.test.ts.
    expect(relu.weights.at(-1)!.read()).toBeAllClose([1, 8, 2]);
  });

  it('names what is wrong, and changes nothing', () => {
    const model = quantizeAware(network());
    expect(() => quantizeAware(model)).toThrow('layer "conv" is quantised already');
    const half = network();
    quantizeAware(half.getLayer('last'));
    const before = half.getLayer('conv').getClassName();
    expect(() => quantizeAware(half)).toThrow('layer "last" is quantised already');
    expect(half.getLayer('conv').getClassName()).toBe(before);
    expect(() => quantizeAware(layers.flatten())).toThrow('multiplies or adds up');
    expect(() => quantizeAware(network(), { ignore: ['nose'] })).toThrow('no layer "nose"');
    expect(() => quantizeAware(network(), { weights: 1 })).toThrow('bits must be a whole number');
    expect(() => quantizeAware(network(), { weights: '8' as never })).toThrow('not "8"');
    expect(() => quantizeAware(network(), { activations: 17 })).toThrow('bits');
    expect(() => quantizeAware(network(), { weight: 4 } as never)).toThrow('"weight"');
    expect(() => quantizeActivations(layers.reLU(), {})).toThrow('input, output or both');
    const [place] = activationPlaces(model);
    const set = (min: number, max: number) => () =>
      place!.quantizer.setRange!(place!.state, min, max);
    expect(set(1, 1)).toThrow('1 to 1 is no range for the activations at layer "conv"');
    expect(set(Number.NaN, 1)).toThrow('NaN');
    const bad = tf.tidy(() => tf.fill([1, 8, 8, 2], Number.NaN));
    expect(() => model.apply(bad, { training: true })).toThrow('layer "conv" have NaN');
    parametrize(layers.dense({ units: 1 }), { kernel: [fakeQuant({ bits: 8 })] });
  });
});

/** A layer of one's own whose kernel has a name that nobody knows. */
class Projection extends tfl.layers.Layer {
  static className = 'TestProjection';
  projection!: tfl.LayerVariable;
  override build(inputShape: number[]): void {
    const [ones, zeros] = [tfl.initializers.ones(), tfl.initializers.zeros()];
    this.projection = this.addWeight('projection', [inputShape[1]!, 2], 'float32', ones);
    this.addWeight('bias', [1, 2], 'float32', zeros);
    this.built = true;
  }
  override call(x: tf.Tensor): tf.Tensor {
    return tf.matMul([x].flat()[0] as tf.Tensor2D, this.projection.read() as tf.Tensor2D);
  }
  override computeOutputShape(): number[] {
    return [null as never, 2];
  }
}

const halfMask = {
  getClassName: () => 'ThimbleTestHalfMask',
  getConfig: () => ({}),
  build: () => null,
  apply: (weight: tf.Tensor) => tf.mul(weight, tf.tensor2d([[1, 0, 1, 0]])),
  bake: (weight: tf.Tensor) => tf.mul(weight, tf.tensor2d([[1, 0, 1, 0]])),
  encoding: () => ({}),
};

it('refuses activations of stacked cells, and kernels of unknown names', () => {
  const cells = () => [layers.lstmCell({ units: 2 }), layers.gruCell({ units: 3 })];
  const make = () =>
    tfl.sequential({
      layers: [
        layers.rnn({ name: 'stack', cell: cells() as never, inputShape: [3, 2] }),
        new Projection({ name: 'mine' }),
        layers.dense({ name: 'end', units: 2 }),
      ],
    });
  const model = make();
  const only = { perLayer: { stack: { activations: false } }, ignore: ['mine'] } as const;
  expect(() => quantizeAware(model, { ignore: ['mine'] })).toThrow('layer "stack" has stacked');
  const { perLayer } = only;
  expect(() => quantizeAware(model, { perLayer })).toThrow(
    'layer "mine" (TestProjection) has a weight "projection", which would be passed over',
  );
  expect(() =>
    quantizeActivations(model.layers[0]!, { input: fakeQuantActivations({ bits: 8 }) }),
  ).toThrow('decorateCall: layer "stack" has stacked cells');
  expect(parametrizedWeights(model)).toEqual([]);
  quantizeAware(model, only);
  expect(parametrizedWeights(model).map(({ weight }) => weight)).toEqual([
    ...['kernel', 'recurrentKernel', 'kernel', 'recurrentKernel'],
    'kernel',
  ]);
  // The weights that a transform brings are not the layer's own.
  parametrize(model.layers[1]!, { projection: [fakeQuant({ bits: 8, perChannel: true })] });
  expect(() => quantizeAware(make(), { ignore: ['mine', 'stack'] })).not.toThrow();
});

describe('quantizationAwareTraining', () => {
  const data = () => threeClasses(6, 1);
  const training = {
    epochs: 2,
    batchSize: 8,
    loss: 'categoricalCrossentropyFromLogits',
    optimizer: 'sgd',
    progress: false,
  } as const;

  it('observes, rounds, then holds ranges and statistics', async () => {
    const model = withSeed(1, () =>
      tfl.sequential({
        layers: [
          layers.dense({ units: 4, inputShape: [6], name: 'first' }),
          layers.batchNormalization({ name: 'norm' }),
          layers.dense({ units: 3, name: 'second' }),
        ],
      }),
    );
    expect(() => quantizeAware(model)).toThrow(/"norm" scales what "first" gives.*fuseBatchNorm/);
    quantizeAware(model, { activations: 4, ignore: ['norm'] });
    const log: { stage: number; range: number[]; mean: number[] }[] = [];
    const callback = quantizationAwareTraining({ observeSteps: 2, freezeRangesAfter: 4 });
    const watcher = {
      afterStep: () => {
        const now = snapshot(model);
        log.push({
          stage: now['first/stage']![0]!,
          range: now['second/input_moving_range']!,
          mean: now['norm/moving_mean']!,
        });
      },
    };
    await fit(model, data(), { ...training, callbacks: [callback, watcher] });
    expect(log.map(({ stage }) => stage)).toEqual([0, 0, 1, 1, 2, 2]);
    expect(log[3]!.range).not.toEqual(log[2]!.range);
    expect(log[5]!.range).toEqual(log[3]!.range);
    expect(log[3]!.range[2]).toBe(4); // batches seen
    expect(log[3]!.mean).not.toEqual(log[2]!.mean);
    expect(log[5]!.mean).toEqual(log[3]!.mean);
  });

  it('does not round while it observes', async () => {
    const plain = classifier();
    const watched = quantizeAware(classifier(), { weights: false, activations: 2 });
    const callback = quantizationAwareTraining({ observeSteps: 100 });
    await fit(plain, data(), { ...training });
    await fit(watched, data(), { ...training, callbacks: [callback] });
    expect(snapshot(watched)).toMatchObject(snapshot(plain));
  });

  it('names what is wrong', async () => {
    expect(() => quantizationAwareTraining({ observeSteps: -1 })).toThrow('observeSteps');
    expect(() => quantizationAwareTraining({ observeSteps: 5, freezeRangesAfter: 4 })).toThrow(
      'it takes at least observeSteps',
    );
    const model = classifier();
    const run = fit(model, data(), { ...training, callbacks: [quantizationAwareTraining()] });
    await expect(run).rejects.toThrow('has no quantised activations');
  });
});
