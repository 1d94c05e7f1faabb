// Decomposition of trained layers, against closed forms and constructed tensors.
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import {
  type ConvRank,
  type DecomposeOptions,
  decompose,
  decomposeReport,
  vbmfRank,
} from '@thimble/architecture';
import {
  NoMatchError,
  OptionError,
  Random,
  ShapeError,
  UnsupportedError,
  withSeed,
} from '@thimble/base';
import { finalize, finalizeReport, parametrize, summarize } from '@thimble/core';
import { expectNoLeaks, outputs, snapshot, useCpu } from '@thimble/testing';
import { Matrix, SVD } from 'ml-matrix';
import { beforeAll, describe, expect, it } from 'vitest';

useCpu();

const quiet = { progress: false } as const;
const { conv2d, dense, flatten } = tfl.layers;

/** 8 x 7 x 4 -> conv 3 x 3 x 6 -> conv 3 x 3 x 8, strided -> 12 -> 3. */
function network(): tfl.Sequential {
  return withSeed(5, () =>
    tfl.sequential({
      layers: [
        conv2d({
          name: 'conv1',
          filters: 6,
          kernelSize: 3,
          padding: 'same',
          activation: 'relu',
          inputShape: [8, 7, 4],
        }),
        conv2d({
          name: 'conv2',
          filters: 8,
          kernelSize: [3, 2],
          strides: 2,
          biasInitializer: 'randomNormal',
        }),
        flatten(),
        dense({ name: 'fc', units: 12, activation: 'tanh', biasInitializer: 'randomNormal' }),
        dense({ name: 'output', units: 3 }),
      ],
    }),
  );
}

const kernelOf = (model: tfl.LayersModel, name: string) => model.getLayer(name).getWeights()[0]!;
const x = () => tf.randomNormal([5, 8, 7, 4], 0, 1, 'float32', 2);
const normal = (random: Random, length: number) =>
  Float64Array.from({ length }, () => random.normal());

/** Norms of the dropped singular values of a matrix, and of all of them. */
function dropped(kernel: tf.Tensor, rows: number, rank: number): { lost: number; all: number } {
  const values = [
    ...new SVD(Matrix.from1DArray(rows, kernel.size / rows, kernel.dataSync()), {
      autoTranspose: true,
    }).diagonal,
  ];
  const squares = values.map((s) => s * s);
  const sum = (list: number[]) => list.reduce((total, value) => total + value, 0);
  return { lost: Math.sqrt(sum(squares.slice(rank))), all: Math.sqrt(sum(squares)) };
}

