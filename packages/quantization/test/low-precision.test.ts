import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { Random } from '@thimble/base';
import { fit, parametrize, parametrizedWeights } from '@thimble/core';
import {
  dynamicTreeTable,
  eightBitState,
  type FixedPointFormat,
  fixedPoint,
  fixedPointTraining,
  fromDynamicTree,
  toDynamicTree,
  toFixedPoint,
} from '@thimble/quantization';
import { classifier, expectNoLeaks, threeClasses, useCpu } from '@thimble/testing';
import { describe, expect, it } from 'vitest';

useCpu();

const data = () => threeClasses(6, 5);
const loss = 'categoricalCrossentropyFromLogits';

describe('toFixedPoint', () => {
  // google/qkeras, tests/qactivation_test.py: quantized_bits(6, 2, symmetric=0); its integer bits are
  // without the sign, those of Gupta with it.
  it('has the values and the range of qkeras', () => {
    const x = tf.tensor1d([-3, -2, -1, -0.5, 0, 0.5, 1, 4, 10, -10]);
    expect(toFixedPoint(x, { integerBits: 3, fractionBits: 3 })).toBeAllClose(
      [-3, -2, -1, -0.5, 0, 0.5, 1, 3.875, 3.875, -4],
      0,
    );
  });

  // golden/cases.json quantizer-013: google/qkeras, tests/range_test.py, bits 3; its integer bits are without the
  // sign. With 3 of them the step is 2, which our formats, with 0 fraction bits or more, do not have.
  it.each([
    [0, [-1, -0.75, -0.5, -0.25, 0, 0.25, 0.5, 0.75]],
    [1, [-2, -1.5, -1, -0.5, 0, 0.5, 1, 1.5]],
    [2, [-4, -3, -2, -1, 0, 1, 2, 3]],
  ])('has just the values of qkeras at 3 bits, %d of them whole', (whole, expected) => {
    const rounded = toFixedPoint(tf.linspace(-9, 9, 1801), {
      integerBits: whole + 1,
      fractionBits: 2 - whole,
    });
    const values = [...new Set(rounded.dataSync())].map((value) => value + 0); // one zero
    expect([...new Set(values)].sort((a, b) => a - b)).toEqual(expected);
  });

  it('rounds halves to even, where Gupta et al. round them up', () => {
    const x = tf.tensor1d([0.25, 0.75, -0.25, -0.75, 0.24]);
    expect(toFixedPoint(x, { integerBits: 3, fractionBits: 1 })).toBeAllClose([0, 1, 0, -1, 0], 0);
  });

  it('goes up with a chance as large as what is left over', () => {
    const format: FixedPointFormat = { integerBits: 2, fractionBits: 2, rounding: 'stochastic' };
    const uniform = tf.tensor1d([0, 0.59, 0.61, 0.99]);
    // 0.1 is 0.4 of a step: up where u is at least 0.6.
    expect(toFixedPoint(tf.fill([4], 0.1), format, uniform)).toBeAllClose([0, 0, 0.25, 0.25], 0);
    expect(() => toFixedPoint(tf.zeros([1]), format)).toThrow('needs uniform random numbers');
  });

  it('leaves what lies on the grid where it is, however many steps that is', () => {
    const x = tf.tensor1d([1.5, -1.5, 2 - 2 ** -22, -2, 7, Number.POSITIVE_INFINITY]);
    const format: FixedPointFormat = { integerBits: 2, fractionBits: 22, rounding: 'stochastic' };
    const rounded = toFixedPoint(x, format, tf.fill([6], 1 - 2 ** -24));
    const top = 2 - 2 ** -22;
    expect([...rounded.dataSync()]).toEqual([1.5, -1.5, top, -2, top, top]);
  });
});

