import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { Random, type ValueCode } from '@thimble/base';
import { type Graph, runInteger } from '@thimble/graph';
import { xnorConv2d, xnorDense } from '@thimble/quantization';
import { useCpu } from '@thimble/testing';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Choice, pack } from '../src/index.ts';
import { expected, fill, inputsFor, lower, packed, random } from './networks.ts';

useCpu();
const { layers } = tfl;
const upTo = (max: number) => fc.integer({ min: 1, max });
const seed = fc.nat(1000);

async function property<T>(
  arbitrary: fc.Arbitrary<T>,
  runs: number,
  check: (example: T) => Promise<void>,
): Promise<void> {
  await fc.assert(fc.asyncProperty(arbitrary, check), { seed: 20_240_611, numRuns: runs });
}

interface Coding {
  bits: number;
  zeros: number;
  perChannel: boolean;
  codes: boolean;
  seed: number;
}

/** Kernels as whole numbers times steps that are powers of two; with `codes`, inputs of 8 bits as well. */
function coded(graph: Graph, { bits, zeros, perChannel, codes, seed }: Coding): Graph {
  const next = random(seed);
  const weights = { ...graph.weights };
  const nodes = graph.nodes.map((node) => {
    const role = ['kernel', 'depthwiseKernel'].find((name) => name in node.weights);
    if (!role) return node;
    const key = node.weights[role]!;
    const { shape } = graph.weights[key]!.encoding;
    const axis = role === 'kernel' ? shape.length - 1 : 2;
    const inner = shape.slice(axis + 1).reduce((n, s) => n * s, 1);
    const count = perChannel ? shape[axis]! : 1;
    const scale = Float32Array.from({ length: count }, () => 0.001 + next() / 50);
    const half = 2 ** (bits - 1);
    const data = Float32Array.from({ length: shape.reduce((n, s) => n * s, 1) }, (_, i) => {
      if (next() < zeros) return 0;
      const code = Math.floor(next() * 2 * half) - half;
      return code * scale[Math.floor(i / inner) % count]!;
    });
    const values: ValueCode = {
      ...{ type: 'affine', bits, scale, zeroPoint: new Int32Array(count) },
      axis: perChannel ? axis : null,
    };
    weights[key] = { encoding: { shape, values, nonzero: data.length }, data };
    const input = { bits: 8, scale: 0.01 + next() / 100, zeroPoint: 100, low: 0, high: 255 };
    return codes ? { ...node, codes: { inputs: [input] } } : node;
  });
  return { ...graph, nodes, weights };
}

const coding = fc.record({
  bits: fc.constantFrom(2, 4, 8),
  zeros: fc.constantFrom(0, 0.6, 0.95),
  perChannel: fc.boolean(),
  seed,
});
const image = fc.record({
  height: upTo(12),
  width: upTo(12),
  channels: upTo(7),
  filters: upTo(7),
  kernelSize: fc.tuple(fc.constantFrom(1, 2, 3), fc.constantFrom(1, 2, 3)),
  strides: fc.constantFrom(1, 2),
  padding: fc.constantFrom('same' as const, 'valid' as const),
  activation: fc.constantFrom('linear', 'relu'),
  separate: fc.boolean(),
});
type Image = typeof image extends fc.Arbitrary<infer T> ? T : never;

function convolution({ height, width, channels, separate, ...args }: Image): tfl.LayersModel {
  const inputShape = [height, width, channels];
  const make = separate ? layers.depthwiseConv2d : layers.conv2d;
  return tfl.sequential({ layers: [make({ ...args, inputShape } as never)] });
}

const fits = ({ height, width, kernelSize: [a, b], padding }: Image): boolean =>
  padding === 'same' || (a <= height && b <= width);

/** Bits of float32, minus zero as zero. */
const bitsOf = (values: Float32Array): number[] => [
  ...new Uint32Array(Float32Array.from(values, (x) => x + 0).buffer),
];

