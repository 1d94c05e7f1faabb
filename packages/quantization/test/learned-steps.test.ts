import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { withSeed } from '@thimble/base';
import { lower, parametrize, parametrizedWeights } from '@thimble/core';
import { runInteger } from '@thimble/graph';
import {
  type ActivationQuantizer,
  activationPlaces,
  doReFa,
  lsq,
  lsqPlus,
  pact,
  quantizeActivations,
  quantizeAware,
} from '@thimble/quantization';
import {
  describeLayerContract,
  describeTransformContract,
  outputs,
  savedAndLoaded,
  snapshot,
  useCpu,
} from '@thimble/testing';
import { describe, expect, it } from 'vitest';

useCpu();

const { layers } = tfl;
const never = { training: true, step: 0, learningRate: Number.NaN, random: () => tf.zeros([0]) };

describeTransformContract('lsq', {
  make: () => lsq({ bits: 8 }),
  // Nothing is clipped at the start: max|w| is far below 127 * 2 mean|w| / sqrt(127).
  gradient: (_stored, upstream) => upstream,
});
describeTransformContract('doReFa', {
  make: () => doReFa({ bits: 4 }),
  gradient(stored, upstream) {
    const most = Math.max(...stored.map((w) => Math.abs(Math.tanh(w)))) || 1e-12;
    return stored.map((w, i) => (upstream[i]! * (1 - Math.tanh(w) ** 2)) / most);
  },
});
const quantizers: [string, () => ActivationQuantizer][] = [
  ['lsq', () => lsq({ bits: 4, signed: true })],
  ['lsqPlus', () => lsqPlus({ bits: 4 })],
  ['pact', () => pact({ bits: 4, initial: 0.5 })],
  ['doReFa', () => doReFa({ bits: 4 })],
];
for (const [name, make] of quantizers) {
  describeLayerContract(`a layer with activations by ${name}`, {
    make: () => quantizeActivations(layers.dense({ units: 3 }), { input: make(), output: make() }),
    inputShape: [4],
    gradients: { skip: 'rounding has no gradient of differences' },
  });
}

/** The kernel of a dense layer with one unit seen through a transform, and the gradients of c . w'. */
function weightGradients(transform: ReturnType<typeof lsq>, values: number[], upstream: number[]) {
  const layer = layers.dense({
    units: 1,
    useBias: false,
    inputShape: [values.length],
    weights: [tf.tensor2d(values, [values.length, 1])],
  });
  parametrize(layer, { kernel: [transform] });
  tfl.sequential({ layers: [layer] });
  const [{ variable, links }] = parametrizedWeights(layer) as [
    ReturnType<typeof parametrizedWeights>[0],
  ];
  const { step } = links[0]!.state as { step: tf.Variable };
  const gradients = () => {
    const { grads } = tf.variableGrads(() => {
      const w = links[0]!.transform.apply(variable, links[0]!.state, never);
      return tf.sum(tf.mul(w, tf.tensor2d(upstream, [upstream.length, 1]))) as tf.Scalar;
    }, [variable, step]);
    return {
      weight: Array.from(grads[variable.name]!.dataSync()),
      step: grads[step.name]!.dataSync()[0]!,
    };
  };
  return {
    step,
    gradients,
    value: () => links[0]!.transform.apply(variable, links[0]!.state, never),
  };
}

/** Runs an activation quantiser on values; gradients of c . x' by x and by the trained variables. */
function activationGradients(
  quantizer: ActivationQuantizer,
  values: number[],
  upstream: number[],
  state: Record<string, number>,
) {
  const layer = quantizeActivations(layers.reLU({ inputShape: [values.length] }), {
    output: quantizer,
  });
  const model = tfl.sequential({ layers: [layer] });
  for (const weight of model.weights) {
    const name = weight.originalName.split('/').at(-1)!.replace('output_', '');
    if (name in state) (weight.read() as tf.Variable).assign(tf.scalar(state[name]!));
  }
  const place = activationPlaces(model)[0]!;
  const x = tf.variable(tf.tensor2d(values, [1, values.length]));
  const trained = model.trainableWeights.map((weight) => weight.read() as tf.Variable);
  const rounded = () => {
    const { codes, scale } = quantizer.quantize(x, place.state, {
      training: true,
      trainable: true,
      stage: 1,
    })!;
    return tf.mul(codes, scale);
  };
  const { grads } = tf.variableGrads(
    () => tf.sum(tf.mul(rounded(), tf.tensor2d(upstream, [1, values.length]))) as tf.Scalar,
    [x, ...trained],
  );
  return {
    value: Array.from(rounded().dataSync()),
    x: Array.from(grads[x.name]!.dataSync()),
    trained: trained.map(({ name }) => grads[name]!.dataSync()[0]!),
  };
}

const c = [2, 3, 5, 7, 11];

