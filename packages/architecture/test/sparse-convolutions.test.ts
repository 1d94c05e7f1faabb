// Versatile and perforated convolutions against naive references.
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import {
  perforateByImpact,
  perforatedConv2d,
  setPerforation,
  versatileConv2d,
} from '@thimble/architecture';
import { DataError, NoMatchError, OptionError, Random, ShapeError } from '@thimble/base';
import { copyModel, finalize, finalizeReport, lower, summarize } from '@thimble/core';
import { describeLayerContract, savedAndLoaded, smallModel, useCpu } from '@thimble/testing';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

useCpu();

const gradients = { epsilon: 3e-3, tolerance: 2e-2 };
for (const [name, args, inputShape] of [
  ['spatial', { kernelSize: 3, padding: 'same' }, [5, 5, 2]],
  ['both ways, strided', { kernelSize: 5, channelDelta: 2, strides: 2 }, [7, 6, 4]],
] as const) {
  describeLayerContract(`versatileConv2d, ${name}`, {
    make: () => versatileConv2d({ filters: 5, activation: 'tanh', ...args }),
    inputShape: [...inputShape],
    gradients,
  });
}
for (const mask of ['uniform', 'grid', 'poolingStructure'] as const) {
  describeLayerContract(`perforatedConv2d, ${mask}`, {
    make: () =>
      perforatedConv2d({
        filters: 3,
        kernelSize: 3,
        padding: 'same',
        activation: 'tanh',
        mask,
        keep: 0.4,
      }),
    inputShape: [5, 4, 2],
    gradients,
  });
}

interface Conv {
  kernelSize: number;
  strides: number;
  padding: 'same' | 'valid';
  size: [number, number];
  channels: number;
  filters: number;
}
const convs = {
  kernelSize: fc.integer({ min: 1, max: 5 }),
  strides: fc.integer({ min: 1, max: 3 }),
  padding: fc.constantFrom('same' as const, 'valid' as const),
  size: fc.tuple(fc.integer({ min: 5, max: 8 }), fc.integer({ min: 5, max: 8 })),
  channels: fc.integer({ min: 1, max: 4 }),
  filters: fc.integer({ min: 1, max: 9 }),
};

/** Rows and columns of the output, and where its first window begins. */
function axis(
  size: number,
  { kernelSize, strides, padding }: Conv,
): [count: number, first: number] {
  if (padding === 'valid') return [Math.floor((size - kernelSize) / strides) + 1, 0];
  const count = Math.ceil(size / strides);
  return [count, -Math.floor(Math.max(0, (count - 1) * strides + kernelSize - size) / 2)];
}

const values = (random: Random, n: number) =>
  Float32Array.from({ length: n }, () => random.uniform(-1, 1));