async function expectInteger(
  model: tfl.LayersModel,
  options: Omit<Coding, 'codes'>,
): Promise<void> {
  fill(model, options.seed);
  const graph = coded(lower(model), { ...options, codes: true });
  const inputs = inputsFor(model, 2, options.seed);
  const { outputs } = runInteger(graph, inputs);
  const got = await packed(graph, inputs);
  expect(bitsOf(got[0]!)).toEqual(bitsOf(outputs[0]!));
  model.dispose();
}

describe('layers with codes equal the integer reference bit for bit', () => {
  test('convolutions', () =>
    property(fc.tuple(image.filter(fits), coding), 120, ([args, options]) =>
      expectInteger(convolution(args), options),
    ));

  test('dense layers', () =>
    property(fc.tuple(upTo(75), upTo(40), coding), 80, ([inputs, units, options]) =>
      expectInteger(
        tfl.sequential({ layers: [layers.dense({ units, inputShape: [inputs] })] }),
        options,
      ),
    ));

  test('a network of them', () =>
    expectInteger(
      tfl.sequential({
        layers: [
          layers.conv2d({ filters: 5, kernelSize: 3, activation: 'relu', inputShape: [10, 10, 2] }),
          layers.depthwiseConv2d({ kernelSize: 3, padding: 'same', activation: 'relu' }),
          layers.maxPooling2d({ poolSize: 2 }),
          layers.flatten(),
          layers.dense({ units: 20, activation: 'relu' }),
          layers.dense({ units: 10 }),
        ],
      }),
      { bits: 8, zeros: 0.3, perChannel: true, seed: 7 },
    ));
});

interface Chain {
  channels: number;
  side: number;
  second: 'depthwise' | 'point' | 'window' | 'strided' | 'depthwise strided';
  third: 'depthwise' | 'point' | 'window';
  residual: boolean;
  twice: boolean;
  activation: 'relu' | 'linear';
  zeros: number;
  seed: number;
}

/** Convolutions one behind the other, with a sum around the second one, or a value that two of them read. */
function chain(shape: Chain): tfl.LayersModel {
  const { channels, side, second, third, residual, twice, activation } = shape;
  const same = { padding: 'same', activation } as const;
  const window = { filters: channels, kernelSize: 3, ...same };
  const layer = (kind: Chain['second']): tfl.layers.Layer => {
    if (kind === 'depthwise') return layers.depthwiseConv2d({ kernelSize: 3, ...same });
    if (kind === 'depthwise strided') {
      return layers.depthwiseConv2d({ kernelSize: 3, strides: 2, ...same });
    }
    if (kind === 'strided') return layers.conv2d({ strides: 2, ...window });
    return layers.conv2d(kind === 'point' ? { ...window, kernelSize: 1 } : window);
  };
  const input = tfl.input({ shape: [side, side, 3] });
  const first = layers.conv2d(window).apply(input) as tfl.SymbolicTensor;
  let value = layer(second).apply(first) as tfl.SymbolicTensor;
  const sized = !second.endsWith('strided');
  if (residual && sized) value = layers.add().apply([value, first]) as tfl.SymbolicTensor;
  if (twice) {
    const both = [layer(third).apply(value), layer(third).apply(value)];
    value = layers.add().apply(both as tfl.SymbolicTensor[]) as tfl.SymbolicTensor;
  } else value = layer(third).apply(value) as tfl.SymbolicTensor;
  return tfl.model({ inputs: input, outputs: layer('point').apply(value) as tfl.SymbolicTensor });
}

const chained = fc.record({
  channels: upTo(5),
  side: upTo(9),
  second: fc.constantFrom(
    'depthwise' as const,
    'point' as const,
    'window' as const,
    'strided' as const,
    'depthwise strided' as const,
  ),
  third: fc.constantFrom('depthwise' as const, 'point' as const, 'window' as const),
  residual: fc.boolean(),
  twice: fc.boolean(),
  activation: fc.constantFrom('relu' as const, 'linear' as const),
  zeros: fc.constantFrom(0, 0.7),
  seed,
});

