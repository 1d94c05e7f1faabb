import * as tf from '@tensorflow/tfjs-core';
import { Random } from '@thimble/base';
import { decodeState, encodeState, type StateValue } from '@thimble/core';
import { fakeQuantize, observers, type ValueRange } from '@thimble/quantization';
import { useCpu } from '@thimble/testing';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Histogram } from '../src/histogram.ts';

useCpu();

const ends = ({ min, max }: ValueRange) => [min[0]!, max[0]!];
const normals = (n: number) => {
  const random = new Random('normals');
  return Float32Array.from({ length: n }, () => random.normal());
};

// pytorch/pytorch, test/quantization/core/test_workflow_module.py
const torchBatches = [
  [1, 2, 2, 3, 4, 5, 6],
  [4, 5, 5, 6, 7, 8],
];

describe('observers.minMax', () => {
  // tensorflow/model-optimization, quant_ops_test.py: running min/max over two batches.
  it('reaches over all batches', () => {
    const observer = observers.minMax();
    observer.observe(tf.tensor([-5, 1]));
    observer.observe(tf.tensor([-1, 5]));
    expect(ends(observer.range())).toEqual([-5, 5]);
  });

  // PyTorch's scales for qint8: affine 8/255, symmetric 16/255, in 7 bits 8/127 and 16/127.
  it.each([
    [8, false, 0.0313725],
    [8, true, 0.062745],
    [7, false, 0.06299202755905511],
    [7, true, 0.12598405511811023],
  ])('gives the steps of other toolkits: %i bits, symmetric %s', (bits, symmetric, scale) => {
    const observer = observers.minMax();
    for (const batch of torchBatches) observer.observe(tf.tensor(batch));
    const { min, max } = observer.range();
    expect([min[0], max[0]]).toEqual([1, 8]);
    const one = fakeQuantize(tf.scalar(scale * 1.2), min[0]!, max[0]!, { bits, symmetric });
    expect(one).toBeAllClose([scale], 1e-5);
  });

  // IntelLabs/distiller, tests/test_quant_utils.py
  const distiller = [
    -93, 33, -77, -42, -89, -55, 79, -19, -94, 69, -46, -88, 19, -43, -38, 30, -56, 87, 27, -86, 81,
    -60, -19, 59, 58, -47, -26, 12, -74, 83, -83, -28, 69, 63, -95, -87,
  ];
  it('has a range per channel, on any axis', () => {
    const rows = observers.minMax({ axis: 0 });
    rows.observe(tf.tensor(distiller, [6, 6]));
    expect(Array.from(rows.range().min)).toEqual([-93, -94, -56, -86, -74, -95]);
    expect(Array.from(rows.range().max)).toEqual([33, 79, 87, 81, 83, 69]);
    const columns = observers.minMax({ axis: -1 });
    columns.observe(tf.transpose(tf.tensor(distiller, [6, 6])));
    expect(columns.range()).toEqual(rows.range());
    const middle = observers.minMax({ axis: 1 });
    middle.observe(tf.reshape(tf.transpose(tf.tensor(distiller, [6, 2, 3]), [1, 0, 2]), [2, 6, 3]));
    expect(middle.range()).toEqual(rows.range());
  });
});

describe('observers.movingAverage', () => {
  // PyTorch: averaging constant 0.5.
  it('averages over batches', () => {
    const observer = observers.movingAverage({ decay: 0.5 });
    observer.observe(tf.tensor([0, 2, 2, 3, 4, 5, 6]));
    observer.observe(tf.tensor([2, 5, 5, 6, 7, 10]));
    expect(ends(observer.range())).toEqual([1, 8]);
  });

  // tensorflow/model-optimization, quant_ops_test.py: decay 0.999 from 0. This package starts with the
  // first batch instead, which is one of zeros here to give the same.
  it('gives the figures of TensorFlow when it starts at 0', () => {
    const observer = observers.movingAverage({ decay: 0.999 });
    for (const batch of [
      [0, 0],
      [-1, 1],
      [0, 0],
    ]) {
      observer.observe(tf.tensor(batch));
    }
    expect(ends(observer.range())).toBeAllClose([-0.000999, 0.000999], 1e-8);
  });

  it('takes the first batch whole', () => {
    const observer = observers.movingAverage();
    observer.observe(tf.tensor([-3, 4]));
    expect(ends(observer.range())).toEqual([-3, 4]);
  });
});