describe('lsq', () => {
  // Esser et al., equations 1 to 3, worked out: 3 bits, Qn = 4, Qp = 3, s = 0.5.
  it('has the gradients of the paper for weights', () => {
    const values = [-3, -0.6, 0.1, 0.8, 2];
    const { step, gradients, value } = weightGradients(lsq({ bits: 3 }), values, c);
    step.assign(tf.fill(step.shape, 0.5));
    // v / s = -6, -1.2, 0.2, 1.6, 4
    expect(value()).toBeAllClose([-2, -0.5, 0, 1, 1.5]);
    expect(gradients().weight).toBeAllClose([0, 3, 5, 7, 0]);
    const d = [-4, -1 + 1.2, 0 - 0.2, 2 - 1.6, 3];
    const g = 1 / Math.sqrt(5 * 3);
    expect(gradients().step).toBeCloseTo(g * d.reduce((sum, each, i) => sum + c[i]! * each, 0), 5);
  });

  it('starts at 2 mean|v| / sqrt(Qp), per channel too', () => {
    const start = (perChannel: boolean) => {
      const layer = layers.dense({
        units: 2,
        inputShape: [2],
        weights: [
          tf.tensor2d([
            [1, -3],
            [2, 5],
          ]),
          tf.zeros([2]),
        ],
      });
      parametrize(layer, { kernel: [lsq({ bits: 3, perChannel })] });
      tfl.sequential({ layers: [layer] });
      return parametrizedWeights(layer)[0]!.encoding().values;
    };
    expect(start(false)).toMatchObject({
      scale: Float32Array.of((2 * 2.75) / Math.sqrt(3)),
      zeroPoint: Int32Array.of(4),
      axis: null,
    });
    const channels = start(true) as { scale: Float32Array };
    expect(channels.scale).toBeAllClose([(2 * 1.5) / Math.sqrt(3), (2 * 4) / Math.sqrt(3)]);
  });

  it('has the gradients of the paper for activations', () => {
    // 2 bits unsigned: Qn = 0, Qp = 3, s = 0.5; x / s = -2, 0.4, 1.2, 2.6, 5
    const found = activationGradients(lsq({ bits: 2 }), [-1, 0.2, 0.6, 1.3, 2.5], c, {
      step: 0.5,
      step_ready: 1,
    });
    expect(found.value.map((v) => v + 0)).toBeAllClose([0, 0, 0.5, 1.5, 1.5]);
    expect(found.x).toBeAllClose([0, 3, 5, 7, 0]);
    const d = [0, -0.4, 1 - 1.2, 3 - 2.6, 3];
    const g = 1 / Math.sqrt(5 * 3);
    expect(found.trained[0]).toBeCloseTo(g * d.reduce((sum, each, i) => sum + c[i]! * each, 0), 5);
  });

  it('sets its step from the first batch', () => {
    const relu = quantizeActivations(layers.reLU({ inputShape: [4] }), {
      output: lsq({ bits: 2 }),
    });
    const model = tfl.sequential({ layers: [relu] });
    tf.tidy(() => {
      model.apply(tf.tensor2d([[1, 2, 3, 6]]), { training: true });
    });
    expect(
      activationPlaces(model)[0]!.quantizer.activationCode(activationPlaces(model)[0]!.state),
    ).toEqual({
      bits: 2,
      scale: expect.closeTo((2 * 3) / Math.sqrt(3), 6),
      zeroPoint: 0,
      low: 0,
      high: 3,
    });
  });
});

describe('lsqPlus', () => {
  it('has the gradients of the paper', () => {
    // 2 bits: p = 3, s = 0.5, b = -0.5, so z = 1; (x - b) / s = -2, 0.6, 1.2, 2.6, 7
    const found = activationGradients(lsqPlus({ bits: 2 }), [-1.5, -0.2, 0.1, 0.8, 3], c, {
      step: 0.5,
      offset: -0.5,
      step_ready: 1,
    });
    expect(found.value.map((v) => v + 0)).toBeAllClose([-0.5, 0, 0, 1, 1]);
    expect(found.x).toBeAllClose([0, 3, 5, 7, 0]);
    const d = [0, 1 - 0.6, 1 - 1.2, 3 - 2.6, 3];
    const g = 1 / Math.sqrt(5 * 3);
    expect(found.trained[0]).toBeCloseTo(g * d.reduce((sum, each, i) => sum + c[i]! * each, 0), 5);
    expect(found.trained[1]).toBeCloseTo(g * (2 + 11), 5);
  });
});