describe('svd', () => {
  it('leaves the root of the dropped squares as the error of a dense kernel', async () => {
    const model = network();
    const kernel = kernelOf(model, 'fc');
    for (const rank of [1, 4, 11]) {
      const smaller = await decompose(model, { layer: 'fc', rank, ...quiet });
      const [u, v] = [kernelOf(smaller, 'fc_1'), kernelOf(smaller, 'fc')];
      expect([u.shape, v.shape]).toEqual([
        [kernel.shape[0], rank],
        [rank, 12],
      ]);
      const error = tf
        .norm(tf.sub(kernel, tf.matMul(u as tf.Tensor2D, v as tf.Tensor2D)))
        .dataSync()[0]!;
      const { lost, all } = dropped(kernel, kernel.shape[0]!, rank);
      expect(error).toBeCloseTo(lost, 4);
      const [row] = decomposeReport(smaller).layers;
      expect(row!.error).toBeCloseTo(lost / all, 5);
    }
  });

  it('does so for a convolution, rows by columns of the window', async () => {
    const model = network();
    const kernel = kernelOf(model, 'conv1'); // [3, 3, 4, 6]
    const rank = 5;
    const smaller = await decompose(model, { layer: 'conv1', rank, ...quiet });
    const [down, across] = [kernelOf(smaller, 'conv1_1'), kernelOf(smaller, 'conv1')];
    expect([down.shape, across.shape]).toEqual([
      [3, 1, 4, rank],
      [1, 3, rank, 6],
    ]);
    const [a, b] = [down.dataSync(), across.dataSync()];
    const [matrix, whole] = [new Float32Array(kernel.size), kernel.dataSync()];
    let square = 0;
    for (let y = 0; y < 3; y++) {
      for (let z = 0; z < 3; z++) {
        for (let i = 0; i < 4; i++) {
          for (let o = 0; o < 6; o++) {
            let sum = 0;
            for (let r = 0; r < rank; r++)
              sum += a[(y * 4 + i) * rank + r]! * b[(z * rank + r) * 6 + o]!;
            const value = whole[((y * 3 + z) * 4 + i) * 6 + o]!;
            matrix[(y * 4 + i) * 18 + z * 6 + o] = value;
            square += (value - sum) ** 2;
          }
        }
      }
    }
    const { lost } = dropped(tf.tensor(matrix), 12, rank);
    expect(Math.sqrt(square)).toBeCloseTo(lost, 4);
  });

  it.each(['spatial', 'channel'] as const)(
    'gives the same outputs at full rank, %s',
    async (scheme) => {
      const model = network();
      const full = { spatial: { conv1: 12, conv2: 16 }, channel: { conv1: 6, conv2: 8 } }[scheme];
      for (const [layer, rank] of [...Object.entries(full), ['fc', 12]] as [string, number][]) {
        const same = await decompose(model, { layer, rank, scheme, ...quiet });
        const [before, after] = [outputs(model, x()), outputs(same, x())];
        for (const [i, y] of before.entries()) expect(after[i], `${layer} ${i}`).toBeCloseTo(y, 4);
        await expect(decompose(model, { layer, rank: rank + 1, scheme, ...quiet })).rejects.toThrow(
          OptionError,
        );
      }
    },
  );

  it('finds the smallest rank that keeps the energy', async () => {
    const model = network();
    // Singular values 3, 2, 1: squares 9, 4, 1 of 14.
    const kernel = new Float32Array(12 * 3);
    kernel[0] = 3;
    kernel[3 + 1] = 2;
    kernel[6 + 2] = 1;
    model.getLayer('output').setWeights([tf.tensor(kernel, [12, 3]), tf.zeros([3])]);
    for (const [energy, rank] of [
      [9 / 14, 1],
      [0.65, 2],
      [13 / 14, 2],
      [0.93, 3],
    ] as const) {
      const smaller = await decompose(model, { layer: 'output', energy, ...quiet });
      expect(decomposeReport(smaller).layers[0]!.rank, `${energy}`).toBe(rank);
    }
  });
});

/** W[h, w, i, o] = sum over r of products of random vectors, or of a Tucker core. */
function lowRank(shape: [number, number, number, number], parts: number): Float32Array {
  const random = new Random(11);
  const factors = shape.map((size) => normal(random, size * parts));
  return build(shape, (h, w, i, o) => {
    let sum = 0;
    for (let r = 0; r < parts; r++) {
      sum += [h, w, i, o].reduce((product, n, k) => product * factors[k]![n * parts + r]!, 1);
    }
    return sum;
  });
}

function build(
  [kh, kw, inputs, outputs]: [number, number, number, number],
  value: (h: number, w: number, i: number, o: number) => number,
): Float32Array {
  const data: number[] = [];
  for (let h = 0; h < kh; h++)
    for (let w = 0; w < kw; w++)
      for (let i = 0; i < inputs; i++)
        for (let o = 0; o < outputs; o++) data.push(value(h, w, i, o));
  return Float32Array.from(data);
}

/** The kernel that a chain of convolutions without padding amounts to: its answers to unit impulses. */
function productOf(model: tfl.LayersModel, [kh, kw, inputs, outs]: number[]): Float32Array {
  const result = new Float32Array(kh! * kw! * inputs! * outs!);
  const size = kh! * kw! * inputs!;
  const eye = tf.reshape(tf.eye(size), [size, kh!, kw!, inputs!]);
  result.set((model.predict(eye) as tf.Tensor).dataSync());
  return result;
}

