import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-layers'; // registers the gradients
import { OptionError, Random } from '@thimble/base';
import { fit } from '@thimble/core';
import { logitLoss, noisyTeacher, perturbLogits } from '@thimble/distillation';
import { classifier, threeClasses, useCpu } from '@thimble/testing';
import { expect, test } from 'vitest';

useCpu();

test('logitLoss by hand, value and gradient', () => {
  const teacher = tf.tensor2d([
    [1, 4],
    [0, 0],
  ]);
  const loss = (x: tf.Tensor) => logitLoss(x, teacher);
  const { value, grad } = tf.valueAndGrad(loss)(
    tf.tensor2d([
      [1, 2],
      [3, 0],
    ]),
  );
  // (4 + 9) / 2 over 2 examples; (student - teacher) / 2.
  expect(value).toBeAllClose([3.25]);
  expect(grad).toBeAllClose([0, -1, 1.5, 0]);
});

test('the noise is relative, of mean 0, new for each logit, on its fraction of the examples', () => {
  const [examples, classes] = [4000, 5];
  const logits = new Float32Array(examples * classes).fill(2);
  perturbLogits(logits, classes, { deviation: 0.3, fraction: 0.25 }, new Random(1));
  let touched = 0;
  const noise: number[] = [];
  for (let n = 0; n < examples; n++) {
    const row = Array.from(logits.subarray(n * classes, (n + 1) * classes));
    if (row.every((z) => z === 2)) continue;
    touched += 1;
    expect(new Set(row).size).toBe(classes);
    noise.push(...row.map((z) => z / 2 - 1));
  }
  // Four standard errors: sqrt(.25 .75 / 4000) = .0068, .3 / sqrt(5000) = .0042, .3 / sqrt(10000) = .003.
  expect(Math.abs(touched / examples - 0.25)).toBeLessThan(0.028);
  const mean = noise.reduce((sum, x) => sum + x, 0) / noise.length;
  const square = noise.reduce((sum, x) => sum + (x - mean) ** 2, 0) / noise.length;
  expect(Math.abs(mean)).toBeLessThan(0.017);
  expect(Math.abs(Math.sqrt(square) - 0.3)).toBeLessThan(0.013);
});

test('zero logits stay zero, and a fraction of 0 or 1 is none or all', () => {
  const zeros = new Float32Array(6);
  perturbLogits(zeros, 3, { deviation: 1, fraction: 1 }, new Random(1));
  expect(Array.from(zeros, Math.abs)).toEqual([0, 0, 0, 0, 0, 0]);
  const ones = new Float32Array(300).fill(1);
  perturbLogits(ones, 3, { deviation: 1, fraction: 0 }, new Random(1));
  expect(ones.every((z) => z === 1)).toBe(true);
  perturbLogits(ones, 3, { deviation: 1, fraction: 1 }, new Random(1));
  expect(ones.every((z) => z !== 1)).toBe(true);
});

test('without noise the loss is that of regression on the logits', async () => {
  const data = threeClasses(6, 4);
  const [student, teacher] = [classifier(1), classifier(2)];
  (student.layers[1] as unknown as { rate: number }).rate = 0;
  const regression = logitLoss(
    student.predict(data.xs) as tf.Tensor,
    teacher.predict(data.xs) as tf.Tensor,
  ).dataSync()[0]!;
  const task = tf.losses
    .softmaxCrossEntropy(data.ys, student.predict(data.xs) as tf.Tensor)
    .dataSync()[0]!;
  const callback = noisyTeacher({ teacher, deviation: 0, alpha: 0.25 });
  const { logs } = await fit(student, data, {
    loss: 'categoricalCrossentropyFromLogits',
    batchSize: 24,
    progress: false,
    callbacks: [callback],
  });
  expect(logs.loss![0]).toBeCloseTo(0.25 * regression + 0.75 * task, 5);
});

test('refuses what is out of range', () => {
  const teacher = classifier(1);
  expect(() => noisyTeacher({ teacher, deviation: -1 })).toThrow(OptionError);
  expect(() => noisyTeacher({ teacher, fraction: 1.1 })).toThrow(/fraction .* from 0 to 1/);
  expect(() => noisyTeacher({ teacher, sigma: 1 } as never)).toThrow(/unknown option "sigma"/);
});