describe('fixedPoint', () => {
  const kernelOf = (format: FixedPointFormat, values: number[]) => {
    const layer = tfl.layers.dense({
      units: values.length,
      weights: [tf.tensor2d([values])],
      useBias: false,
      inputShape: [1],
    });
    parametrize(layer, { kernel: [fixedPoint(format)] });
    return parametrizedWeights(tfl.sequential({ layers: [layer] }))[0]!;
  };

  it('loses updates below half a step, but not their mean when rounding at random', () => {
    const count = 20000;
    const values = Array.from({ length: count }, () => 0.5);
    const of = (rounding: 'nearest' | 'stochastic') => {
      const weight = kernelOf({ integerBits: 2, fractionBits: 6, rounding }, values);
      const step = tf.add(weight.variable, 0.3 / 64);
      return weight.update(weight.variable, step).dataSync();
    };
    expect(new Set(of('nearest'))).toEqual(new Set([0.5]));
    const drawn = of('stochastic');
    expect(new Set(drawn)).toEqual(new Set([0.5, 0.5 + 1 / 64]));
    const mean = Array.from(drawn).reduce((sum, value) => sum + value, 0) / count;
    // 0.3 of a step, with a deviation of 0.46 / sqrt(20000) steps
    expect((mean - 0.5) * 64).toBeGreaterThan(0.3 - 4 * 0.0033);
    expect((mean - 0.5) * 64).toBeLessThan(0.3 + 4 * 0.0033);
  });

  it('counts its bits', () => {
    const weight = kernelOf({ integerBits: 2, fractionBits: 6 }, [0.5, 0.013]);
    expect(weight.bake()).toBeAllClose([[0.5, 1 / 64]], 0);
    expect(weight.encoding().values).toMatchObject({ type: 'affine', bits: 8 });
  });

  it('names what is wrong', () => {
    expect(() => fixedPoint({ integerBits: 0, fractionBits: 4 })).toThrow('integerBits must be');
    expect(() => fixedPoint({ integerBits: 4, fractionBits: 21 })).toThrow('fractionBits must be');
    const rounding = 'up' as never;
    expect(() => fixedPoint({ integerBits: 4, fractionBits: 4, rounding })).toThrow(
      'rounding must be',
    );
  });
});

describe('fixedPointTraining', () => {
  it('keeps weights, outputs, errors and gradients on the grid', async () => {
    const model = classifier();
    const step = 2 ** -6;
    const onGrid = (x: tf.Tensor) => {
      for (const value of x.dataSync()) expect(Number.isInteger(value / step)).toBe(true);
    };
    let seen = 0;
    const watcher = {
      gradients(gradients: tf.Tensor[]) {
        gradients.forEach(onGrid);
        seen++;
        return gradients;
      },
      loss(value: tf.Scalar, [logits]: tf.Tensor[]) {
        onGrid(logits!);
        return value;
      },
    };
    const format = { integerBits: 4, fractionBits: 6, rounding: 'stochastic' } as const;
    const callbacks = [fixedPointTraining(format), watcher];
    await fit(model, data(), { epochs: 2, batchSize: 8, loss, callbacks, progress: false });
    expect(seen).toBe(6);
    const weights = parametrizedWeights(model);
    expect(weights.map(({ weight }) => weight)).toEqual(['kernel', 'bias', 'kernel', 'bias']);
    for (const { variable } of weights) onGrid(variable);
  });

  it('passes no error back where an output was cut off', async () => {
    // One layer with logits 2 * weight: those above 2^(2-1) get no gradient.
    const layer = tfl.layers.dense({
      units: 3,
      useBias: false,
      weights: [tf.tensor2d([[0.75, 1.75, -1.75]])],
      inputShape: [1],
    });
    const model = tfl.sequential({ layers: [layer] });
    const seen: number[] = [];
    const watcher = {
      gradients(gradients: tf.Tensor[]) {
        seen.push(...gradients[0]!.dataSync());
        return gradients;
      },
    };
    const callbacks = [fixedPointTraining({ integerBits: 2, fractionBits: 8 }), watcher];
    const options = { epochs: 1, loss: 'meanSquaredError', callbacks, progress: false } as const;
    await fit(model, { xs: tf.fill([1, 1], 2), ys: tf.zeros([1, 3]) }, options);
    // dL/dy = 2/3 y, rounded to 1/256, times the input 2
    expect(seen).toBeAllClose(
      [2 * 1, 0, 0].map((g) => Math.min(g, 2 - 1 / 256)),
      0,
    );
  });

  it('refuses the fit that does not round', async () => {
    const model = classifier();
    model.compile({ optimizer: 'sgd', loss: 'meanSquaredError' });
    const { xs, ys } = data();
    const callback = fixedPointTraining({ integerBits: 4, fractionBits: 8 });
    const run = model.fit(xs, ys, { callbacks: [callback] as never, verbose: 0 });
    await expect(run).rejects.toThrow("Use Thimble's fit");
  });
});