/** A convolution with a kernel, on inputs of the size of its window. */
function single(shape: [number, number, number, number], kernel: Float32Array): tfl.Sequential {
  const [kh, kw, inputs, filters] = shape;
  const layer = conv2d({
    name: 'conv',
    filters,
    kernelSize: [kh, kw],
    useBias: false,
    inputShape: [kh, kw, inputs],
  });
  const model = tfl.sequential({ layers: [layer] });
  layer.setWeights([tf.tensor(kernel, shape)]);
  return model;
}

function relativeError(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let [lost, all] = [0, 0];
  for (let i = 0; i < a.length; i++) {
    lost += (a[i]! - b[i]!) ** 2;
    all += a[i]! ** 2;
  }
  return Math.sqrt(lost / all);
}

describe('tucker2 and cp', () => {
  it('reconstruct tensors that were made with their rank to 1e-4', async () => {
    const shape: [number, number, number, number] = [3, 3, 10, 12];
    const random = new Random(3);
    const [a, b, core] = [
      normal(random, 10 * 3),
      normal(random, 12 * 4),
      normal(random, 9 * 3 * 4),
    ];
    const tucker = build(shape, (h, w, i, o) => {
      let sum = 0;
      for (let p = 0; p < 3; p++) {
        for (let q = 0; q < 4; q++)
          sum += a[i * 3 + p]! * b[o * 4 + q]! * core[((h * 3 + w) * 3 + p) * 4 + q]!;
      }
      return sum;
    });
    const cases: [DecomposeOptions, Float32Array][] = [
      [{ method: 'tucker2', rank: [3, 4] }, tucker],
      [{ method: 'cp', rank: 4 }, lowRank(shape, 4)],
    ];
    for (const [options, kernel] of cases) {
      const model = single(shape, kernel);
      expect(relativeError(kernel, productOf(model, shape))).toBeLessThan(1e-6);
      const smaller = await decompose(model, {
        ...options,
        layer: 'conv',
        iterations: 2000,
        ...quiet,
      });
      expect(relativeError(kernel, productOf(smaller, shape)), options.method).toBeLessThan(1e-4);
      expect(decomposeReport(smaller).layers[0]!.error).toBeLessThan(1e-4);
      // One rank less cannot hold it.
      const less: ConvRank = options.method === 'cp' ? 3 : [2, 4];
      const worse = await decompose(model, { ...options, rank: less, layer: 'conv', ...quiet });
      const error = relativeError(kernel, productOf(worse, shape));
      expect(error).toBeGreaterThan(1e-2);
      expect(decomposeReport(worse).layers[0]!.error).toBeCloseTo(error, 4);
    }
  });

  it('find the ranks of a constructed tensor by energy', async () => {
    const shape: [number, number, number, number] = [3, 3, 6, 8];
    const model = single(shape, lowRank(shape, 2));
    for (const [method, rank] of [
      ['tucker2', [2, 2]],
      ['cp', 2],
    ] as const) {
      const smaller = await decompose(model, {
        method,
        energy: 0.99999,
        iterations: 1000,
        ...quiet,
      });
      expect(decomposeReport(smaller).layers[0]!.rank).toEqual(rank);
    }
  });

  it('keep strides, padding and bias, and cost what is reported', async () => {
    const model = network();
    for (const options of [
      { method: 'tucker2', rank: [4, 8], layer: 'conv2' },
      { method: 'tucker2', rank: [4, 6], layer: 'conv1' },
      { method: 'svd', rank: 2, layer: ['conv1', 'conv2'] },
      { method: 'svd', rank: 2, scheme: 'channel', layer: ['conv1', 'conv2', 'fc'] },
      { method: 'cp', rank: 3, layer: ['conv1', 'conv2'] },
      { method: 'nmf', rank: 2, layer: ['conv1', 'conv2', 'fc'] },
    ] as DecomposeOptions[]) {
      const smaller = await decompose(model, { ...options, iterations: 20, ...quiet });
      expect(smaller.getLayer('conv2').outputShape).toEqual(model.getLayer('conv2').outputShape);
      const { layers } = decomposeReport(smaller);
      const gained = (of: 'params' | 'macs') =>
        layers.reduce((sum, row) => sum + row[of][0] - row[of][1], 0);
      const [before, after] = [summarize(model).total, summarize(smaller).total];
      expect(before.params - after.params, JSON.stringify(options)).toBe(gained('params'));
      expect(before.macs - after.macs, JSON.stringify(options)).toBe(gained('macs'));
    }
    const full = await decompose(model, {
      method: 'tucker2',
      rank: [6, 8],
      layer: 'conv2',
      ...quiet,
    });
    const [before, after] = [outputs(model, x()), outputs(full, x())];
    for (const [i, y] of before.entries()) expect(after[i]).toBeCloseTo(y, 4);
  });
});

