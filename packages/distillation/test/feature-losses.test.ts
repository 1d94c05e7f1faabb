import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-layers'; // registers the gradients
import { Random, ShapeError } from '@thimble/base';
import {
  attentionLoss,
  confidenceWeights,
  hintLoss,
  mutualDivergence,
  relationalLoss,
  similarityLoss,
  softTargetDivergence,
} from '@thimble/distillation';
import { checkGradients, expectNoLeaks, useCpu } from '@thimble/testing';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

useCpu();

// All values with many digits: PyTorch 2.14 in float64, with the functions of the papers' own programs
// (attention-transfer utils.py, RKD metric/loss.py, RepDistiller distiller_zoo/SP.py).
const rows = [
  [1, 2, 3],
  [0.5, -1, 0],
  [-2, 0.3, 1],
  [0.1, 0.2, -0.7],
];
const others = [
  [2, 1],
  [3, 0],
  [-1, 0.5],
  [0.25, -4],
];
const student = () => tf.tensor2d(rows);
const teacher = () => tf.tensor2d(others);

type Loss = (s: tf.Tensor) => tf.Scalar;
const both = (loss: Loss, at: tf.Tensor) => tf.valueAndGrad(loss)(at);

const normal = (shape: number[], seed: number) => tf.randomNormal(shape, 0, 1, 'float32', seed);

describe('attentionLoss', () => {
  test('by hand: one example, two positions', () => {
    // Means of squares: student (1, 0) -> (1, 0); teacher (9, 16) -> (9, 16) / sqrt(337).
    const a = tf.tensor4d([1, 1, 0, 0], [1, 2, 1, 2]);
    const b = tf.tensor4d([3, 4], [1, 2, 1, 1]);
    const r = Math.sqrt(337);
    const expected = ((1 - 9 / r) ** 2 + (16 / r) ** 2) / 2;
    expect(attentionLoss(a, b)).toBeAllClose([expected], 1e-6);
  });

  test('agrees with PyTorch, value and gradient', () => {
    const s = tf.div(tf.sub(tf.reshape(tf.range(0, 16), [2, 2, 2, 2]), 7), 4);
    const t = tf.sin(tf.reshape(tf.range(0, 24), [2, 2, 2, 3]));
    const { value, grad } = both((x) => attentionLoss(x, t), s);
    expect(value).toBeAllClose([0.11986457411715654], 1e-5);
    expect(grad).toBeAllClose(
      [
        -0.022650469202, -0.019414687887, 0.019191594749, 0.015353275799, 0.024826478503,
        0.016550985669, 0.010088927946, 0, -0.007281237115, -0.014562474231, -0.016168777155,
        -0.02155836954, -0.010408226422, -0.012489871706, 0.01846800445, 0.0211062908,
      ],
      1e-5,
    );
  });

  test('a layer that gives nothing has a finite gradient', () => {
    const { value, grad } = both(
      (x) => attentionLoss(x, tf.ones([1, 2, 2, 3])),
      tf.zeros([1, 2, 2, 1]),
    );
    expect(value).toBeAllClose([0.25], 1e-6);
    expect(grad).toBeAllClose([0, 0, 0, 0]);
  });

  test.each([
    [
      [2, 3, 3, 1],
      [2, 2, 3, 1],
    ],
    [
      [2, 3],
      [2, 3],
    ],
  ])('refuses %j beside %j, with both shapes and the remedy', (a, b) => {
    const call = () => attentionLoss(tf.ones(a), tf.ones(b));
    expect(call).toThrow(ShapeError);
    expect(call).toThrow(`features [${a.slice(1)}], the teacher's [${b.slice(1)}]`);
    expect(call).toThrow(/same height and width: choose layers/);
  });
});

describe('similarityLoss', () => {
  test('by hand: identity beside zeros', () => {
    // Rows of F F^T: unit vectors beside zeros; three ones of nine entries.
    expect(similarityLoss(tf.eye(3), tf.zeros([3, 5]))).toBeAllClose([3 / 9], 1e-6);
  });

  test('agrees with PyTorch, value and gradient', () => {
    const { value, grad } = both((x) => similarityLoss(x, teacher()), student());
    expect(value).toBeAllClose([0.2909494164426481], 1e-5);
    expect(grad).toBeAllClose(
      [
        -0.049043175582, 0.041788758502, 0.017298576369, -0.12221634514, -0.008730861089,
        -0.099692478722, 0.016142961952, 0.006196907747, 0.038732038306, -0.036494159685,
        -0.033554618396, 0.045710865892,
      ],
      1e-5,
    );
  });
});