describe('pact', () => {
  it('has the gradients of the paper', () => {
    // 2 bits: p = 3, a = 1.5, steps of 0.5
    const found = activationGradients(pact({ bits: 2 }), [-1, 0.2, 0.7, 1.4, 3], c, {
      clip: 1.5,
      clip_ready: 1,
    });
    expect(found.value.map((v) => v + 0)).toBeAllClose([0, 0, 0.5, 1.5, 1.5]);
    expect(found.x).toBeAllClose([0, 3, 5, 7, 0]);
    expect(found.trained[0]).toBeCloseTo(11, 5);
  });

  it('starts at the largest activation of the first training batch', () => {
    const layer = quantizeActivations(layers.reLU({ inputShape: [2] }), {
      output: pact({ bits: 4 }),
    });
    const x = tf.tensor2d([
      [-1, 0.7],
      [2.5, 1],
    ]);
    const values = (training: boolean) =>
      Array.from((layer.apply(x, { training }) as tf.Tensor).dataSync());
    expect(values(false)).toBeAllClose([0, 0.7, 2.5, 1]);
    expect(values(true)).toBeAllClose([0, 4, 15, 6].map((code) => (code * 2.5) / 15));
    const [clip] = layer.getWeights();
    expect(clip!.dataSync()[0]).toBe(2.5);
    layer.apply(tf.mul(x, 2), { training: true });
    expect(layer.getWeights()[0]!.dataSync()[0]).toBe(2.5);
  });

  it('adds its penalty to the loss', () => {
    const layer = quantizeActivations(layers.reLU({ inputShape: [2] }), {
      output: pact({ bits: 4, initial: 3, decay: 0.1 }),
    });
    const model = tfl.sequential({ layers: [layer] });
    model.build();
    const losses = (model as unknown as { calculateLosses(): tf.Scalar[] }).calculateLosses();
    expect(losses.map((loss) => loss.dataSync()[0])).toBeAllClose([0.9]);
  });
});

describe('doReFa', () => {
  // larq/larq, quantizers_test.py: k = 2.
  const x = [-0.3, 0.1, 0.2, 0.4, 0.45, 0.6, 0.9, 1.4];
  it('rounds weights as larq does', () => {
    const transform = doReFa({ bits: 2 });
    const [third, one] = [1 / 3, 1];
    expect(transform.bake(tf.tensor(x), null)).toBeAllClose(
      [-third, third, third, third, third, third, one, one],
      1e-6,
    );
  });

  it('rounds activations as larq does', () => {
    const found = activationGradients(
      doReFa({ bits: 2 }),
      x,
      x.map(() => 1),
      {},
    );
    const third = 1 / 3;
    expect(found.value.map((v) => v + 0)).toBeAllClose(
      [0, 0, third, third, third, 2 * third, 1, 1],
      1e-6,
    );
    expect(found.x).toBeAllClose([0, 1, 1, 1, 1, 1, 1, 0]);
  });
});

describe('learned steps', () => {
  const pairs: [string, () => Parameters<typeof quantizeAware>[1]][] = [
    [
      'lsq',
      () => ({
        weights: lsq({ bits: 4, perChannel: true }),
        activations: lsq({ bits: 4, signed: true }),
      }),
    ],
    ['lsqPlus', () => ({ weights: lsq({ bits: 3 }), activations: lsqPlus({ bits: 5 }) })],
    ['pact', () => ({ weights: 4, activations: pact({ bits: 4, initial: 1 }) })],
    ['pact from data', () => ({ weights: 4, activations: pact({ bits: 4 }) })],
    ['doReFa on activations', () => ({ weights: 4, activations: doReFa({ bits: 4 }) })],
  ];
  const network = () =>
    withSeed(2, () => {
      const model = tfl.sequential({
        layers: [
          layers.conv2d({ filters: 3, kernelSize: 3, activation: 'relu', inputShape: [6, 6, 1] }),
          layers.depthwiseConv2d({
            kernelSize: 2,
            depthMultiplier: 2,
            biasInitializer: 'randomNormal',
          }),
          layers.flatten(),
          layers.dense({ units: 2 }),
        ],
      });
      return model;
    });

  it.each(pairs)(
    'train, survive saving, and run in integers bit for bit: %s',
    async (_, options) => {
      const model = quantizeAware(network(), options());
      model.compile({ optimizer: tf.train.sgd(0.05), loss: 'meanSquaredError' });
      const x = tf.randomUniform([8, 6, 6, 1], -1, 1, 'float32', 3);
      await model.fit(x, tf.ones([8, 2]), { epochs: 3, batchSize: 4, verbose: 0 });
      const loaded = await savedAndLoaded(model);
      expect(snapshot(loaded)).toEqual(snapshot(model));
      const clean = (values: number[]) => values.map((value) => value + 0);
      const run = runInteger(lower(loaded), [Float32Array.from(x.dataSync())]);
      expect(run.beyondFloat32).toEqual([]);
      expect(clean(Array.from(run.outputs[0]!))).toEqual(clean(outputs(model, x)));
    },
  );

  it('refuse options that are wrong', () => {
    expect(() => lsq({ bits: 1 })).toThrow('lsq: bits');
    expect(() => lsqPlus({ bits: 17 })).toThrow('lsqPlus: bits');
    expect(() => pact({ bits: 4, initial: 0 })).toThrow('pact: initial');
    expect(() => doReFa({ bits: 2, sign: true } as never)).toThrow('"sign"');
    const twice = quantizeAware(layers.dense({ units: 1, inputShape: [2] }), {
      weights: lsq({ bits: 2 }),
    });
    tfl.sequential({ layers: [twice] });
    expect(() => quantizeAware(twice)).toThrow('quantised already');
  });
});