describe('nmf', () => {
  it('takes the positive and the negative part apart, each without negative entries', async () => {
    const random = new Random(4);
    const positive = (n: number) => Float64Array.from({ length: n }, () => random.uniform(0.1, 1));
    // Rows 0 to 5 are positive and of rank 2, the others negative and of rank 2.
    const [a, h, b, g] = [positive(12), positive(16), positive(12), positive(16)];
    const kernel = Float32Array.from({ length: 12 * 8 }, (_, at) => {
      const [i, j] = [Math.floor(at / 8), at % 8];
      const [left, right, sign] = i < 6 ? [a, h, 1] : [b, g, -1];
      return sign * (left[(i % 6) * 2]! * right[j]! + left[(i % 6) * 2 + 1]! * right[8 + j]!);
    });
    const model = tfl.sequential({ layers: [dense({ name: 'fc', units: 8, inputShape: [12] })] });
    model.layers[0]!.setWeights([tf.tensor(kernel, [12, 8]), tf.zeros([8])]);
    const smaller = await decompose(model, {
      layer: 'fc',
      method: 'nmf',
      rank: 2,
      iterations: 3000,
      ...quiet,
    });
    const [left, right] = [kernelOf(smaller, 'fc_1'), kernelOf(smaller, 'fc')];
    expect([left.shape, right.shape]).toEqual([
      [12, 4],
      [4, 8],
    ]);
    expect(left.dataSync().every((value) => value >= 0)).toBe(true);
    const rows = [...right.dataSync()];
    expect(rows.slice(0, 16).every((value) => value >= 0)).toBe(true);
    expect(rows.slice(16).every((value) => value <= 0)).toBe(true);
    const product = tf.matMul(left as tf.Tensor2D, right as tf.Tensor2D).dataSync();
    expect(relativeError(kernel, product)).toBeLessThan(0.01);
  });

  it('finds the difference of two such products where they overlap', async () => {
    const random = new Random(6);
    const part = (n: number) => Float64Array.from({ length: n }, () => random.uniform(0, 1));
    // A+ H+ - A- H-, each of rank 2: the positive part of the difference is of rank 12.
    const [a, h, b, g] = [part(28), part(24), part(28), part(24)];
    const kernel = Float32Array.from({ length: 14 * 12 }, (_, at) => {
      const [i, j] = [Math.floor(at / 12), at % 12];
      const product = (left: Float64Array, right: Float64Array) =>
        left[i * 2]! * right[j]! + left[i * 2 + 1]! * right[12 + j]!;
      return product(a, h) - product(b, g);
    });
    const model = tfl.sequential({ layers: [dense({ name: 'fc', units: 12, inputShape: [14] })] });
    model.layers[0]!.setWeights([tf.tensor(kernel, [14, 12]), tf.zeros([12])]);
    const options = { layer: 'fc', method: 'nmf', rank: 2, ...quiet } as const;
    for (const [iterations, error] of [
      [200, 0.1],
      [5000, 0.02],
    ] as const) {
      const smaller = await decompose(model, { ...options, iterations });
      expect(decomposeReport(smaller).layers[0]!.error, `${iterations}`).toBeLessThan(error);
    }
  });
});