describe('the dynamic tree type', () => {
  it('has 256 values from -0.9929 to 1', () => {
    const table = dynamicTreeTable();
    expect(new Set(table).size).toBe(256);
    // The outermost midpoint of 64 parts of [0.1, 1], and the one value with six zeros, 0.55e-6.
    expect([table[0], table[127], table[128], table[255]]).toEqual(
      [-(1 - 0.9 / 128), 0, 0.55e-6, 1].map(Math.fround),
    );
    // With i = 1: midpoints of [0.1, 0.55] and [0.55, 1], times 1e-5.
    expect([...table.slice(129, 131)]).toEqual([0.325e-5, 0.775e-5].map(Math.fround));
  });

  it('takes every value to the nearest of the table', () => {
    const random = new Random(2);
    const values = Float32Array.from(
      { length: 500 },
      () => random.normal() * 10 ** random.uniform(-6, 0),
    );
    const coded = toDynamicTree(values);
    const table = [...dynamicTreeTable()];
    const scale = Math.max(...values.map(Math.abs));
    expect(coded.scale).toBe(scale);
    fromDynamicTree(coded).forEach((value, i) => {
      const nearest = Math.min(...table.map((level) => Math.abs(level * scale - values[i]!)));
      expect(Math.abs(value - values[i]!)).toBeLessThanOrEqual(
        nearest + 1e-6 * Math.abs(values[i]!),
      );
    });
    expect([...fromDynamicTree(toDynamicTree(new Float32Array(3)))]).toEqual([0, 0, 0]);
  });

  it('holds the state of an optimizer: 255 values at most, divisors never too small', async () => {
    const optimizer = eightBitState(tf.train.adam(0.01));
    const plain = tf.train.adam(0.01);
    const slotsOf = (own: tf.Optimizer, property: string) =>
      (own as unknown as Record<string, { variable: tf.Variable }[]>)[property]!.map(
        ({ variable }) => Array.from(variable.dataSync()),
      );
    for (const each of [optimizer, plain]) {
      const model = classifier();
      await fit(model, data(), {
        epochs: 1,
        batchSize: 24,
        loss,
        optimizer: each,
        progress: false,
      });
    }
    const table = [...dynamicTreeTable()];
    const first = slotsOf(optimizer, 'accumulatedFirstMoment')[0]!;
    const scale = Math.max(...first.map(Math.abs));
    for (const value of first) {
      const off = Math.min(...table.map((level) => Math.abs(level * scale - value)));
      expect(off).toBeLessThan(1e-6 * scale);
    }
    const exact = slotsOf(plain, 'accumulatedSecondMoment')[0]!;
    slotsOf(optimizer, 'accumulatedSecondMoment')[0]!.forEach((value, i) => {
      expect(value).toBeGreaterThanOrEqual(exact[i]! * (1 - 1e-5));
      if (exact[i] === 0) expect(value).toBe(0);
    });
    expect(() => eightBitState(optimizer)).toThrow('already');
  });

  it('trains about as well as float, and leaks nothing', async () => {
    const run = async (optimizer: tf.Optimizer) => {
      const options = {
        epochs: 30,
        batchSize: 8,
        loss,
        optimizer,
        progress: false,
        seed: 1,
      } as const;
      const { logs } = await fit(classifier(), data(), options);
      return logs.loss!.at(-1)!;
    };
    const [float, eight] = [
      await run(tf.train.adam(0.02)),
      await run(eightBitState(tf.train.adam(0.02))),
    ];
    expect(eight).toBeLessThan(float + 0.15);
    const [model, examples, optimizer] = [classifier(), data(), eightBitState(tf.train.adam(0.02))];
    await expectNoLeaks(() =>
      fit(model, examples, { epochs: 1, loss, optimizer, progress: false }),
    );
  });
});
