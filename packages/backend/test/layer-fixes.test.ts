import '../src/index.ts';
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { beforeAll, describe, expect, test } from 'vitest';
import { expectClose, expectGradient, on, values } from './helpers.ts';

const { layers } = tfl;
type Layer = tfl.layers.Layer;

beforeAll(async () => {
  await tf.setBackend('thimble');
});

function weighted(y: tf.Tensor): tf.Scalar {
  return tf.sum(tf.mul(y, tf.tensor(values(y.shape, 99), y.shape))) as tf.Scalar;
}

const input = (shape: number[], seed = 1) => ({ shape, data: values(shape, seed) });

function built<L extends Layer>(layer: L, shape: number[]): L {
  layer.apply(tfl.input({ batchShape: shape }));
  return layer;
}

const train = (layer: Layer, x: tf.Tensor) => layer.apply(x, { training: true }) as tf.Tensor;

describe('BatchNormalization', () => {
  const cases: [number[], number][] = [
    [[6, 3], -1],
    [[4, 5, 3], 2],
    [[4, 5, 3], 1],
    [[3, 4, 2, 3], -1],
    [[3, 4, 2, 3], 1],
    [[2, 3, 2, 2, 3], -1],
    [[2, 3, 2, 2, 3], 1],
  ];
  const options = [{}, { scale: false }, { center: false }, { scale: false, center: false }];
  const runs = cases.flatMap(([shape, axis]) => options.map((o) => ({ shape, axis, ...o })));

  test.each(runs)('trains with %o', async ({ shape, axis, ...rest }) => {
    await tf.setBackend('thimble');
    const channels = shape.at(axis) as number;
    const layer = built(layers.batchNormalization({ axis, ...rest }), shape);
    const inputs = [input(shape), input([channels], 2), input([channels], 3)];
    const names = ['gamma', 'beta'].filter(
      (name) => (layer as never as Record<string, unknown>)[name],
    );
    await expectGradient(
      (x, ...parameters) => {
        names.forEach((name, i) => {
          Object.assign(layer, { [name]: { read: () => parameters[i] } });
        });
        return weighted(train(layer, x));
      },
      inputs.slice(0, 1 + names.length),
      { tolerance: 2e-3 },
    );
  });

  test.each(runs)('gives mean 0 and variance 1, and follows both, with %o', async (run) => {
    const { shape, axis, ...rest } = run;
    const at = axis < 0 ? axis + shape.length : axis;
    const others = shape.map((_, i) => i).filter((i) => i !== at);
    await tf.setBackend('thimble');
    const layer = built(layers.batchNormalization({ axis, momentum: 0.9, ...rest }), shape);
    const read = () =>
      tf.tidy(() => {
        const x = tf.tensor(values(shape, 5), shape);
        const y = train(layer, x);
        const [of, after] = [tf.moments(x, others), tf.moments(y, others)];
        const all = [of.mean, of.variance, after.mean, after.variance];
        return all.map((t) => Array.from(t.dataSync()));
      });
    const [mean, variance, mean2, variance2] = read() as [number[], number[], number[], number[]];
    expectClose(
      mean2,
      mean.map(() => 0),
      1e-5,
    );
    expectClose(
      variance2,
      variance.map((v) => v / (v + 1e-3)),
      1e-5,
    );
    const moving = layer
      .getWeights()
      .slice(-2)
      .map((w) => Array.from(w.dataSync()));
    expectClose(
      moving[0] as number[],
      mean.map((m) => 0.1 * m),
      1e-6,
    );
    expectClose(
      moving[1] as number[],
      variance.map((v) => 0.9 + 0.1 * v),
      1e-6,
    );
    // Inference then normalises by the moving statistics.
    const own = shape.map((size, i) => (i === at ? size : 1));
    const [y, expected] = await on('thimble', () => {
      const x = tf.tensor(values(shape, 6), shape);
      const [m, v] = moving.map((list) => tf.tensor(list as number[], own)) as [
        tf.Tensor,
        tf.Tensor,
      ];
      return [layer.apply(x) as tf.Tensor, tf.div(tf.sub(x, m), tf.sqrt(tf.add(v, 1e-3)))];
    });
    expectClose(y?.data as number[], expected?.data as number[]);
  });

  test('equals the cpu backend over several steps where that can train', async () => {
    const fit = async (backend: string) => {
      await tf.setBackend(backend);
      const model = tfl.sequential({
        layers: [
          layers.dense({ units: 4, inputShape: [3] }),
          layers.batchNormalization(),
          layers.dense({ units: 2 }),
        ],
      });
      model.compile({ optimizer: tf.train.sgd(0.3), loss: 'meanSquaredError' });
      model.weights.forEach((weight, i) => {
        const data = values(weight.shape as number[], i).map((v) =>
          /variance/.test(weight.name) ? 1 + v / 2 : v,
        );
        weight.write(tf.tensor(data, weight.shape as number[]));
      });
      tf.env().set('IS_TEST', false); // fused ops save tensors, which the leak check counts
      for (let i = 0; i < 5; i++) {
        const [x, y] = [
          tf.tensor(values([8, 3], i), [8, 3]),
          tf.tensor(values([8, 2], i + 50), [8, 2]),
        ];
        await model.trainOnBatch(x, y);
        tf.dispose([x, y]);
      }
      tf.env().set('IS_TEST', true);
      return model.getWeights().flatMap((w) => Array.from(w.dataSync()));
    };
    expectClose(await fit('thimble'), await fit('cpu'), 1e-5);
  });

  test('a gradient of a gradient is right', async () => {
    await tf.setBackend('thimble');
    const layer = built(layers.batchNormalization(), [5, 3]);
    await expectGradient(
      (x) => {
        const gradient = tf.grad((a) => weighted(tf.square(train(layer, a))))(x);
        return weighted(tf.square(gradient));
      },
      [input([5, 3])],
      { tolerance: 2e-2 },
    );
  });

  test('leaves no tensor behind', async () => {
    await tf.setBackend('thimble');
    const layer = built(layers.batchNormalization({ axis: 1 }), [4, 3, 2]);
    const x = tf.tensor(values([4, 3, 2], 1), [4, 3, 2]);
    const before = tf.memory().numTensors;
    tf.dispose(tf.tidy(() => tf.grad((a) => weighted(train(layer, a)))(x)));
    expect(tf.memory().numTensors).toBe(before);
    tf.dispose(x);
  });

  test('stays stock on other backends', async () => {
    await tf.setBackend('cpu');
    const layer = built(layers.batchNormalization({ scale: false }), [4, 3]);
    expect(() => tf.tidy(() => train(layer, tf.ones([4, 3])))).toThrow();
  });
});