describe('relationalLoss', () => {
  test('by hand: distances 3, 4, 5 beside three equal ones', () => {
    const triangle = tf.tensor2d([
      [0, 0],
      [3, 0],
      [0, 4],
    ]);
    const equal = tf.eye(3) as tf.Tensor2D;
    // Divided by their mean 4 these are 3/4, 1 and 5/4; each counts twice among nine pairs.
    const expected = (2 * (0.25 ** 2 / 2 + 0 + 0.25 ** 2 / 2)) / 9;
    const loss = relationalLoss(triangle, equal, { distance: 1, angle: 0 });
    expect(loss).toBeAllClose([expected], 1e-5);
    // Cosines at the corners: 0, 3/5 and 4/5, and 1 where both directions are one; all 1/2 in the equal one.
    const apart = (x: number) => (x - 0.5) ** 2 / 2;
    const angles = (2 * (apart(0) + apart(0.6) + apart(0.8))) / 27;
    expect(relationalLoss(triangle, equal, { distance: 0, angle: 1 })).toBeAllClose([angles], 1e-5);
  });

  const CASES = [
    {
      weights: { distance: 1, angle: 0 },
      loss: 0.11831405539274892,
      gradient: [
        0.010040718101, 0.022408690479, 0.0193896597, -0.022336120765, 0.013489453593,
        -0.0355751682, 0.015903670274, -0.00995400079, -0.021586183548, -0.003608267609,
        -0.025944143282, 0.037771692048,
      ],
    },
    {
      weights: { distance: 0, angle: 1 },
      loss: 0.06577075060740145,
      gradient: [
        0.001755861391, 0.013374176923, 0.000159401832, -0.003500961679, -0.015346772887,
        -0.031716573509, 0.00217144206, -0.000800380309, -0.009657444394, -0.000426341772,
        0.002772976273, 0.041214616072,
      ],
    },
    {
      weights: {},
      loss: 6.2463889151887955,
      gradient: [
        0.338811022053, 1.228926108117, 0.492711584088, -0.733451103069, -0.430102304536,
        -2.475207880449, 0.506163859838, -0.288869035177, -1.022526808416, -0.111523778822,
        -0.509954768404, 3.005023104776,
      ],
    },
  ];
  test.each(CASES)('$weights: agrees with PyTorch', ({ weights, loss, gradient }) => {
    const { value, grad } = both((x) => relationalLoss(x, teacher(), weights), student());
    expect(value).toBeAllClose([loss], 1e-5);
    expect(grad).toBeAllClose(gradient, 1e-4);
  });

  test('is 0 for a rotated, shifted and scaled copy, whatever the batch', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 2, max: 6 }),
        fc.double({ min: 0.1, max: 10, noNaN: true }),
        fc.double({ min: 0, max: 6.28, noNaN: true }),
        fc.integer({ min: 1, max: 1000 }),
        (batch, scale, angle, seed) => {
          const x = normal([batch, 2], seed);
          const turn = tf.tensor2d([
            [Math.cos(angle), Math.sin(angle)],
            [-Math.sin(angle), Math.cos(angle)],
          ]);
          const copy = tf.add(tf.mul(tf.matMul(x as tf.Tensor2D, turn), scale), 3);
          expect(relationalLoss(copy, x).dataSync()[0]).toBeLessThan(1e-4);
        },
      ),
      { seed: 7, numRuns: 25 },
    );
  });

  test('equal examples have no direction, and no NaN or explosion comes of it', () => {
    const same = tf.tensor2d([
      [1, 2],
      [1, 2],
      [0, 1],
    ]);
    for (const x of [same, tf.ones([3, 2])]) {
      const { value, grad } = both((s) => relationalLoss(s, tf.eye(3)), x);
      expect(Number.isFinite(value.dataSync()[0])).toBe(true);
      for (const entry of grad.dataSync()) expect(Math.abs(entry)).toBeLessThan(100);
    }
  });
});

describe('hintLoss', () => {
  test('agrees with PyTorch behind a dense regressor', () => {
    const kernel = tf.tensor2d([
      [1, -1],
      [0.5, 2],
      [0, 1],
    ]);
    const loss: Loss = (x) =>
      hintLoss(tf.add(tf.matMul(x as tf.Tensor2D, kernel), [0.1, -0.2]), teacher());
    const { value, grad } = both(loss, student());
    expect(value).toBeAllClose([3.7053125], 1e-6);
    expect(grad).toBeAllClose(
      [
        -0.5875, 1.20625, 0.6, -0.025, -0.85625, -0.3375, -0.45625, 0.678125, 0.3625, -0.41875,
        0.853125, 0.425,
      ],
      1e-5,
    );
  });

  test('refuses other shapes, naming both', () => {
    expect(() => hintLoss(student(), teacher())).toThrow(
      /\[4,3\], the teacher's \[4,2\].*regressor/,
    );
  });
});