test('convolutions that hand each other codes equal the integer reference bit for bit', () =>
  property(chained, 80, async (shape) => {
    const model = chain(shape);
    fill(model, shape.seed);
    const own = coded(lower(model), { bits: 8, perChannel: true, codes: true, ...shape });
    const { codes } = own.nodes.find((node) => node.codes)!;
    const nodes = own.nodes.map((node) => (node.codes ? { ...node, codes: codes! } : node));
    const inputs = inputsFor(model, 2, shape.seed);
    for (const graph of [own, { ...own, nodes }]) {
      const [got] = await packed(graph, inputs);
      expect(bitsOf(got!)).toEqual(bitsOf(runInteger(graph, inputs).outputs[0]!));
    }
    model.dispose();
  }));

describe('8 and 4 bits without codes of their own', () => {
  test('inputs lose less than a thousandth of their range', () =>
    property(fc.tuple(image.filter(fits), coding), 60, async ([args, options]) => {
      const model = convolution({ ...args, separate: false });
      fill(model, options.seed);
      const graph = coded(lower(model), { ...options, codes: false });
      const floats = {
        ...graph,
        weights: Object.fromEntries(
          Object.entries(graph.weights).map(([key, { encoding, data }]) => [
            key,
            { data, encoding: { ...encoding, values: { type: 'float', bits: 32 } } },
          ]),
        ),
      } as Graph;
      const inputs = inputsFor(model, 2, options.seed);
      const [want] = await packed(floats, inputs);
      const layer = graph.nodes[1]!.layer;
      const isInteger = (await explained(graph))[0]!.candidates.some(
        ({ kernel }) => kernel === 'pairsInt',
      );
      const [got] = await packed(
        graph,
        inputs,
        isInteger ? { kernels: { [layer]: 'pairsInt' } } : {},
      );
      expect(got).toBeAllClose(want!, 2e-3);
      model.dispose();
    }));

  test('a dense layer of 4 bits keeps half a byte for a weight', async () => {
    const model = tfl.sequential({ layers: [layers.dense({ units: 64, inputShape: [256] })] });
    fill(model, 1);
    const graph = coded(lower(model), {
      bits: 4,
      zeros: 0,
      perChannel: true,
      codes: false,
      seed: 2,
    });
    const bytes = async (kernel: Choice) => (await explained(graph, kernel))[0]!.bytes;
    const table = 12 * 64;
    expect(await bytes('int4')).toBe(table + (256 * 64) / 2);
    expect(await bytes('int8')).toBe(table + 256 * 64);
    const inputs = inputsFor(model, 2, 3);
    const run = (kernel: Choice) =>
      packed(graph, inputs, { kernels: { [graph.nodes[1]!.layer]: kernel } });
    expect(await run('int4')).toEqual(await run('int8'));
    model.dispose();
  });
});

describe('codebooks', () => {
  /** A dense layer whose weights are a few values, the first of them 0. */
  function sharing(inputs: number, outputs: number, values: number[], seed: number) {
    const model = tfl.sequential({
      layers: [layers.dense({ units: outputs, activation: 'relu', inputShape: [inputs] })],
    });
    fill(model, seed);
    const random = new Random(seed);
    const graph = lower(model);
    const [key] = Object.keys(graph.weights).filter((name) => name.endsWith('kernel'));
    const { encoding, data } = graph.weights[key!]!;
    const shared = data!.map(() => values[random.integer(values.length)]!);
    const centroids = Float32Array.from(values.filter((value) => value !== 0)).sort();
    const code = { type: 'codebook', bits: 4, centroids, axis: null } as const;
    const nonzero = shared.filter((value) => value !== 0).length;
    graph.weights[key!] = { data: shared, encoding: { ...encoding, values: code, nonzero } };
    const [kernel, bias] = model.getWeights() as [tf.Tensor, tf.Tensor];
    model.setWeights([tf.tensor(shared, kernel.shape), bias]);
    return { model, graph };
  }

  const sizes = fc.record({ inputs: upTo(70), outputs: upTo(40), count: upTo(16), seed });
  test('dense layers of up to 16 values', () =>
    property(sizes, 20, async ({ inputs, outputs, count, seed }) => {
      const values = Array.from({ length: count }, (_, i) => (i - 4) / 3);
      const { model, graph } = sharing(inputs, outputs, values, seed);
      const x = inputsFor(model, 2, seed + 1);
      const [want] = expected(model, x, 2);
      const { layer } = graph.nodes[1]!;
      const [got] = await packed(graph, x, { kernels: { [layer]: 'codebook' } });
      expect(got).toBeAllClose(want!, 1e-4);
      model.dispose();
    }));

  test('half a byte for a weight, chosen where floats would come from far', async () => {
    const values = Array.from({ length: 16 }, (_, i) => (i - 4) / 3);
    const { graph, model } = sharing(256, 64, values, 1);
    const [plan] = await explained(graph, 'codebook');
    expect(plan!.bytes).toBe((256 * 64) / 2 + 8 * 64 + 64);
    expect((await explained(graph))[0]!.kernel).not.toBe('codebook');
    const large = sharing(2048, 1024, values, 1);
    expect((await explained(large.graph))[0]!.kernel).toBe('codebook');
    const many = sharing(256, 64, [...values, 9], 1);
    const kernels = (await explained(many.graph))[0]!.candidates.map(({ kernel }) => kernel);
    expect(kernels).not.toContain('codebook');
    for (const each of [model, large.model, many.model]) each.dispose();
  });
});