describe('versatileConv2d', () => {
  it('equals loops over crops and windows of the primary filters', () => {
    fc.assert(
      fc.property(
        fc.record({
          ...convs,
          spatial: fc.boolean(),
          delta: fc.integer({ min: 0, max: 3 }),
          stride: fc.integer({ min: 1, max: 2 }),
        }),
        ({ spatial, delta, stride, ...conv }) => {
          const { kernelSize: k, strides, padding, size, channels, filters } = conv;
          fc.pre(delta < channels);
          const layer = versatileConv2d({
            ...{ filters, kernelSize: k, strides, padding, spatial },
            ...{ channelDelta: delta, channelStride: stride },
          });
          const random = new Random(5);
          const x = values(random, size[0] * size[1] * channels);
          const input = tf.tensor4d(x, [1, ...size, channels]);
          tf.dispose(layer.apply(input) as tf.Tensor);
          const crops = spatial ? Math.ceil(k / 2) : 1;
          const windows: number[] = [];
          for (let c = 0; c < delta; c += stride) windows.push(c);
          windows.push(delta); // the last one ends at the last channel
          const primaries = Math.ceil(filters / (crops * windows.length));
          const depth = channels - delta;
          expect(layer.weights[0]!.shape).toEqual([k, k, depth, primaries]);
          const kernel = values(random, k * k * depth * primaries);
          const bias = values(random, filters);
          layer.setWeights([tf.tensor(kernel, [k, k, depth, primaries]), tf.tensor(bias)]);
          const [rows, top] = axis(size[0], conv);
          const [columns, left] = axis(size[1], conv);
          const expected: number[] = [];
          for (let oy = 0; oy < rows; oy++) {
            for (let ox = 0; ox < columns; ox++) {
              for (let f = 0; f < filters; f++) {
                const use = Math.floor(f / primaries);
                const crop = Math.floor(use / windows.length);
                const from = windows[use % windows.length]!;
                let sum = bias[f]!;
                for (let i = crop; i < k - crop; i++) {
                  for (let j = crop; j < k - crop; j++) {
                    const [y, z] = [oy * strides + top + i, ox * strides + left + j];
                    if (y < 0 || z < 0 || y >= size[0] || z >= size[1]) continue;
                    for (let c = 0; c < depth; c++) {
                      const weight =
                        kernel[((i * k + j) * depth + c) * primaries + (f % primaries)]!;
                      sum += weight * x[(y * size[1] + z) * channels + from + c]!;
                    }
                  }
                }
                expected.push(sum);
              }
            }
          }
          const y = layer.apply(input) as tf.Tensor;
          expect(y.shape).toEqual([1, rows, columns, filters]);
          for (const [i, value] of y.dataSync().entries())
            expect(value).toBeCloseTo(expected[i]!, 4);
        },
      ),
      { seed: 1, numRuns: 60 },
    );
  });

  it('counts what it computes, and stays when finalized', async () => {
    // 2 crops and 2 windows: 3 primaries for 10 filters; 3 + 3 with 3 x 3 x 3 entries, 3 + 1 with 1 x 1 x 3.
    const make = () =>
      versatileConv2d({ filters: 10, kernelSize: 3, padding: 'same', channelDelta: 1 });
    const model = smallModel(make, [5, 5, 4]);
    const { layers } = summarize(model);
    expect(layers[0]).toMatchObject({ params: 9 * 3 * 3 + 10, macs: 25 * (6 * 27 + 4 * 3) });
    expect(finalizeReport(await finalize(model)).map(({ className }) => className)).toEqual([
      'ThimbleVersatileConv2D',
    ]);
  });

  it('refuses a delta that leaves no channel', () => {
    const image = tfl.input({ shape: [5, 5, 2] });
    expect(() =>
      versatileConv2d({ filters: 4, kernelSize: 3, channelDelta: 2 }).apply(image),
    ).toThrow(ShapeError);
    expect(() => versatileConv2d({ filters: 4, kernelSize: 3, channelStride: 0 })).toThrow(
      OptionError,
    );
  });
});

