// Figures of other toolkits for whole layers whose inputs, weights and outputs are quantised.
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import {
  activationPlaces,
  fakeQuantActivations,
  fakeQuantize,
  kmeans,
  observers,
  quantizeAware,
} from '@thimble/quantization';
import { useCpu } from '@thimble/testing';
import { describe, expect, it } from 'vitest';

useCpu();

// golden/cases.json ptq-001, ptq-003, ptq-005: IntelLabs/distiller, tests/test_post_train_quant.py.
const x0 = [-10, 31, 5, 10, 1, 8, -3, 7, -8, 16, -15, -12, -20, 13, 8, 0];
const x1 = [-3, 6, 0, 8, 4, 10, -7, 1, -100, 50, 6, 12, 80, -30, -16, 3];

/** The product of two inputs, everything in 8 bits over the given ranges. */
function product(symmetric: boolean, ranges: [number, number][]): tf.Tensor {
  const quantizer = () => fakeQuantActivations({ bits: 8, symmetric });
  const inputs = [0, 1].map(() => tfl.input({ shape: [16] }));
  const layer = quantizeAware(tfl.layers.multiply(), {
    activations: { input: quantizer(), output: quantizer() },
  } as never);
  const outputs = layer.apply(inputs) as tfl.SymbolicTensor;
  const model = tfl.model({ inputs, outputs });
  activationPlaces(model).forEach(({ quantizer, state }, i) => {
    quantizer.setRange!(state, ...ranges[i]!);
  });
  return model.predict([tf.tensor2d([x0]), tf.tensor2d([x1])]) as tf.Tensor;
}

describe('as distiller quantises after training', () => {
  it('a product over affine ranges', () => {
    const made = [
      ...product(false, [
        [-20, 31],
        [-100, 80],
        [-1600, 800],
      ]).dataSync(),
    ];
    const expected = [
      28.23529412, 178.8235294, 0, 75.29411765, 0, 75.29411765, 18.82352941, 9.411764706, 800, 800,
      -84.70588235, -141.1764706, -1590.588235, -385.8823529, -131.7647059, 0,
    ];
    // One element sits on a rounding tie: there a step of the output, 9.412, either way.
    expect(Math.abs(made[12]! - expected[12]!)).toBeLessThan(9.42);
    made[12] = expected[12]!;
    expect(made).toBeAllClose(expected, 1e-3);
  });

  it('a product over symmetric ranges', () => {
    const made = product(true, [
      [-31, 31],
      [-100, 100],
      [-1600, 1600],
    ]);
    expect([...made.dataSync()]).toBeAllClose(
      [
        25.09803922, 188.2352941, 0, 75.29411765, 0, 87.84313725, 25.09803922, 0, 803.1372549,
        803.1372549, -100.3921569, -138.0392157, -1593.72549, -389.0196078, -125.4901961, 0,
      ],
      1e-3,
    );
  });

  it('a dense layer with one symmetric range each for input, kernel and output', () => {
    const quantizer = () => fakeQuantActivations({ bits: 8, symmetric: true });
    const kernel = [
      [-1, 0.5, 0, 0.5],
      [-0.05, 0, 0.05, 0.1],
      [0.3, 0.6, -0.1, -0.2],
    ];
    const layer = tfl.layers.dense({
      units: 3,
      inputShape: [4],
      weights: [tf.transpose(tf.tensor2d(kernel)), tf.tensor1d([-0.3, 0.1, -0.5])],
    });
    quantizeAware(layer, {
      weights: { perChannel: false, narrowRange: false },
      activations: { input: quantizer(), output: quantizer() },
    } as never);
    const model = tfl.sequential({ layers: [layer] });
    // Ranges of the batch itself: those of the first batch in training.
    const made = model.apply(tf.tensor2d([[-7, 5, 2, -3]]), { training: true }) as tf.Tensor;
    const expected = [7.716609268, 0.243042812, 0.789889138];
    // -7 and -1, the ends of their ranges, sit on the tie between -127 and -128 of 255 codes. There they go
    // to -128; divided by a step in float32 they go to -127 here: 1 in 128 less.
    const found = [...made.dataSync()];
    expected.forEach((value, i) => {
      expect(found[i]! / value).toBeGreaterThan(1 - 1 / 128);
      expect(found[i]! / value).toBeLessThan(1);
    });
  });
});

