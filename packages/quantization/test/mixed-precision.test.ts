import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { evaluate, fit, parametrizedWeights, summarize } from '@thimble/core';
import {
  type BitSensitivity,
  bitsForBudget,
  clusterWeights,
  gradualBits,
  incrementalQuantization,
  quantizeByBits,
  sensitivityBits,
} from '@thimble/quantization';
import {
  classifier,
  expectNoLeaks,
  savedAndLoaded,
  snapshot,
  threeClasses,
  useCpu,
} from '@thimble/testing';
import { describe, expect, it } from 'vitest';

useCpu();

const loss = 'categoricalCrossentropyFromLogits' as const;
const data = () => threeClasses(6, 5);

/** One linear unit on inputs that are multiples of unit vectors: the Hessian is diagonal. */
function linear() {
  const kernel = [1, -0.3, 0.62, 0.4];
  const layer = tfl.layers.dense({
    units: 1,
    useBias: false,
    weights: [tf.tensor2d(kernel, [4, 1])],
    inputShape: [4],
    name: 'linear',
  });
  const inputs = [1, 2, 3, 5];
  const xs = tf.tidy(() => tf.mul(tf.eye(4), tf.tensor2d(inputs, [4, 1])));
  return { model: tfl.sequential({ layers: [layer] }), kernel, inputs, xs };
}

describe('sensitivityBits', () => {
  it('measures the loss with one layer quantised, and leaves the model as it was', async () => {
    const [model, examples] = [classifier(), data()];
    const before = snapshot(model);
    const scan = await sensitivityBits(model, {
      data: examples,
      loss,
      bits: [8, 2],
      progress: false,
    });
    expect(snapshot(model)).toEqual(before);
    const names = model.layers.map(({ name }) => name);
    expect(scan.rows.map(({ layer, bits }) => [layer, bits])).toEqual([
      [names[0], 2],
      [names[0], 8],
      [names[2], 2],
      [names[2], 8],
    ]);
    const whole = (await evaluate(model, examples, { loss, metrics: [], progress: false })).loss!;
    const alone = classifier();
    quantizeByBits(alone, { [alone.layers[2]!.name]: 2 });
    const { loss: quantised } = await evaluate(alone, examples, {
      loss,
      metrics: [],
      progress: false,
    });
    expect(scan.rows[2]!.rise).toBeCloseTo(quantised! - whole, 5);
    // 24 entries of 2 bits, 3 scales of 32 bits and 3 zero points of 2.
    expect(scan.rows[2]!.bytes).toBe(Math.ceil((24 * 2 + 3 * 34) / 8));
    expect(scan.rest).toBe(11 * 4);
  });

  it('estimates it by the trace of the Hessian', async () => {
    const { model, kernel, inputs, xs } = linear();
    // L = mean (x . w - y)^2, so H = 2/4 diag(x^2): v . H v is its trace for all signs v.
    const scan = await sensitivityBits(model, {
      data: { xs, ys: tf.zeros([4, 1]) },
      loss: 'meanSquaredError',
      method: 'hessian',
      bits: [3],
      probes: 1,
      progress: false,
    });
    const trace = inputs.reduce((sum, x) => sum + (x * x) / 2, 0);
    // Steps of 1/3 with 3 bits: 1, -1/3, 2/3, 1/3.
    const squares = kernel.reduce((sum, w) => sum + (w - Math.round(w * 3) / 3) ** 2, 0);
    expect(scan.rows[0]!.rise).toBeCloseTo(((trace / 4) * squares) / 2, 4);
    expect(model.layers[0]!.getWeights()[0]).toBeAllClose(kernel.map(Math.fround), 0);
  });

  it('leaves no tensor behind', async () => {
    const [model, examples] = [classifier(), data()];
    for (const method of ['loss', 'hessian'] as const) {
      const options = { data: examples, loss, method, bits: [4], probes: 2, progress: false };
      await expectNoLeaks(() => sensitivityBits(model, options));
    }
  });

  it('counts layers that are frozen as the others', async () => {
    const options = { data: data(), loss, method: 'hessian', bits: [2], progress: false } as const;
    const { rows } = await sensitivityBits(classifier(), options);
    const model = classifier();
    model.layers[0]!.trainable = false;
    expect((await sensitivityBits(model, options)).rows).toEqual(rows);
    model.layers[2]!.trainable = false;
    expect((await sensitivityBits(model, options)).rows).toEqual(rows);
    expect(model.trainableWeights).toEqual([]);
  });

  it('refuses kernels that are made, not stored', async () => {
    const model = classifier();
    clusterWeights(model, { clusters: 4, targets: model.layers[2]!.name });
    for (const method of ['loss', 'hessian'] as const) {
      await expect(
        sensitivityBits(model, { data: data(), loss, method, progress: false }),
      ).rejects.toThrow(`"kernel" of layer "${model.layers[2]!.name}" is made by ThimbleCodebook`);
    }
  });

  it('names what is wrong', async () => {
    const scan = (more: object) =>
      sensitivityBits(classifier(), { data: data(), progress: false, ...more });
    await expect(scan({ bits: [1] })).rejects.toThrow('bits must be a whole number from 2 to 16');
    await expect(scan({ bits: [] })).rejects.toThrow('bits is an empty list');
    await expect(scan({ method: 'trace' })).rejects.toThrow('method must be loss or hessian');
    await expect(scan({ loss: 'mse' })).rejects.toThrow('unknown loss "mse"');
    await expect(scan({ targets: 'x' })).rejects.toThrow('the target "x" matches no layer');
  });
});

