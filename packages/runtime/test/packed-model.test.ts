import * as tfl from '@tensorflow/tfjs-layers';
import { ShapeError, UnsupportedError } from '@thimble/base';
import { useCpu } from '@thimble/testing';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { pack } from '../src/index.ts';
import { expected, fill, inputsFor, lower, packed } from './networks.ts';

useCpu();
const { layers } = tfl;

/** Asserts that a model and its packed form give the same for a batch. */
async function expectSame(
  model: tfl.LayersModel,
  seed: number,
  zeros = 0,
  batch = 2,
): Promise<void> {
  fill(model, seed, zeros);
  const inputs = inputsFor(model, batch, seed + 100);
  const want = expected(model, inputs, batch);
  const got = await packed(lower(model), inputs);
  for (const [i, output] of want.entries()) expect(got[i]).toBeAllClose(output, 2e-5);
  model.dispose();
}

const upTo = (max: number) => fc.integer({ min: 1, max });
const padding = fc.constantFrom('same' as const, 'valid' as const);
const activation = fc.constantFrom(
  'linear',
  'relu',
  'relu6',
  'sigmoid',
  'tanh',
  'elu',
  'selu',
  'softsign',
  'hardSigmoid',
  'softmax',
);
const zeros = fc.constantFrom(0, 0.5, 0.9, 1);
const conv = fc
  .record({
    height: upTo(20),
    width: upTo(20),
    channels: upTo(9),
    filters: upTo(9),
    kernelSize: fc.tuple(upTo(5), upTo(5)),
    strides: fc.tuple(upTo(3), upTo(3)),
    dilationRate: fc.tuple(upTo(2), upTo(2)),
    padding,
    activation,
    useBias: fc.boolean(),
    zeros,
    seed: fc.nat(1000),
  })
  .map((c) =>
    c.strides[0] + c.strides[1] > 2 ? { ...c, dilationRate: [1, 1] as [number, number] } : c,
  )
  .filter(
    ({ padding, height, width, kernelSize: [a, b], dilationRate: [d, e] }) =>
      padding === 'same' || ((a - 1) * d < height && (b - 1) * e < width),
  );

async function property<T>(
  arbitrary: fc.Arbitrary<T>,
  runs: number,
  check: (example: T) => Promise<void>,
) {
  await fc.assert(fc.asyncProperty(arbitrary, check), { seed: 20_240_611, numRuns: runs });
}

describe('layers equal those of tfjs', () => {
  test('conv2d', () =>
    property(conv, 120, ({ height, width, channels, zeros, seed, ...args }) => {
      const inputShape = [height, width, channels];
      return expectSame(
        tfl.sequential({ layers: [layers.conv2d({ ...args, inputShape } as never)] }),
        seed,
        zeros,
      );
    }));

  test('depthwiseConv2d', () =>
    property(
      fc.tuple(conv, upTo(2)),
      80,
      ([{ height, width, channels, zeros, seed, filters, ...args }, depthMultiplier]) => {
        const strides = [args.strides[0], args.strides[0]] as [number, number];
        const inputShape = [height, width, channels];
        const layer = layers.depthwiseConv2d({
          ...args,
          strides,
          depthMultiplier,
          inputShape,
        } as never);
        return expectSame(tfl.sequential({ layers: [layer] }), seed, zeros);
      },
    ));

  test('dense', () =>
    property(
      fc.record({ inputs: upTo(70), units: upTo(40), activation, zeros, seed: fc.nat(1000) }),
      80,
      ({ inputs, units, activation, zeros, seed }) =>
        expectSame(
          tfl.sequential({
            layers: [
              layers.dense({ units, activation: activation as never, inputShape: [inputs] }),
            ],
          }),
          seed,
          zeros,
        ),
    ));

  test('pooling', () =>
    property(
      fc
        .record({
          height: upTo(13),
          width: upTo(13),
          channels: upTo(5),
          pool: fc.tuple(upTo(3), upTo(3)),
          strides: fc.tuple(upTo(3), upTo(3)),
          padding,
          mean: fc.boolean(),
          seed: fc.nat(1000),
        })
        .filter(
          ({ padding, height, width, pool: [a, b] }) =>
            padding === 'same' || (a <= height && b <= width),
        ),
      80,
      ({ height, width, channels, pool, strides, padding, mean, seed }) => {
        const args = {
          poolSize: pool,
          strides,
          padding,
          inputShape: [height, width, channels],
        } as never;
        return expectSame(
          tfl.sequential({
            layers: [mean ? layers.averagePooling2d(args) : layers.maxPooling2d(args)],
          }),
          seed,
        );
      },
    ));
});