// golden/cases.json fake_quant_grad-005, from TensorFlow's fake_quant_ops_test.cc: there what is clipped feeds
// learned ends of the range. Here the ends are constants; dL/dx is the same.
it('passes what TensorFlow passes inside the range, whose ends are constants', () => {
  const x = tf.tensor2d([
    [-0.1, 0, 0.1],
    [0.25, 63.75, 63.8],
  ]);
  const upstream = tf.tensor2d([
    [2, 3, 5],
    [7, 11, 13],
  ]);
  const [min, max] = [tf.fill([1, 3], -0.1), tf.fill([1, 3], 63.65)];
  const rounded = (x: tf.Tensor, min: tf.Tensor, max: tf.Tensor) =>
    fakeQuantize(x, min, max, { bits: 8 });
  expect(tf.grad((x) => rounded(x, min, max))(x, upstream)).toBeAllClose([
    [0, 3, 5],
    [7, 11, 0],
  ]);
  expect(() => tf.grads(rounded)([x, min, max], upstream)).toThrow(/Cannot compute gradient/);
});

// golden/cases.json fake_quant-029, from vllm-project/compressed-tensors, test_static_lifecycle.py: 4 bits with a
// step for each block of 2 x 3; there in bfloat16, hence 1 percent.
it('takes a range for every block of a matrix', () => {
  const largest = [
    [8, 11],
    [20, 23],
  ];
  const ends = tf.tensor2d(
    [0, 0, 1, 1].map((row) => [0, 0, 0, 1, 1, 1].map((i) => largest[row]![i]!)),
  );
  const weight = tf.reshape(tf.range(0, 24), [4, 6]);
  const made = fakeQuantize(weight, tf.neg(ends), ends, { bits: 4, symmetric: true });
  expect(made).toBeAllClose(
    [
      [0, 1.0703, 2.1406, 2.9375, 4.4062, 4.4062],
      [6.4375, 7.5, 7.5, 8.8125, 10.25, 10.25],
      [10.6875, 13.375, 13.375, 15.3125, 15.3125, 18.375],
      [18.75, 18.75, 18.75, 21.5, 21.5, 21.5],
    ],
    0.01,
  );
});

// golden/cases.json qparams-001 and qparams-003, from IntelLabs/distiller, test_quant_utils.py.
it.each([
  ['full', false, [31.875, 12.75]],
  ['restricted', true, [31.75, 12.7]],
] as const)('has the steps and codes of a symmetric range, %s', (_, narrowRange, perUnit) => {
  for (const [i, end] of [4, 10].entries()) {
    const step = 1 / perUnit[i]!;
    const options = { bits: 8, symmetric: true, narrowRange };
    const made = fakeQuantize(tf.tensor([-1000, step * 0.9, 1000]), -end, end, options);
    expect(made).toBeAllClose([(narrowRange ? -127 : -128) * step, step, 127 * step], 1e-5);
  }
});

describe('observers', () => {
  // golden/cases.json observer-017, from quic/aimet, test_encoding_analyzer.py.
  it('see the range from 0 to 25.5, which is symmetric where the grid is', () => {
    const observer = observers.minMax();
    observer.observe(tf.range(0, 26, 0.5));
    const { min, max } = observer.range();
    expect([min[0], max[0]]).toEqual([0, 25.5]);
    const options = { bits: 8, symmetric: true, narrowRange: true };
    const made = fakeQuantize(tf.tensor([-30, 30]), min[0]!, max[0]!, options);
    expect(made).toBeAllClose([-25.5, 25.5]);
  });

  // golden/cases.json observer-013, from pytorch/pytorch, test_workflow_module.py: of counts 2, 3, 3 over [2, 8]
  // its search keeps whole bins and ends at 6. Here a bin stands at its middle, 7 for the last, and a range ends
  // at a hundredth of the largest value, so that it has to reach over 7. The same counts: observers.test.ts.
  it('reach to the middle of the last bin that counts', () => {
    const observer = observers.mse({ bins: 3 });
    observer.observe(tf.tensor([2, 3, 4, 5]));
    observer.observe(tf.tensor([5, 6, 7, 8]));
    const { min, max } = observer.range();
    expect(min[0]).toBe(0);
    expect(max[0]).toBeGreaterThanOrEqual(7);
    expect(max[0]).toBeLessThanOrEqual(8);
  });

  // golden/cases.json observer-021, from quic/aimet: it counts infinities in the last bin. Here they are refused.
  it('refuse infinities', () => {
    const observer = observers.percentile({ bins: 10 });
    const values = [1, 7, 5.3, 6, Number.POSITIVE_INFINITY];
    expect(() => observer.observe(tf.tensor(values))).toThrow('Infinity');
  });
});

// golden/cases.json clustering-015, channels first: tfmot's grid of 30 points begins and ends 0.01 outside of the
// values; here centroids are values themselves.
it('has the density of each channel, to a step of the grid of tfmot', () => {
  for (const [values, expected] of [
    [
      [0, 1, 4, 5],
      [0.163103, 5.01],
    ],
    [
      [2, 3, 6, 7],
      [2.163104, 7.01],
    ],
  ] as const) {
    const { centroids } = kmeans(values, { clusters: 2, start: 'density', iterations: 0 });
    expect(centroids).toBeAllClose(expected as never, 5.02 / 29);
  }
});