async function explained(graph: Graph, kernel?: Choice) {
  const { layer } = graph.nodes[1]!;
  const net = await pack(graph, kernel ? { kernels: { [layer]: kernel } } : {});
  const { layers } = net.explain();
  net.dispose();
  return layers.filter((plan) => plan.layer === layer && plan.candidates.length > 0);
}

const scaling = fc.constantFrom('weights' as const, 'weightsAndInputs' as const, 'none' as const);

/** Asserts that a binary layer gives what tfjs does where no sign hangs on the last bit. */
async function expectSigns(model: tfl.LayersModel, seed: number): Promise<void> {
  fill(model, seed);
  const inputs = inputsFor(model, 2, seed + 1);
  const want = expected(model, inputs, 2);
  const graph = lower(model);
  const got = await packed(graph, inputs);
  expect(got[0]).toBeAllClose(want[0]!, 1e-4);
  // With a zero among the weights the signs are multiplied as real numbers.
  const key = graph.nodes.find(({ op }) => op.startsWith('xnor'))!.weights.kernel!;
  const weight = graph.weights[key]!;
  const data = Float32Array.from(weight.data!);
  data[0] = 0;
  const mask = Uint8Array.from(data, (w) => (w === 0 ? 0 : 1));
  const pruned = {
    ...graph,
    weights: { ...graph.weights, [key]: { data, encoding: { ...weight.encoding, mask } } },
  };
  const difference = await packed(pruned, inputs);
  const size = Math.abs(weight.data![0]!);
  const most = difference[0]!.reduce(
    (d, value, i) => Math.max(d, Math.abs(value - got[0]![i]!)),
    0,
  );
  expect(most).toBeLessThan(size * 5 + 1e-3);
  model.dispose();
}

