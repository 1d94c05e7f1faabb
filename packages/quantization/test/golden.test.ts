// Figures of other toolkits for whole layers whose inputs, weights and outputs are quantised.
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import {
  activationPlaces,
  fakeQuantActivations,
  fakeQuantize,
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