describe('bitsForBudget', () => {
  const row = (layer: string, bits: number, rise: number) => ({
    layer,
    bits,
    rise,
    bytes: 10 * bits,
  });
  const scan: BitSensitivity = {
    rows: [
      row('a', 2, 9),
      row('a', 4, 3),
      row('a', 8, 0),
      row('b', 2, 2),
      row('b', 4, 1),
      row('b', 8, 0),
    ],
    rest: 5,
    quantizer: {},
  };

  it('spends the bytes where they save most', () => {
    // 100 bytes for both: a 8 and b 2 lose 2; a 4 and b 4 lose 4.
    expect(bitsForBudget(scan, { bytes: 105 })).toEqual({
      bits: { a: 8, b: 2 },
      bytes: 105,
      rise: 2,
      bound: 2,
      optimal: true,
    });
    expect(bitsForBudget(scan, { bytes: 1000 }).bits).toEqual({ a: 8, b: 8 });
    expect(bitsForBudget(scan, { bytes: 45 }).bits).toEqual({ a: 2, b: 2 });
  });

  it('says what is out of reach', () => {
    expect(() => bitsForBudget(scan, { bytes: 44 })).toThrow('the model takes 45');
  });

  it('is kept by the model that is quantised', async () => {
    const model = classifier();
    const own = await sensitivityBits(model, { data: data(), loss, progress: false });
    const { bits, bytes } = bitsForBudget(own, { bytes: 130 });
    quantizeByBits(model, bits);
    expect(summarize(model).total.bytes).toBeLessThanOrEqual(bytes);
    expect(bytes - summarize(model).total.bytes).toBeLessThan(3); // each part is rounded up
  });

  it('is given once: the model stays as it was the second time', async () => {
    const model = classifier();
    const links = () => parametrizedWeights(model).map((weight) => weight.links.length);
    const { name } = model.layers.find((layer) => layer.getWeights().length > 0)!;
    quantizeByBits(model, { [name]: 4 });
    const before = links();
    expect(() => quantizeByBits(model, { [name]: 6 })).toThrow('is quantised already (4 bits)');
    const options = { epochs: 1, loss, progress: false } as const;
    const gradual = gradualBits({ stages: [{ epoch: 0, bits: 8 }] });
    for (const callback of [gradual, incrementalQuantization()]) {
      const run = fit(model, data(), { ...options, callbacks: [callback] });
      await expect(run).rejects.toThrow('is quantised already (4 bits)');
    }
    expect(links()).toEqual(before);
  });
});

describe('gradualBits', () => {
  it('lowers the bits by epoch, and saves them', async () => {
    const model = classifier();
    const stages = [
      { epoch: 1, bits: 6 },
      { epoch: 3, bits: 3 },
    ];
    const options = { epochs: 4, loss, callbacks: [gradualBits({ stages })], progress: false };
    const { logs } = await fit(model, data(), options);
    expect(logs.bits).toEqual([32, 6, 6, 3]);
    for (const weight of parametrizedWeights(model)) {
      const [rows, columns] = weight.variable.shape as [number, number];
      const values = weight.bake().dataSync();
      const first = Array.from({ length: rows }, (_, i) => values[i * columns]!);
      expect(new Set(first).size).toBeLessThanOrEqual(7);
      expect(weight.encoding().values).toMatchObject({ type: 'affine', bits: 3 });
    }
    expect(snapshot(await savedAndLoaded(model))).toEqual(snapshot(model));
  });

  it('names what is wrong', () => {
    expect(() => gradualBits({ stages: [] })).toThrow('stages must be a list');
    const twice = [
      { epoch: 1, bits: 6 },
      { epoch: 1, bits: 4 },
    ];
    expect(() => gradualBits({ stages: twice })).toThrow('epoch must be a whole number at least 2');
    expect(() => gradualBits({ stages: [{ epoch: 0, bits: 1 }] })).toThrow('bits must be');
  });
});
