// Loads tfjs anew, so that no import has added chained ops to its tensors: tfjs-core, tfjs-layers and the backend alone.
import { createRequire } from 'node:module';
import { beforeAll, expect, test, vi } from 'vitest';

const require = createRequire(import.meta.url);

let tf: typeof import('@tensorflow/tfjs-core');
/** The methods of a tensor before the backend was loaded. */
let stock: string[];
let tfl: typeof import('@tensorflow/tfjs-layers');

beforeAll(async () => {
  for (const path of Object.keys(require.cache)) {
    if (path.includes('@tensorflow')) delete require.cache[path];
  }
  vi.resetModules();
  for (const key of ['_tfengine', '_tfGlobals']) Reflect.deleteProperty(globalThis, key);
  for (const name of ['tfjs-core', 'tfjs-layers', 'tfjs-backend-wasm']) {
    const loaded = require(`@tensorflow/${name}`);
    vi.doMock(`@tensorflow/${name}`, () => ({ ...loaded, default: loaded }));
  }
  tf = require('@tensorflow/tfjs-core');
  tfl = require('@tensorflow/tfjs-layers');
  tf.env().set('PROD', true);
  stock = Object.keys(tf.Tensor.prototype);
  await import('../src/index.ts');
  await tf.setBackend('thimble');
});

test('only the missing methods are added', () => {
  const added = Object.keys(tf.Tensor.prototype)
    .filter((name) => !stock.includes(name))
    .sort();
  expect(added).toEqual([
    'flatten',
    'reshape',
    'sign',
    'slice',
    'split',
    'stridedSlice',
    'transpose',
  ]);
});

test('the orthogonal initializer gives orthogonal matrices', () => {
  for (const shape of [
    [4, 4],
    [3, 7],
    [7, 3],
  ] as [number, number][]) {
    const error = tf.tidy(() => {
      const matrix = tfl.initializers.orthogonal({ gain: 1 }).apply(shape);
      const product = tf.matMul(matrix, matrix, shape[0] > shape[1], shape[0] <= shape[1]);
      return tf.max(tf.abs(tf.sub(product, tf.eye(Math.min(...shape))))).dataSync()[0];
    });
    expect(error).toBeLessThan(1e-5);
  }
});

test('the gradients of prod and of gather along batches run', () => {
  const [prod, gather] = tf.tidy(() => [
    Array.from(
      tf
        .grad((x) => tf.prod(x, 1))(tf.tensor2d([[2, 3, 4]]))
        .dataSync(),
    ),
    Array.from(
      tf
        .grad((x) => tf.gather(x, tf.tensor2d([[1], [0]], [2, 1], 'int32'), 1, 1))(tf.ones([2, 2]))
        .dataSync(),
    ),
  ]);
  expect(prod).toEqual([12, 8, 6]);
  expect(gather).toEqual([0, 1, 1, 0]);
});

const { lstm, gru, simpleRNN, convLstm2d, bidirectional } = {
  lstm: (more: object) => tfl.layers.lstm({ units: 3, ...more }),
  gru: (more: object) => tfl.layers.gru({ units: 3, ...more }),
  simpleRNN: (more: object) => tfl.layers.simpleRNN({ units: 3, ...more }),
  convLstm2d: (more: object) => tfl.layers.convLstm2d({ filters: 2, kernelSize: 3, ...more }),
  bidirectional: (more: object) =>
    tfl.layers.bidirectional({
      layer: tfl.layers.lstm({ units: 3 }) as never,
      mergeMode: 'concat',
      ...more,
    }),
};

test.each([
  ['lstm', lstm, [4, 2]],
  ['gru', gru, [4, 2]],
  ['simpleRNN', simpleRNN, [4, 2]],
  ['bidirectional', bidirectional, [4, 2]],
  ['convLstm2d', convLstm2d, [3, 5, 5, 1]],
] as [string, (more: object) => never, number[]][])('%s learns', async (_, make, inputShape) => {
  const model = tfl.sequential({
    layers: [
      make({ inputShape }),
      ...(inputShape.length > 2 ? [tfl.layers.flatten()] : []),
      tfl.layers.dense({ units: 1 }),
    ],
  });
  model.compile({ optimizer: tf.train.adam(0.05), loss: 'meanSquaredError' });
  const x = tf.randomNormal([8, ...inputShape], 0, 1, 'float32', 3);
  const y = tf.randomNormal([8, 1], 0, 1, 'float32', 4);
  const losses: number[] = [];
  for (let i = 0; i < 25; i++) losses.push((await model.trainOnBatch(x, y)) as number);
  expect(losses.at(-1)).toBeLessThan(0.8 * (losses[0] as number));
  tf.dispose([x, y]);
});