type Apply = (x: tfl.SymbolicTensor) => tfl.SymbolicTensor;
const on =
  (layer: tfl.layers.Layer): Apply =>
  (x) =>
    layer.apply(x) as tfl.SymbolicTensor;

describe('networks equal those of tfjs', () => {
  test('LeNet-5', () =>
    expectSame(
      tfl.sequential({
        layers: [
          layers.conv2d({
            filters: 20,
            kernelSize: 5,
            activation: 'relu',
            inputShape: [28, 28, 1],
          }),
          layers.maxPooling2d({ poolSize: 2 }),
          layers.conv2d({ filters: 50, kernelSize: 5, activation: 'relu' }),
          layers.maxPooling2d({ poolSize: 2 }),
          layers.flatten(),
          layers.dense({ units: 50, activation: 'relu' }),
          layers.dropout({ rate: 0.5 }),
          layers.dense({ units: 10, activation: 'softmax' }),
        ],
      }),
      1,
    ));

  test('separable convolutions with batch normalisation', () => {
    const block = (filters: number, strides: number) => [
      layers.depthwiseConv2d({ kernelSize: 3, strides, padding: 'same', useBias: false }),
      layers.batchNormalization(),
      layers.reLU({ maxValue: 6 }),
      layers.conv2d({ filters, kernelSize: 1, useBias: false }),
      layers.batchNormalization(),
      layers.activation({ activation: 'relu' }),
    ];
    return expectSame(
      tfl.sequential({
        layers: [
          layers.conv2d({
            filters: 7,
            kernelSize: 3,
            strides: 2,
            padding: 'same',
            inputShape: [15, 15, 3],
          }),
          layers.batchNormalization(),
          layers.leakyReLU(),
          ...block(12, 1),
          ...block(9, 2),
          layers.separableConv2d({ filters: 5, kernelSize: 3, activation: 'relu' }),
          layers.globalAveragePooling2d({}),
          layers.dense({ units: 4 }),
          layers.softmax(),
        ],
      }),
      2,
    );
  });

  test('residual sums, concatenation, several inputs and outputs', () => {
    const first = tfl.input({ shape: [9, 8, 3] });
    const second = tfl.input({ shape: [5] });
    const convolved = on(
      layers.conv2d({ filters: 6, kernelSize: 3, padding: 'same', activation: 'relu' }),
    )(first);
    const normal = on(layers.batchNormalization())(
      on(layers.conv2d({ filters: 6, kernelSize: 3, padding: 'same' }))(convolved),
    );
    const sum = on(layers.reLU())(layers.add().apply([normal, convolved]) as tfl.SymbolicTensor);
    const shortcut = on(layers.conv2d({ filters: 4, kernelSize: 1, strides: 2 }))(sum);
    const main = on(layers.conv2d({ filters: 4, kernelSize: 3, strides: 2, padding: 'same' }))(sum);
    const joined = layers.add().apply([shortcut, main]) as tfl.SymbolicTensor;
    const both = layers.concatenate().apply([joined, main, shortcut]) as tfl.SymbolicTensor;
    const mixed = layers.multiply().apply([joined, main]) as tfl.SymbolicTensor;
    const mean = layers.average().apply([joined, main, mixed]) as tfl.SymbolicTensor;
    const padded = on(
      layers.zeroPadding2d({
        padding: [
          [1, 2],
          [0, 3],
        ] as never,
      }),
    )(mean);
    const flat = on(layers.flatten())(both);
    const vector = layers.concatenate().apply([flat, second]) as tfl.SymbolicTensor;
    const scores = on(layers.dense({ units: 3, activation: 'softmax' }))(vector);
    const outputs = [scores, padded, sum, on(layers.globalMaxPooling2d({}))(both)];
    return expectSame(tfl.model({ inputs: [first, second], outputs }), 3, 0.3, 3);
  });

  test('a value that two layers read is not changed by what is fused', () => {
    const x = tfl.input({ shape: [6, 6, 2] });
    const y = on(layers.conv2d({ filters: 4, kernelSize: 3 }))(x);
    const same = on(layers.dropout({ rate: 0.1 }))(y);
    const rectified = on(layers.reLU())(same);
    return expectSame(
      tfl.model({
        inputs: x,
        outputs: [rectified, on(layers.conv2d({ filters: 2, kernelSize: 1 }))(y)],
      }),
      4,
    );
  });

  test('images of one pixel, and changes of shape', () =>
    expectSame(
      tfl.sequential({
        layers: [
          layers.conv2d({
            filters: 6,
            kernelSize: 3,
            strides: 2,
            padding: 'same',
            inputShape: [2, 2, 3],
          }),
          layers.conv2d({ filters: 5, kernelSize: 1, activation: 'relu' }),
          layers.depthwiseConv2d({ kernelSize: 3, padding: 'same' }),
          layers.reshape({ targetShape: [5] }),
          layers.dense({ units: 12 }),
          layers.reshape({ targetShape: [2, 3, 2] }),
          layers.conv2d({ filters: 4, kernelSize: [2, 3], activation: 'relu' }),
          layers.reshape({ targetShape: [1, 1, 4] }),
          layers.conv2d({ filters: 3, kernelSize: 1 }),
          layers.maxPooling2d({ poolSize: 1 }),
          layers.flatten(),
        ],
      }),
      6,
    ));

  test('one layer in two places', () => {
    const x = tfl.input({ shape: [5, 5, 3] });
    const shared = layers.conv2d({
      filters: 3,
      kernelSize: 3,
      padding: 'same',
      activation: 'relu',
    });
    const y = on(shared)(on(shared)(x));
    return expectSame(
      tfl.model({ inputs: x, outputs: [y, on(layers.globalAveragePooling2d({}))(y)] }),
      7,
    );
  });

  test('sequences', () =>
    expectSame(
      tfl.sequential({
        layers: [
          layers.conv1d({
            filters: 5,
            kernelSize: 3,
            padding: 'same',
            activation: 'relu',
            inputShape: [17, 3],
          }),
          layers.maxPooling1d({ poolSize: 2 }),
          layers.conv1d({ filters: 4, kernelSize: 2, strides: 2 }),
          layers.dense({ units: 3 }),
          layers.globalAveragePooling1d(),
        ],
      }),
      5,
    ));
});