describe('perforatedConv2d', () => {
  it('equals a convolution whose positions are copied from the nearest kept one', () => {
    fc.assert(
      fc.property(
        fc.record({ ...convs, keep: fc.double({ min: 0.05, max: 1, noNaN: true }) }),
        (given) => {
          const { kernelSize, strides, padding, size, channels, filters, keep } = given;
          const args = { filters, kernelSize, strides, padding };
          const layer = perforatedConv2d({ ...args, keep });
          const plain = tfl.layers.conv2d(args);
          const random = new Random(7);
          const input = tf.tensor4d(values(random, 2 * size[0] * size[1] * channels), [
            2,
            ...size,
            channels,
          ]);
          tf.dispose([layer.apply(input), plain.apply(input)] as tf.Tensor[]);
          const [kernel, bias, mask] = layer.getWeights();
          plain.setWeights([kernel!, bias!]);
          const full = plain.apply(input) as tf.Tensor4D;
          const [, height, width] = full.shape;
          const kept = [...mask!.dataSync()];
          expect(kept.filter((value) => value === 1)).toHaveLength(
            Math.max(1, Math.round(keep * height * width)),
          );
          const from = (p: number) => {
            let [best, least] = [-1, Number.POSITIVE_INFINITY];
            for (const [q, value] of kept.entries()) {
              const distance =
                (Math.floor(p / width) - Math.floor(q / width)) ** 2 +
                ((p % width) - (q % width)) ** 2;
              if (value === 1 && distance < least) [best, least] = [q, distance];
            }
            return best;
          };
          const nearest = kept.map((_, p) => from(p));
          const rows = tf.reshape(full, [2, height * width, filters]);
          const expected = tf.gather(rows, tf.tensor1d(nearest, 'int32'), 1).dataSync();
          const y = (layer.apply(input) as tf.Tensor).dataSync();
          for (const [i, value] of y.entries()) expect(value).toBeCloseTo(expected[i]!, 4);
        },
      ),
      { seed: 1, numRuns: 60 },
    );
  });

  const make = (more: object = {}) =>
    perforatedConv2d({ filters: 3, kernelSize: 3, keep: 0.25, ...more });
  const maskOf = (layer: tfl.layers.Layer) => [...layer.getWeights().at(-1)!.dataSync()];

  it('puts a grid in the middle of what it stands for', () => {
    const model = smallModel(() => make({ mask: 'grid', keep: 0.25 }), [6, 6, 1]);
    // 4 x 4 positions, 2 rows and 2 columns: each in its half, at floor(0.5 * 2) and floor(1.5 * 2).
    expect(maskOf(model.layers[1]!)).toEqual([0, 0, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 1, 0, 1]);
  });

  it('keeps what most windows of the pooling read', () => {
    // Windows of 3, 2 apart, over 5: positions are read 1, 1, 2, 1, 1 times along each axis.
    const model = smallModel(() => make({ mask: 'poolingStructure', keep: 9 / 25 }), [7, 7, 1]);
    const mask = maskOf(model.layers[1]!);
    for (let i = 0; i < 5; i++) expect([mask[10 + i], mask[5 * i + 2]]).toEqual([1, 1]);
    expect(mask.filter((value) => value === 1)).toHaveLength(9);
  });

  it('counts the positions that it computes and a bit for each', () => {
    const model = smallModel(() => make(), [6, 6, 2]);
    const [layer] = summarize(model).layers;
    expect(layer).toMatchObject({ macs: 4 * 9 * 2 * 3, params: 9 * 2 * 3 + 3 + 16 });
    const mask = lower(model).weights[`${model.layers[1]!.name}/perforation`]!;
    expect(mask.encoding).toMatchObject({ nonzero: 4, values: { bits: 1 } });
  });

  it('takes another mask at any time, and keeps it when saved, copied and finalized', async () => {
    const model = smallModel(() => make(), [4, 4, 1]);
    const layer = model.layers[1]!;
    const x = tf.randomUniform([1, 4, 4, 1], -1, 1, 'float32', 3);
    const first = [...(layer.apply(x) as tf.Tensor).dataSync()];
    setPerforation(layer, [0, 1, 1, 1]);
    expect([...(layer.apply(x) as tf.Tensor).dataSync()]).not.toEqual(first);
    for (const other of [await savedAndLoaded(model), copyModel(model), await finalize(model)]) {
      expect(maskOf(other.layers[1]!)).toEqual([0, 1, 1, 1]);
    }
    expect(() => setPerforation(layer, [1, 0])).toThrow(ShapeError);
    expect(() => setPerforation(layer, [1, 0, 2, 1])).toThrow(/entry 2 is 2/);
    expect(() => setPerforation(layer, [0, 0, 0, 0])).toThrow(DataError);
    expect(() => setPerforation(model.layers[2]!, [1])).toThrow(OptionError);
  });

  it('computes the positions that the loss depends on most', async () => {
    // The head sees positions 5 and 10 only, the latter more strongly.
    const model = smallModel(
      () => perforatedConv2d({ filters: 1, kernelSize: 1, keep: 1 }),
      [4, 4, 1],
    );
    const weights = new Float32Array(16);
    weights[5] = 1;
    weights[10] = 3;
    model.layers[3]!.setWeights([tf.tensor(weights, [16, 1]), tf.zeros([1])]);
    const [xs, ys] = [tf.ones([4, 4, 4, 1]), tf.fill([4, 1], 100)];
    const layer = model.layers[1]!;
    const options = { data: { xs, ys }, loss: 'meanSquaredError', progress: false } as const;
    await perforateByImpact(model, { ...options, keep: 1 / 16 });
    expect(maskOf(layer).indexOf(1)).toBe(10);
    await perforateByImpact(model, { ...options, keep: 2 / 16 });
    expect([...maskOf(layer).keys()].filter((i) => maskOf(layer)[i] === 1)).toContain(10);
    await expect(
      perforateByImpact(
        smallModel(() => tfl.layers.flatten(), [2, 2, 1]),
        options,
      ),
    ).rejects.toThrow(NoMatchError);
  });

  it('refuses what it cannot do', () => {
    expect(() => make({ keep: 0 })).toThrow(/keep must be/);
    expect(() => make({ mask: 'impact' })).toThrow(
      /mask must be one of uniform, grid, poolingStructure/,
    );
    expect(() => make().apply(tfl.input({ shape: [null, 4, 1] }))).toThrow(/must be known/);
    expect(() => make().apply(tfl.input({ shape: [2, 2, 1] }))).toThrow(ShapeError);
  });
});