describe('mutualDivergence', () => {
  test('agrees with PyTorch; targets are constants', () => {
    const peers = [
      [
        [1, 2, 3],
        [0.5, -1, 0],
      ],
      [
        [2, 1, 0],
        [3, 0, -1],
      ],
      [
        [0, 1, 0],
        [1, 2, -1],
      ],
    ].map((logits) => tf.tensor2d(logits));
    const { value, grads } = tf.valueAndGrads((...all: tf.Tensor[]) => mutualDivergence(all, 2))(
      peers,
    );
    expect(value).toBeAllClose([2.946222867248618], 1e-5);
    expect(grads[0]!).toBeAllClose(
      [
        -0.20395078183, -0.07233343808, 0.27628421991, -0.08959786321, -0.14556868143,
        0.23516654464,
      ],
      1e-5,
    );
    expect(grads[2]!).toBeAllClose(
      [
        -0.07233343808, 0.14466687616, -0.07233343808, -0.25867039131, 0.35950766045,
        -0.10083726913,
      ],
      1e-5,
    );
  });
});

describe('confidenceWeights', () => {
  const teachers = [
    [
      [1, 2, 3],
      [0.5, -1, 0],
    ],
    [
      [2, 1, 0],
      [3, 0, -1],
    ],
    [
      [0, 1, 0],
      [1, 2, -1],
    ],
  ];
  const labels = [
    [1, 0, 0],
    [0, 1, 0],
  ];

  test('agrees with PyTorch, and so does the divergence with these weights', () => {
    const logits = teachers.map((each) => tf.tensor2d(each));
    const weights = confidenceWeights(logits, tf.tensor2d(labels));
    const expected = [
      [0.1795128391339711, 0.36804485359934846],
      [0.4566267793104981, 0.15476844587723892],
      [0.3638603815555308, 0.4771867005234126],
    ];
    weights.forEach((weight, k) => {
      expect(weight).toBeAllClose(expected[k]!, 1e-6);
    });
    const x = tf.tensor2d([
      [0.3, -0.2, 0.9],
      [1, 0, -0.5],
    ]);
    const { value, grad } = both(
      (s) => tf.mean(softTargetDivergence(s, logits, 2, weights)) as tf.Scalar,
      x,
    );
    expect(value).toBeAllClose([0.13784998685699923], 1e-5);
    expect(grad).toBeAllClose(
      [
        -0.044817026357, -0.110909687944, 0.155726714301, 0.045417819621, -0.071698627881,
        0.02628080826,
      ],
      1e-5,
    );
  });

  test('sum to 1 for each example; a teacher alone has 1', () => {
    const random = new Random(3);
    for (const count of [1, 2, 5]) {
      const logits = Array.from({ length: count }, () => normal([4, 3], random.integer(1e6)));
      const ys = tf.cast(tf.oneHot([0, 1, 2, 0], 3), 'float32');
      expect(tf.addN(confidenceWeights(logits, ys))).toBeAllClose([1, 1, 1, 1]);
    }
    expect(() => confidenceWeights([tf.ones([2, 3])], tf.ones([2, 1]))).toThrow(/one-hot/);
  });
});

test('every loss passes finite differences and leaks nothing', async () => {
  const maps = normal([3, 2, 2, 2], 5);
  const losses: Record<string, { loss: Loss; shape: number[] }> = {
    attention: { loss: (x) => attentionLoss(x, maps), shape: [3, 2, 2, 4] },
    similarity: { loss: (x) => similarityLoss(x, maps), shape: [3, 5] },
    relational: { loss: (x) => relationalLoss(x, maps, { distance: 1, angle: 2 }), shape: [3, 5] },
    hint: { loss: (x) => hintLoss(x, maps), shape: [3, 2, 2, 2] },
  };
  for (const { loss, shape } of Object.values(losses)) {
    const x = tf.variable(normal(shape, 6));
    tf.tidy(() => checkGradients(() => loss(x), { x }, { epsilon: 5e-3 }));
    await expectNoLeaks(() => tf.dispose(loss(x)));
    x.dispose();
  }
});