describe('layers whose gradient was missing train', () => {
  test('ThresholdedReLU', () =>
    expectGradient(
      (x) => weighted(train(layers.thresholdedReLU({ theta: 0.3 }), x)),
      [input([4, 5])],
      { step: 1e-3, tolerance: 2e-3 },
    ));

  test.each([
    [4, 4],
    [3, 5],
    [9, 9],
  ])('CenterCrop to %i x %i', (height, width) =>
    expectGradient(
      (x) => weighted(train(layers.centerCrop({ height, width }), x)),
      [input([2, 8, 7, 2])],
      { entries: 40 },
    ),
  );

  test.each([
    ['conv1d', () => layers.conv1d({ filters: 2, kernelSize: 3, dilationRate: 2 }), [2, 9, 3]],
    [
      'conv2d',
      () => layers.conv2d({ filters: 2, kernelSize: 3, dilationRate: [2, 1] }),
      [2, 7, 6, 3],
    ],
    [
      'conv2d with relu',
      () => layers.conv2d({ filters: 2, kernelSize: 3, dilationRate: 2, activation: 'elu' }),
      [2, 7, 6, 3],
    ],
    [
      'conv2d, channels first',
      () =>
        layers.conv2d({ filters: 2, kernelSize: 2, dilationRate: 2, dataFormat: 'channelsFirst' }),
      [2, 3, 6, 5],
    ],
    [
      'depthwiseConv2d',
      () => layers.depthwiseConv2d({ kernelSize: 3, dilationRate: 2 }),
      [2, 7, 6, 3],
    ],
    [
      'separableConv2d',
      () => layers.separableConv2d({ filters: 2, kernelSize: 3, dilationRate: 2 }),
      [2, 7, 6, 3],
    ],
  ] as [string, () => Layer, number[]][])('dilated %s', async (_, make, shape) => {
    await tf.setBackend('thimble');
    const layer = built(make(), shape);
    await expectGradient((x) => weighted(train(layer, x)), [input(shape)]);
    // The forward pass is that of the layer outside of training.
    const [trained, plain] = await on('thimble', () => {
      const x = tf.tensor(values(shape, 3), shape);
      return [train(layer, x), layer.apply(x) as tf.Tensor];
    });
    expectClose(trained?.data as number[], plain?.data as number[]);
  });
});

test('a Conv2D layer without a bias computes no gradient of an input that is not asked for', async () => {
  await tf.setBackend('thimble');
  const shape = [2, 6, 6, 3];
  const layer = built(layers.conv2d({ filters: 2, kernelSize: 3, useBias: false }), shape);
  const { kernelNames } = await tf.profile(() =>
    tf.tidy(() => {
      const { grads } = tf.variableGrads(() => weighted(train(layer, tf.ones(shape))));
      return Object.values(grads);
    }),
  );
  expect(kernelNames).toContain('Conv2DBackpropFilter');
  expect(kernelNames).not.toContain('Conv2DBackpropInput');
});