describe('vbmf', () => {
  // 40 x 60, entry (i, j) = sum_r s_r sin((r + 1)(i + 1)) cos((r + 2)(j + 1)) + noise sin((i + 1)^2 (j + 3) 12.9898)
  const matrix = (scales: number[], noise: number) =>
    Float64Array.from({ length: 2400 }, (_, at) => {
      const [i, j] = [Math.floor(at / 60), at % 60];
      const signal = scales.reduce(
        (sum, s, r) => sum + s * Math.sin((r + 1) * (i + 1)) * Math.cos((r + 2) * (j + 1)),
        0,
      );
      return signal + noise * Math.sin((i + 1) ** 2 * (j + 3) * 12.9898);
    });

  // Ranks by an independent program in NumPy: the objective of the paper at 200,001 variances.
  const ranks: [number, number[], number][] = [
    [3, [3, 2, 1], 0.3],
    [5, [3, 2, 1, 0.5, 0.25], 0.5],
    [4, [3, 2, 1, 0.5, 0.25], 1],
    [7, [1, 0.8, 0.6, 0.4, 0.3, 0.2, 0.15, 0.1], 0.3],
    [5, [1, 0.8, 0.6, 0.4, 0.3, 0.2, 0.15, 0.1], 0.7],
    [0, [], 1],
  ];
  it.each(ranks)('finds rank %i of scales %j with noise %d', (rank, scales, noise) => {
    expect(vbmfRank(matrix(scales, noise), { rows: 40, columns: 60 })).toBe(rank);
  });

  it('gives ranks to layers, and 0 to no signal', async () => {
    expect(vbmfRank(new Float64Array(6), { rows: 2, columns: 3 })).toBe(0);
    expect(() => vbmfRank([1, 2], { rows: 2, columns: 3 })).toThrow(ShapeError);
    const model = tfl.sequential({ layers: [dense({ name: 'fc', units: 60, inputShape: [40] })] });
    model.layers[0]!.setWeights([
      tf.tensor(Float32Array.from(matrix([3, 2, 1], 0.3)), [40, 60]),
      tf.zeros([60]),
    ]);
    const smaller = await decompose(model, { rank: 'vbmf', ...quiet });
    expect(decomposeReport(smaller).layers[0]!.rank).toBe(3);
  });
});