test.each([
  [[5, 4, 4], [2]],
  [[5, 4, 4], [1]],
  [
    [5, 4, 4],
    [1, 3],
  ],
  [
    [5, 4, 4],
    [1, 2, 3],
  ],
  [[4, 4], [2]],
  [[4, 4], [1]],
])('prelu of [%s] whose slopes are shared along %s', (inputShape, sharedAxes) => {
  const layer = layers.prelu({ sharedAxes, inputShape });
  return expectSame(tfl.sequential({ layers: [layer] }), 8);
});

test('flatten of images with their channels first', () => {
  const flatten = layers.flatten({ dataFormat: 'channelsFirst', inputShape: [3, 4, 2] } as never);
  return expectSame(tfl.sequential({ layers: [flatten, layers.dense({ units: 3 })] }), 9);
});

test('what would be broadcast, or has its channels first, is refused', async () => {
  const [a, b] = [tfl.input({ shape: [2, 1, 3] }), tfl.input({ shape: [1, 2, 3] })];
  const sum = layers.add({ name: 'sum' }).apply([a, b]) as tfl.SymbolicTensor;
  const wide = lower(tfl.model({ inputs: [a, b], outputs: sum }));
  await expect(pack(wide)).rejects.toThrow(
    '"sum": the packed runtime cannot run add with inputs of',
  );
  const pool = layers.globalMaxPooling2d({
    name: 'pool',
    dataFormat: 'channelsFirst',
    inputShape: [3, 3, 3],
  });
  await expect(pack(lower(tfl.sequential({ layers: [pool] })))).rejects.toThrow('"pool"');
  const softmax = layers.softmax({ name: 'turned', axis: 1, inputShape: [3, 3] });
  await expect(pack(lower(tfl.sequential({ layers: [softmax] })))).rejects.toThrow('"turned"');
});

test('what it cannot run is named', async () => {
  const model = tfl.sequential({
    layers: [layers.lstm({ units: 2, inputShape: [3, 4], name: 'memory' })],
  });
  await expect(pack(lower(model))).rejects.toThrow(UnsupportedError);
  await expect(pack(lower(model))).rejects.toThrow(
    'layer "memory": the packed runtime cannot run lstm',
  );
});