describe('noise with a seed', () => {
  const dropout = { units: 4, dropout: 0.5, recurrentDropout: 0.5 };
  const noises: [string, (seed?: number) => Layer, number[]][] = [
    ['dropout', (seed) => layers.dropout({ rate: 0.5, seed }), [4, 8]],
    [
      'spatialDropout1d',
      (seed) => layers.spatialDropout1d({ rate: 0.5, seed } as never),
      [4, 3, 8],
    ],
    [
      'gaussianNoise',
      (seed) => Object.assign(layers.gaussianNoise({ stddev: 1 }), { seed }),
      [4, 8],
    ],
    [
      'gaussianDropout',
      (seed) => Object.assign(layers.gaussianDropout({ rate: 0.5 }), { seed }),
      [4, 8],
    ],
    ['alphaDropout', (seed) => Object.assign(layers.alphaDropout({ rate: 0.5 }), { seed }), [4, 8]],
    ['simpleRNN', (seed) => Object.assign(layers.simpleRNN(dropout), { seed }), [4, 3, 8]],
    ['gru', (seed) => Object.assign(layers.gru(dropout), { seed }), [4, 3, 8]],
    ['lstm', (seed) => Object.assign(layers.lstm(dropout), { seed }), [4, 3, 8]],
    [
      'rnn of cells',
      (seed) => Object.assign(layers.rnn({ cell: layers.lstmCell(dropout) }), { seed }),
      [4, 3, 8],
    ],
  ];

  /** Three training steps of a new layer on the same input. */
  async function steps(backend: string, make: () => Layer, shape: number[]): Promise<number[][]> {
    await tf.setBackend(backend);
    const layer = built(make(), shape);
    layer.weights.forEach((weight, i) => {
      weight.write(tf.tensor(values(weight.shape as number[], i), weight.shape as number[]));
    });
    const x = tf.ones(shape);
    const outputs = [0, 1, 2].map(() => tf.tidy(() => Array.from(train(layer, x).dataSync())));
    tf.dispose(x);
    return outputs;
  }

  test.each(noises)('%s: equal runs, another draw at every step', async (_, make, shape) => {
    const first = await steps('thimble', () => make(7), shape);
    expect(await steps('thimble', () => make(7), shape)).toEqual(first);
    expect(await steps('thimble', () => make(8), shape)).not.toEqual(first);
    expect(first[0]).not.toEqual(first[1]);
    expect(first[1]).not.toEqual(first[2]);
  });

  // Stock keeps the first mask of an RNN of cells.
  test.each(noises.slice(0, -1))(
    '%s: without a seed it draws from Math.random, as stock does',
    async (_, make, shape) => {
      const random = Math.random;
      try {
        let state = 0;
        Math.random = () => (state = (state + 0.618) % 1);
        const ours = await steps('thimble', () => make(), shape);
        state = 0;
        const stock = await steps('cpu', () => make(), shape);
        ours.forEach((values, i) => {
          expectClose(values, stock[i] as number[]);
        });
      } finally {
        Math.random = random;
      }
    },
  );

  test.each(noises)('%s: the seed goes through the config', async (_, make, shape) => {
    await tf.setBackend('thimble');
    const layer = make(7);
    const Class = layer.constructor as never as {
      fromConfig(cls: unknown, config: unknown): Layer;
    };
    const config = JSON.parse(JSON.stringify(layer.getConfig()));
    expect(config.seed).toBe(7);
    const again = Class.fromConfig(layer.constructor, layer.getConfig());
    expect((again as never as { seed: number }).seed).toBe(7);
    expect('seed' in make().getConfig() && make().getConfig().seed != null).toBe(false);
    expect(shape.length).toBeGreaterThan(1);
  });

  test('an RNN of cells has no dropout left in inference', async () => {
    await tf.setBackend('thimble');
    for (const cell of [
      layers.gruCell(dropout),
      [layers.gruCell(dropout), layers.lstmCell(dropout)],
    ]) {
      const layer = built(layers.rnn({ cell: cell as never }) as Layer, [4, 3, 8]);
      const infer = () =>
        tf.tidy(() => Array.from((layer.apply(tf.ones([4, 3, 8])) as tf.Tensor).dataSync()));
      const before = infer();
      tf.tidy(() => train(layer, tf.ones([4, 3, 8])));
      expect(infer()).toEqual(before);
    }
  });

  test('inference draws nothing', async () => {
    await tf.setBackend('thimble');
    const read = (layer: Layer) =>
      tf.tidy(() => Array.from(train(layer, tf.ones([4, 8])).dataSync()));
    const [one, other] = [1, 2].map(() => layers.dropout({ rate: 0.5, seed: 7 }));
    expect(read(one!)).toEqual(read(other!));
    tf.tidy(() => one!.apply(tf.ones([4, 8])) as tf.Tensor);
    expect(read(one!)).toEqual(read(other!));
  });

  test('other backends keep the one mask of a stock seed', async () => {
    const [a, b] = await steps('cpu', () => layers.dropout({ rate: 0.5, seed: 7 }), [4, 8]);
    expect(a).toEqual(b);
  });

  test('a layer made after the fixes has the name that it has without them', () => {
    expect(layers.alphaDropout({ rate: 0.1 }).name).toMatch(/^alpha_dropout_AlphaDropout\d+$/);
  });
});