describe('a histogram', () => {
  // quic/aimet, test_encoding_analyzer.py; the second is PyTorch's histogram observer test too.
  it('keeps its counts as it widens', () => {
    const laid = (values: number[]) => ({ data: values, channels: 1, inner: values.length });
    const histogram = new Histogram(3, 2, 5);
    histogram.addChannel(laid([2, 3.5, 4.2, 5]), 0);
    expect(Array.from(histogram.counts)).toEqual([1, 1, 2]);
    histogram.widen(5.3, 8);
    histogram.addChannel(laid([5.3, 6.4, 7, 8]), 0);
    expect(Array.from(histogram.counts)).toEqual([2, 3, 3]);
    histogram.widen(-4.2, 4.5);
    histogram.addChannel(laid([-4.2, 0, 2.3, 4.5]), 0);
    expect(Array.from(histogram.counts)).toEqual([1, 4, 7]);
    expect([histogram.min, histogram.max]).toEqual([-4.2, 8]);
  });
});

describe('observers.percentile', () => {
  it('leaves out as many at both ends', () => {
    const observer = observers.percentile({ percentile: 95, bins: 1000 });
    observer.observe(tf.linspace(0, 500, 501));
    observer.observe(tf.linspace(501, 1000, 500));
    // 5 percent of 0..1000 lie below 50, and above 950; a bin is 1 wide.
    const [min, max] = ends(observer.range());
    expect(Math.abs(min! - 50)).toBeLessThan(1.5);
    expect(Math.abs(max! - 950)).toBeLessThan(1.5);
  });

  it('keeps everything at 100', () => {
    const observer = observers.percentile({ percentile: 100 });
    observer.observe(tf.tensor([-1, 0.5, 3]));
    expect(ends(observer.range())).toBeAllClose([-1, 3]);
  });
});

/** Mean squared error of quantising the values over a range. */
function lost(values: Float32Array, [min, max]: number[], bits: number, symmetric = false): number {
  return tf.tidy(() => {
    const quantized = fakeQuantize(tf.tensor(values), min!, max!, { bits, symmetric });
    return tf.mean(tf.square(tf.sub(quantized, values))).dataSync()[0]!;
  });
}

describe('observers.mse', () => {
  // Best clipping of a Gaussian in multiples of its deviation: Banner et al., "Post training 4-bit
  // quantization of convolutional networks for rapid-deployment", 2019, section 3 (ACIQ): 1.71, 2.15 and
  // 2.55 for 2, 3 and 4 bits, with steps 2a/2^bits; here steps are 2a/(2^bits - 1), which moves it a little.
  it.each([
    [3, 2.15],
    [4, 2.55],
  ])('clips a Gaussian where the paper does: %i bits', (bits, clip) => {
    const observer = observers.mse({ bits, symmetric: true });
    observer.observe(normals(50_000));
    const [min, max] = ends(observer.range());
    expect(min).toBe(-max!);
    expect(Math.abs(max! - clip)).toBeLessThan(0.3);
  });

  it('loses no more than any other upper end', () => {
    const values = normals(5000).map((value) => Math.max(0, value));
    const observer = observers.mse({ bits: 3 });
    observer.observe(values);
    const range = ends(observer.range());
    expect(range[0]).toBe(0);
    const most = Math.max(...values);
    for (let share = 0.05; share <= 1; share += 0.05) {
      expect(lost(values, range, 3)).toBeLessThan(lost(values, [0, most * share], 3) * 1.01);
    }
  });

  it('does not let one outlier stretch the range', () => {
    const values = normals(5000);
    values[7] = 40;
    const observer = observers.mse({ bits: 4 });
    observer.observe(values);
    expect(observer.range().max[0]).toBeLessThan(20);
    expect(lost(values, ends(observer.range()), 4)).toBeLessThan(0.5 * lost(values, [-4, 40], 4));
  });
});

