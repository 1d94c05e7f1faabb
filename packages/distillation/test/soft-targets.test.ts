import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-layers'; // registers the gradients
import { OptionError, ShapeError } from '@thimble/base';
import { distillationLoss, softTargetDivergence } from '@thimble/distillation';
import { expectNoLeaks, useCpu } from '@thimble/testing';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

useCpu();

const student = [
  [1, 2, 3],
  [0.5, -1, 0],
];
const teacher = [
  [2, 1, 0],
  [3, 0, -1],
];
const labels = [
  [1, 0, 0],
  [0, 1, 0],
];

/*
Values from PyTorch 2.13 in float64:
  s, t: as above; y = torch.tensor([0, 1])
  l = a*T*T*F.kl_div(F.log_softmax(s/T,-1), F.softmax(t/T,-1), reduction='batchmean')
      + (1-a)*F.cross_entropy(s, y)
  torch.autograd.grad(l, s)
*/
const CASES = [
  {
    temperature: 2,
    alpha: 0.7,
    loss: 1.4155681331813872,
    gradient: [
      [-0.36060508150530746, 0.03670927065821964, 0.3238958108470878],
      [-0.12235511351572292, -0.09980111327992677, 0.22215622679564972],
    ],
  },
  {
    temperature: 4,
    alpha: 0.9,
    loss: 1.2711963166712952,
    gradient: [
      [-0.3424152015760986, 0.012236423552739899, 0.33017877802335877],
      [-0.25035525088087685, -0.02452838616261916, 0.2748836370434958],
    ],
  },
  {
    temperature: 1,
    alpha: 1,
    loss: 0.77936557175595,
    gradient: [
      [-0.2876051913022207, 0, 0.2876051913022206],
      [-0.19484508230516306, 0.037669514865877475, 0.15717556743928554],
    ],
  },
  {
    temperature: 1,
    alpha: 0,
    loss: 2.2558682848905542,
    gradient: [
      [-0.4549847134148098, 0.12236423552739882, 0.3326204778874109],
      [0.2732746936330898, -0.4390241738451356, 0.16574948021204575],
    ],
  },
];

describe('losses.distillation', () => {
  test.each(CASES)(
    'T=$temperature, alpha=$alpha agrees with PyTorch, value and gradient',
    ({ temperature, alpha, loss, gradient }) => {
      const value = distillationLoss({ temperature, alpha });
      const grads = tf.valueAndGrad((s: tf.Tensor) =>
        value(tf.tensor2d(labels), s, tf.tensor2d(teacher)),
      )(tf.tensor2d(student));
      expect(grads.value).toBeAllClose([loss], 1e-6);
      expect(grads.grad).toBeAllClose(gradient, 1e-6);
    },
  );

  test('an ensemble teaches the mean of its softened probabilities', () => {
    // PyTorch: p = (softmax(t/3) + softmax(t2/3)) / 2; 9 * kl_div(log_softmax(s/3), p, 'batchmean')
    const second = tf.tensor2d([
      [0, 1, 0],
      [1, 2, -1],
    ]);
    const value = distillationLoss({ temperature: 3, alpha: 1 });
    const result = value(tf.tensor2d(labels), tf.tensor2d(student), [tf.tensor2d(teacher), second]);
    expect(result).toBeAllClose([0.746590353824611], 1e-6);
  });

  test('no gradient for a student that agrees with its teacher', () => {
    fc.assert(
      fc.property(
        fc.array(fc.double({ min: -20, max: 20, noNaN: true }), { minLength: 3, maxLength: 3 }),
        fc.double({ min: 0.5, max: 30, noNaN: true }),
        fc.double({ min: -50, max: 50, noNaN: true }),
        (logits, temperature, shift) => {
          const x = tf.tensor2d([logits]);
          const shifted = tf.tensor2d([logits.map((z) => z + shift)]);
          const divergence = (s: tf.Tensor) =>
            tf.sum(softTargetDivergence(s, [shifted], temperature)) as tf.Scalar;
          const { value, grad } = tf.valueAndGrad(divergence)(x);
          expect(Math.abs(value.dataSync()[0]!)).toBeLessThan(1e-4 * temperature ** 2);
          expect(grad).toBeAllClose([0, 0, 0], 1e-4);
          tf.dispose([x, shifted, value, grad]);
        },
      ),
      { seed: 1, numRuns: 50 },
    );
  });

  test('at high temperature it approaches the squared difference of centred logits', () => {
    // T^2 KL -> (1 / 2N) * sum (z - v)^2 of centred logits, N classes (paper, section 2.1): here
    // z = (-1, 0, 1), v = (1, 0, -1), so (4 + 0 + 4) / 6 = 4/3.
    const divergence = softTargetDivergence(
      tf.tensor2d([student[0]!]),
      [tf.tensor2d([teacher[0]!])],
      1000,
    );
    // float32: T^2 magnifies the rounding of probabilities that are nearly equal.
    expect(Math.abs(divergence.dataSync()[0]! - 4 / 3)).toBeLessThan(0.1);
  });

  test('extreme logits stay finite', () => {
    const value = distillationLoss({ temperature: 1, alpha: 0.5 });
    const far = tf.tensor2d([[1e4, -1e4, 0]]);
    const grads = tf.valueAndGrad((s: tf.Tensor) => value(tf.tensor2d([[0, 1, 0]]), s, far))(
      tf.tensor2d([[-1e4, 1e4, 0]]),
    );
    expect(Number.isFinite(grads.value.dataSync()[0])).toBe(true);
    expect(Array.from(grads.grad.dataSync()).every(Number.isFinite)).toBe(true);
  });

  test('leaks nothing', async () => {
    const value = distillationLoss();
    const [y, s, t] = [tf.tensor2d(labels), tf.tensor2d(student), tf.tensor2d(teacher)];
    await expectNoLeaks(() => value(y, s, t).dispose());
  });

  test.each([[0], [-1], [Number.NaN], [Number.POSITIVE_INFINITY]])(
    'refuses the temperature %s',
    (temperature) => {
      expect(() => distillationLoss({ temperature })).toThrow(OptionError);
      expect(() => distillationLoss({ temperature })).toThrow(/temperature must be .* above 0/);
    },
  );

  test('refuses alpha outside [0, 1] and unknown options', () => {
    expect(() => distillationLoss({ alpha: 1.5 })).toThrow(/alpha must be a number from 0 to 1/);
    expect(() => distillationLoss({ tau: 3 } as object)).toThrow(/unknown option "tau"/);
  });

  test('refuses shapes that differ, naming which', () => {
    const value = distillationLoss();
    expect(() => value(tf.tensor1d([0, 1]), tf.tensor2d(student), tf.tensor2d(teacher))).toThrow(
      ShapeError,
    );
    expect(() => value(tf.tensor2d(labels), tf.tensor2d(student), tf.zeros([2, 4]))).toThrow(
      /teacher has shape \[2,4\]/,
    );
  });
});