describe('decompose', () => {
  let model: tfl.Sequential;
  beforeAll(() => {
    model = network();
  });

  it.each(['macs', 'bytes'] as const)('keeps a budget of %s over the whole network', async (of) => {
    const whole = summarize(model).total[of];
    let last = -1;
    for (const share of [0.3, 0.5, 0.8]) {
      const smaller = await decompose(model, { budget: { [of]: share }, ...quiet });
      expect(summarize(smaller).total[of]).toBeLessThanOrEqual(share * whole);
      expect(summarize(smaller).total[of]).toBeGreaterThan(last);
      last = summarize(smaller).total[of];
    }
    // Nothing has to go.
    const same = await decompose(model, { budget: { [of]: 1 }, ...quiet });
    expect(outputs(same, x())).toEqual(outputs(model, x()));
  });

  it('tries ranks up to the largest that is cheaper, where few can be tried', async () => {
    const layers = [dense({ name: 'fc', units: 64, useBias: false, inputShape: [64] })];
    const square = withSeed(1, () => tfl.sequential({ layers }));
    // 4096 weights; at rank 15 of each of its two products it takes 3840, at 16 as many as before.
    const options = { method: 'nmf', budget: { macs: 0.95 }, iterations: 5, ...quiet } as const;
    expect(decomposeReport(await decompose(square, options)).layers[0]!.rank).toBe(15);
  });

  it('loses no more under a budget than any other choice of ranks does', async () => {
    const share = 0.5;
    const smaller = await decompose(model, {
      layer: ['fc', 'output'],
      budget: { bytes: share },
      ...quiet,
    });
    const loss = (report: ReturnType<typeof decomposeReport>) =>
      report.layers.reduce((sum, { error }) => sum + error ** 2, 0);
    const best = loss(decomposeReport(smaller));
    const fc = kernelOf(model, 'fc');
    const output = kernelOf(model, 'output');
    const whole = summarize(model).total.bytes;
    const part = (kernel: tf.Tensor, rank: number) => {
      const { lost, all } = dropped(kernel, kernel.shape[0]!, rank);
      return (lost / all) ** 2;
    };
    const fixed = whole - 4 * (fc.size + output.size);
    let least = Number.POSITIVE_INFINITY;
    for (let a = 0; a <= 12; a++) {
      for (let b = 0; b <= 3; b++) {
        const size = (kernel: tf.Tensor, r: number) =>
          r === 0 ? kernel.size : r * (kernel.shape[0]! + kernel.shape[1]!);
        if (fixed + 4 * (size(fc, a) + size(output, b)) > share * whole) continue;
        least = Math.min(least, (a && part(fc, a)) + (b && part(output, b)));
      }
    }
    expect(best).toBeCloseTo(least, 4);
  });

  it('leaves layers that get no smaller, and says why', async () => {
    const smaller = await decompose(model, { rank: 3, ...quiet });
    const { layers, kept } = decomposeReport(smaller);
    expect(layers.map(({ name }) => name)).toEqual(['conv1', 'conv2', 'fc']);
    expect(kept).toEqual([
      { name: 'output', reason: 'at rank 3 it would take 45 weights instead of 36' },
    ]);
    await expect(decompose(model, { energy: 1, ...quiet })).rejects.toThrow(NoMatchError);
  });

  it('makes a plain model, whatever the layers were seen through, and changes nothing', async () => {
    const tripled = {
      getClassName: () => 'TestTripled',
      getConfig: () => ({}),
      build: () => null,
      apply: (weight: tf.Tensor) => tf.mul(weight, 3),
      bake: (weight: tf.Tensor) => tf.mul(weight, 3),
      encoding: () => ({}),
    };
    const seen = network();
    parametrize(seen.getLayer('fc'), { kernel: [tripled] });
    const before = snapshot(seen);
    const smaller = await decompose(seen, { layer: 'fc', rank: 12, ...quiet });
    expect(snapshot(seen)).toEqual(before);
    expect(finalizeReport(await finalize(smaller))).toEqual([]);
    const [a, b] = [outputs(seen, x()), outputs(smaller, x())];
    for (const [i, y] of a.entries()) expect(b[i]).toBeCloseTo(y, 4);
  });

  it('works on shared layers and in nested models of a functional model', async () => {
    const inner = tfl.sequential({ layers: [dense({ name: 'deep', units: 9, inputShape: [10] })] });
    const shared = dense({ name: 'shared', units: 10, activation: 'tanh' });
    const input = tfl.input({ shape: [10] });
    const twice = shared.apply(shared.apply(input)) as tfl.SymbolicTensor;
    const sum = tfl.layers.add().apply([twice, shared.apply(input) as tfl.SymbolicTensor]);
    const functional = tfl.model({
      inputs: input,
      outputs: inner.apply(sum) as tfl.SymbolicTensor,
    });
    const given = tf.randomNormal([3, 10], 0, 1, 'float32', 1);
    const same = await decompose(functional, { layer: ['shared', 'deep'], rank: 9, ...quiet });
    const report = decomposeReport(same).layers;
    expect(report.map(({ macs: [before] }) => before)).toEqual([300, 90]);
    const full = await decompose(functional, { layer: /shared/, rank: 10, ...quiet });
    const [a, b] = [outputs(functional, given), outputs(full, given)];
    for (const [i, y] of a.entries()) expect(b[i]).toBeCloseTo(y, 4);
    expect(summarize(same).total.macs).toBe(9 * 20 * 3 + 9 * 19);
  });

  it('fine-tunes by fit', async () => {
    const [xs, ys] = [x(), tf.tidy(() => model.predict(x()) as tf.Tensor)];
    const lossOf = (each: tfl.LayersModel) =>
      tf.tidy(() => tf.mean(tf.square(tf.sub(each.predict(xs) as tf.Tensor, ys))).dataSync()[0]!);
    const plain = await decompose(model, { layer: 'fc', rank: 2, ...quiet });
    const tuned = await decompose(model, {
      ...{ layer: 'fc', rank: 2, data: { xs, ys }, ...quiet },
      fit: { epochs: 30, loss: 'meanSquaredError', optimizer: 'adam', learningRate: 1e-2 },
    });
    expect(lossOf(tuned)).toBeLessThan(0.5 * lossOf(plain));
    expect(decomposeReport(tuned).layers).toEqual(decomposeReport(plain).layers);
  });

  it('leaves no tensor behind', async () => {
    for (const method of ['svd', 'nmf'] as const) {
      await expectNoLeaks(async () => {
        (
          await decompose(model, { layer: 'fc', rank: 2, method, iterations: 3, ...quiet })
        ).dispose();
      });
    }
    await expectNoLeaks(() =>
      decompose(model, { layer: 'fc', rank: 13, ...quiet }).catch((error: Error) => {
        expect(error.message).toBe(
          'decompose: "fc": rank must be a whole number from 1 to 12, not 13.',
        );
      }),
    );
  });

  it('refuses what makes no sense, by name', async () => {
    const refused = (options: object, error: new () => Error, message: RegExp) =>
      expect(decompose(model, { ...quiet, ...options })).rejects.toThrow(
        expect.objectContaining({ name: error.name, message: expect.stringMatching(message) }),
      );
    await refused(
      { layer: 'fc9', rank: 2 },
      NoMatchError as never,
      /"fc9" matches no layer.*conv1, conv2, fc, output/,
    );
    await refused({ rank: 0 }, OptionError as never, /rank must be/);
    await refused(
      { rank: 2, energy: 0.5 },
      OptionError as never,
      /rank and energy exclude each other/,
    );
    await refused({ energy: 1.2 }, OptionError as never, /energy must be/);
    await refused({ budget: { macs: -1 } }, OptionError as never, /budget.macs must be/);
    await refused(
      { budget: { macs: 0.5, bytes: 0.5 } },
      OptionError as never,
      /one of macs and bytes/,
    );
    await refused({ budget: { macs: 0.001 } }, OptionError as never, /cannot be met; at rank 1/);
    await refused({ method: 'qr' }, OptionError as never, /method must be one of/);
    await refused({ method: 'cp', rank: 'vbmf' }, OptionError as never, /is for svd and tucker2/);
    await refused({ rank: [1, 2] }, OptionError as never, /a pair of ranks is for tucker2/);
    await refused(
      { method: 'cp', scheme: 'channel' },
      OptionError as never,
      /scheme is for svd and nmf/,
    );
    await refused(
      { layer: 'fc', method: 'cp', rank: 1 },
      UnsupportedError as never,
      /cp is for conv2d layers, not Dense/,
    );
    await refused({ rank: 2, fit: {} }, OptionError as never, /fit needs data/);
    await refused({ ranks: 2 }, OptionError as never, /unknown option "ranks"/);
    expect(() => decomposeReport(model)).toThrow(UnsupportedError);
  });

  it('stops at a signal', async () => {
    const signal = AbortSignal.abort(new Error('stopped'));
    await expect(decompose(model, { rank: 2, signal, ...quiet })).rejects.toThrow('stopped');
  });
});