describe('observers.kl', () => {
  it('keeps the range of values that are spread evenly', () => {
    const observer = observers.kl();
    observer.observe(tf.linspace(-2, 2, 100_000));
    const [min, max] = ends(observer.range());
    expect([min, max]).toBeAllClose([-2, 2], 0.02);
  });

  it('cuts a long thin tail', () => {
    const values = normals(20_000);
    values[7] = 100;
    const observer = observers.kl();
    observer.observe(values);
    // 128 levels of 2048 bins over 100: at least 100 * 128 / 2048 = 6.25 is kept.
    const [min, max] = ends(observer.range());
    expect(max).toBeGreaterThanOrEqual(6.2);
    expect(max).toBeLessThan(20);
    expect(min).toBeGreaterThan(-7);
  });

  it('is the smallest divergence, counted directly', () => {
    const values = normals(4000).map(Math.abs);
    values[0] = 8;
    values[1] = 0;
    const bins = 64;
    const observer = observers.kl({ bits: 3, bins });
    observer.observe(values);
    const [, found] = ends(observer.range());
    const counts = new Float64Array(bins);
    for (const value of values) counts[Math.min(bins - 1, Math.floor((value / 8) * bins))]!++;
    let best = 0;
    let least = Number.POSITIVE_INFINITY;
    for (let kept = bins; kept >= 8; kept--) {
      const p = Array.from(counts.slice(0, kept));
      const reference = p.slice();
      reference[kept - 1]! += counts.slice(kept).reduce((sum, n) => sum + n, 0);
      const q = new Array<number>(kept).fill(0);
      for (let level = 0; level < 8; level++) {
        const inside = p
          .map((_, i) => i)
          .filter(
            (i) => i >= Math.floor((level * kept) / 8) && i < Math.floor(((level + 1) * kept) / 8),
          );
        const nonzero = inside.filter((i) => reference[i]! > 0);
        for (const i of nonzero) q[i] = inside.reduce((sum, j) => sum + p[j]!, 0) / nonzero.length;
      }
      const total = (list: number[]) => list.reduce((sum, n) => sum + n, 0);
      const [allP, allQ] = [total(reference), total(q)];
      const divergence = total(
        reference.map((n, i) =>
          n === 0 ? 0 : (n / allP) * Math.log(n / allP / Math.max(q[i]! / allQ, 1e-12)),
        ),
      );
      if (divergence < least) [least, best] = [divergence, (kept * 8) / bins];
    }
    expect(found).toBeCloseTo(best, 5);
    expect(best).toBeLessThan(8);
  });
});

const kinds = Object.entries(observers);

describe.each(kinds)('observers.%s', (name, make) => {
  it('names what is wrong', () => {
    const owner = `observers.${name}`;
    expect(() => make().range()).toThrow(`${owner}: no values were observed`);
    expect(() => make().observe(tf.tensor([1, Number.NaN]))).toThrow(`${owner}: NaN`);
    expect(() => make().observe(tf.tensor([1, Number.POSITIVE_INFINITY]))).toThrow('Infinity');
    expect(() => make().observe(tf.zeros([0]))).toThrow('without values');
    expect(() => make({ axis: 2 }).observe(tf.ones([3, 3]))).toThrow('no axis 2');
    const channels = make({ axis: 1 });
    channels.observe(tf.ones([2, 3]));
    expect(() => channels.observe(tf.ones([2, 4]))).toThrow('4 channels after some with 3');
    const constant = make();
    constant.observe(tf.fill([3], 2));
    expect(() => constant.range()).toThrow('all values observed are 2');
    expect(() => make({ axes: 1 } as never)).toThrow('"axes"');
  });

  it('goes on after a restart as if there had been none', () => {
    const [first, second] = [normals(600), normals(900).map((value) => value * 3)];
    const observe = (observer: ReturnType<typeof make>, values: Float32Array) =>
      observer.observe(tf.tensor(values, [values.length / 3, 3]));
    const unbroken = make({ axis: 1 });
    observe(unbroken, first);
    const resumed = make({ axis: 1 });
    resumed.restore(decodeState(encodeState(unbroken.state())) as StateValue);
    observe(unbroken, second);
    observe(resumed, second);
    expect(resumed.range()).toEqual(unbroken.range());
  });

  it('holds no tensors', () => {
    const values = tf.tensor(normals(10));
    const { numTensors } = tf.memory();
    const observer = make();
    observer.observe(values);
    observer.range();
    expect(tf.memory().numTensors).toBe(numTensors);
  });

  it('finds a range within the values', () => {
    fc.assert(
      fc.property(
        fc.array(fc.float({ min: -1000, max: 1000, noNaN: true }), { minLength: 2, maxLength: 60 }),
        (list) => {
          const values = Float32Array.from(list);
          const [low, high] = [Math.min(...values), Math.max(...values)];
          fc.pre(high > low);
          const observer = make({ bins: 32 } as object);
          observer.observe(values);
          const [min, max] = ends(observer.range());
          expect(min).toBeLessThanOrEqual(max!);
          const slack = 1e-5 * Math.max(Math.abs(low), Math.abs(high));
          expect(min).toBeGreaterThanOrEqual(Math.min(0, low) - slack);
          expect(max).toBeLessThanOrEqual(Math.max(0, high) + slack);
        },
      ),
      { seed: 42, numRuns: name.match(/minMax|moving/) ? 0 : 100 },
    );
  });
});