describe('binary layers equal those of tfjs', () => {
  test('xnorConv2d', () =>
    property(
      fc.record({
        image: image.filter(fits),
        channels: fc.constantFrom(1, 3, 4, 5, 6, 33, 64, 70),
        scaling,
        batchNormalization: fc.boolean(),
        seed,
      }),
      40,
      ({
        image: { separate, height, width, ...args },
        channels,
        scaling,
        batchNormalization,
        seed,
      }) => {
        const layer = xnorConv2d({
          ...args,
          scaling,
          batchNormalization,
          inputShape: [height, width, channels],
        } as never);
        return expectSigns(tfl.sequential({ layers: [layer] }), seed);
      },
    ));

  test.each([
    ['more signs than a byte holds', { filters: 3, kernelSize: 5, inputShape: [7, 6, 130] }],
    ['rows further than a band', { filters: 5, kernelSize: 3, inputShape: [72, 70, 40] }],
    [
      'phases further than a band',
      { filters: 5, kernelSize: 3, strides: 2, inputShape: [90, 91, 37] },
    ],
    ['dilation', { filters: 6, kernelSize: 3, dilationRate: [2, 3], inputShape: [11, 20, 9] }],
    ['strides of 3', { filters: 7, kernelSize: 2, strides: 3, inputShape: [17, 25, 8] }],
    ['many outputs', { filters: 65, kernelSize: 3, inputShape: [5, 9, 100] }],
    ['one value', { filters: 1, kernelSize: 1, inputShape: [1, 1, 1] }],
  ])('xnorConv2d with %s', (_, args) =>
    expectSigns(tfl.sequential({ layers: [xnorConv2d({ padding: 'same', ...args } as never)] }), 3),
  );

  test.each([
    ['xnor', 7, 31, 151],
    ['pairs', 8, 16, 256],
  ] as const)(
    'sums that 16 bits hold, and no others: %s',
    async (kernel, height, width, channels) => {
      const layer = xnorConv2d({
        ...{ filters: 2, kernelSize: [height, width], scaling: 'none', batchNormalization: false },
        ...{ useBias: false, inputShape: [height, width, channels] },
      });
      const model = tfl.sequential({ layers: [layer] });
      const size = height * width * channels;
      const signs = tf.tensor(
        Float32Array.from({ length: 2 * size }, (_, i) => (i % 2 ? -1 : 1)),
        [height, width, channels, 2],
      );
      model.setWeights([signs]);
      const graph = lower(model);
      expect((await explained(graph))[0]!.kernel).toBe(kernel);
      const x = new Float32Array(size).fill(0.5);
      expect([...(await packed(graph, [x]))[0]!]).toEqual([size, -size]);
      model.dispose();
      signs.dispose();
    },
  );

  test('xnorDense', () =>
    property(
      fc.record({
        inputs: fc.constantFrom(1, 31, 32, 33, 1100),
        units: upTo(40),
        scaling,
        batchNormalization: fc.boolean(),
        seed,
      }),
      40,
      ({ inputs, units, scaling, batchNormalization, seed }) =>
        expectSigns(
          tfl.sequential({
            layers: [xnorDense({ units, scaling, batchNormalization, inputShape: [inputs] })],
          }),
          seed,
        ),
    ));
});

describe('every kernel that a layer may have gives the same', () => {
  test('convolutions and dense layers with zeros', async () => {
    const x = tfl.input({ shape: [9, 9, 6] });
    const y = layers
      .conv2d({ filters: 7, kernelSize: 3, padding: 'same', activation: 'relu', name: 'conv' })
      .apply(x);
    const z = layers.flatten().apply(y);
    const model = tfl.model({
      inputs: x,
      outputs: layers.dense({ units: 21, name: 'dense' }).apply(z) as tfl.SymbolicTensor,
    });
    fill(model, 5, 0.8);
    const graph = lower(model);
    const inputs = inputsFor(model, 2, 6);
    const [want] = expected(model, inputs, 2);
    const names = graph.nodes.map(({ layer }) => layer);
    const [conv, dense] = [
      names.find((name) => name.startsWith('conv'))!,
      names.find((name) => name.startsWith('dense'))!,
    ];
    for (const kernel of ['pairs', 'singles'] as const) {
      expect((await packed(graph, inputs, { kernels: { [conv]: kernel } }))[0]).toBeAllClose(
        want!,
        2e-5,
      );
    }
    for (const kernel of ['gemv', 'skip', 'blocks', 'list'] as const) {
      expect((await packed(graph, inputs, { kernels: { [dense]: kernel } }))[0]).toBeAllClose(
        want!,
        2e-5,
      );
    }
    expect((await packed(graph, inputs, { plan: 'measure' }))[0]).toBeAllClose(want!, 2e-5);
    expect((await packed(graph, inputs, { relaxedSimd: false }))[0]).toBeAllClose(want!, 2e-5);
    await expect(pack(graph, { kernels: { [conv]: 'xnor' } })).rejects.toThrow(
      'It can have: pairs, singles',
    );
    await expect(pack(graph, { kernels: { nothing: 'pairs' } })).rejects.toThrow('nothing');
    model.dispose();
  });
});