test('refuses what are no values, and says how to make some of lists', async () => {
  const model = tfl.sequential({ layers: [layers.dense({ units: 2, inputShape: [3] })] });
  const net = await pack(lower(model));
  const name = net.inputs[0]!.name;
  const advice = 'Of nested lists Float32Array.from(list.flat(9)) makes one.';
  const said = (given: unknown) => () => net.predict(given as Float32Array);
  for (const given of [
    [[1, 2, 3]],
    [1, 2, 3],
    new Float64Array(3),
    new ArrayBuffer(12),
    new Map(),
  ]) {
    const { name: kind } = given.constructor;
    expect(said(given), kind).toThrow(`or such by the names of the inputs; this is ${kind}. `);
    expect(said(given), kind).toThrow(advice);
  }
  for (const given of [undefined, null]) expect(said(given)).toThrow(`this is ${given}.`);
  expect(said({ [name]: [[1, 2, 3]] })).toThrow('this is Array.');
  expect(said(Float32Array.from([[[1, 2, 3]]].flat(9)))()).toHaveLength(2);
  net.dispose();
});

test('writes into what it is given, and nothing where that has the wrong size', async () => {
  const x = tfl.input({ shape: [3], name: 'x' });
  const [a, b] = [layers.dense({ units: 2, name: 'a' }), layers.dense({ units: 4, name: 'b' })];
  const model = tfl.model({
    inputs: x,
    outputs: [a.apply(x) as tfl.SymbolicTensor, b.apply(x) as tfl.SymbolicTensor],
  });
  fill(model, 5);
  const [values] = inputsFor(model, 2, 6) as [Float32Array];
  const net = await pack(lower(model));
  const made = net.predict(values);
  const into = Object.fromEntries(
    net.outputs.map(({ name, size }) => [name, new Float32Array(2 * size).fill(7)]),
  );
  const short = net.outputs[1]!.name;
  expect(() => net.predict(values, { into: { ...into, [short]: new Float32Array(7) } })).toThrow(
    `the array for output "${short}" has 7 values; a batch of 2 makes 8.`,
  );
  expect(() => net.predict(values, { into: { ...into, c: into[short]! } })).toThrow(
    'no output is named "c"',
  );
  expect(() => net.predict(values, { into: into[short]! })).toThrow('give them by name');
  const lists = { ...into, [short]: new Array(8).fill(7) } as never;
  expect(() => net.predict(values, { into: lists })).toThrow('by the names of the outputs');
  for (const array of Object.values(into)) expect(array.every((value) => value === 7)).toBe(true);
  const given = net.predict(values, { into });
  for (const [name, array] of Object.entries(into)) expect(given).toHaveProperty(name, array);
  expect(given).toEqual(made);
  net.dispose();
  model.dispose();
});

test('weights that do not fit their layer are an error that names it', async () => {
  const model = tfl.sequential({
    layers: [
      layers.conv2d({ name: 'conv', filters: 4, kernelSize: 3, inputShape: [6, 6, 2] }),
      layers.flatten(),
      layers.dense({ name: 'dense', units: 3 }),
    ],
  });
  fill(model, 7);
  const graph = lower(model);
  const withShape = (layer: string, role: string, shape: number[]) => {
    const key = graph.nodes.find((node) => node.layer === layer)!.weights[role]!;
    const data = new Float32Array(shape.reduce((n, size) => n * size, 1));
    const encoding = { ...graph.weights[key]!.encoding, shape, nonzero: 0 };
    return { ...graph, weights: { ...graph.weights, [key]: { data, encoding } } };
  };
  const cases = [
    [withShape('conv', 'bias', [1, 0, 0]), 'layer "conv": its bias has 0 values'],
    [withShape('conv', 'kernel', [3, 3, 3, 4]), 'layer "conv": its kernel leads from 3 to 4'],
    [withShape('conv', 'kernel', [3, 3, 2, 5]), 'layer "conv": its kernel leads from 2 to 5'],
    [withShape('dense', 'kernel', [64, 4]), 'layer "dense": its kernel leads from 64 to 4'],
  ] as const;
  for (const [bad, message] of cases) {
    await expect(pack(bad)).rejects.toThrow(ShapeError);
    await expect(pack(bad)).rejects.toThrow(message);
  }
  model.dispose();
});
