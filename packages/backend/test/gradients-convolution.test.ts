// Dilated convolutions, and gradients of gradients. The reference is finite differences of the forward pass.
import '../src/index.ts';
import * as tf from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { beforeAll, describe, test } from 'vitest';
import { check, expectGradient, expectSame, values } from './helpers.ts';

beforeAll(async () => {
  await tf.setBackend('thimble');
});

function weighted(y: tf.Tensor): tf.Scalar {
  return tf.sum(tf.mul(y, tf.tensor(values(y.shape, 99), y.shape))) as tf.Scalar;
}

const input = (shape: number[], seed = 1) => ({ shape, data: values(shape, seed) });

const rate = fc.integer({ min: 1, max: 3 });
const filters = fc.integer({ min: 1, max: 3 });
const convolutions = fc.record({
  height: fc.integer({ min: 5, max: 9 }),
  width: fc.integer({ min: 5, max: 9 }),
  channels: fc.constantFrom(1, 3),
  filterHeight: filters,
  filterWidth: filters,
  outChannels: fc.constantFrom(1, 2),
  dilations: fc.tuple(rate, rate),
  pad: fc.constantFrom<'same' | 'valid' | number>('same', 'valid', 1),
  seed: fc.nat(1000),
});
type Convolution = typeof convolutions extends fc.Arbitrary<infer T> ? T : never;

/** Whether the widened filter fits. */
function fits({ height, width, filterHeight, filterWidth, dilations, pad }: Convolution): boolean {
  const border = typeof pad === 'number' ? 2 * pad : 0;
  return (
    (filterHeight - 1) * dilations[0] < height + border &&
    (filterWidth - 1) * dilations[1] < width + border
  );
}

type Op = (x: tf.Tensor, filter: tf.Tensor) => tf.Tensor;

function operation(kind: string, { pad, dilations }: Convolution): Op {
  return (x, filter) =>
    kind === 'conv2d'
      ? tf.conv2d(x as tf.Tensor4D, filter as tf.Tensor4D, 1, pad, 'NHWC', dilations)
      : tf.depthwiseConv2d(x as tf.Tensor4D, filter as tf.Tensor4D, 1, pad, 'NHWC', dilations);
}

function operands(c: Convolution) {
  return [
    input([2, c.height, c.width, c.channels], c.seed),
    input([c.filterHeight, c.filterWidth, c.channels, c.outChannels], c.seed + 1),
  ];
}

describe.each(['depthwiseConv2d', 'conv2d'])('%s', (kind) => {
  test('the dilated gradients agree with finite differences', () =>
    check(convolutions.filter(fits), 40, (c) =>
      expectGradient((x, filter) => weighted(operation(kind, c)(x, filter)), operands(c)),
    ));

  test('a gradient of a gradient is right, dilated or not', () =>
    check(convolutions.filter(fits), 20, (c) =>
      expectGradient(
        (x, filter) => {
          const [dx, dw] = tf.grads((a, b) => weighted(tf.square(operation(kind, c)(a, b))))([
            x,
            filter,
          ]) as [tf.Tensor, tf.Tensor];
          return tf.add(weighted(dx), weighted(dw)) as tf.Scalar;
        },
        operands(c),
        { tolerance: 5e-3 },
      ),
    ));
});

test('the dilated gradients of fused convolutions with an activation are right', () =>
  check(convolutions.filter(fits), 20, (c) =>
    expectGradient((x, filter) => {
      const common = { x: x as tf.Tensor4D, filter: filter as tf.Tensor4D, strides: 1, pad: c.pad };
      const rest = { dilations: c.dilations, activation: 'sigmoid' as const };
      const y = tf.fused.conv2d({ ...common, ...rest, bias: tf.ones([c.outChannels]) });
      const z = tf.fused.depthwiseConv2d({ ...common, ...rest, dilations: c.dilations });
      return tf.add(weighted(y), weighted(z)) as tf.Scalar;
    }, operands(c)),
  ));

test('the gradient of a dilated conv1d agrees with finite differences', () =>
  check(fc.record({ dilation: rate, seed: fc.nat(1000) }), 20, ({ dilation, seed }) =>
    expectGradient(
      (x, filter) =>
        weighted(tf.conv1d(x as tf.Tensor3D, filter as tf.Tensor3D, 1, 'same', 'NWC', dilation)),
      [input([2, 9, 2], seed), input([3, 2, 2], seed + 1)],
    ),
  ));

test('a rounding mode reaches the gradients', () =>
  expectGradient(
    (x, filter) =>
      weighted(tf.conv2d(x as tf.Tensor4D, filter as tf.Tensor4D, 2, 0, 'NHWC', 1, 'ceil')),
    [input([1, 6, 6, 1]), input([3, 3, 1, 2], 2)],
  ));

test('the gradient of conv2dTranspose agrees with finite differences', () =>
  check(
    fc.record({
      stride: fc.constantFrom(1, 2),
      pad: fc.constantFrom<'same' | 'valid'>('same', 'valid'),
      seed: fc.nat(1000),
    }),
    12,
    ({ stride, pad, seed }) => {
      const out = pad === 'same' ? 4 * stride : 3 * stride + 3;
      return expectGradient(
        (x, filter) =>
          weighted(
            tf.conv2dTranspose(
              x as tf.Tensor4D,
              filter as tf.Tensor4D,
              [2, out, out, 2],
              stride,
              pad,
            ),
          ),
        [input([2, 4, 4, 3], seed), input([3, 3, 2, 3], seed + 1)],
      );
    },
  ));

describe('in three dimensions', () => {
  const volumes = fc.record({
    dilations: fc.tuple(rate, rate, rate),
    pad: fc.constantFrom<'same' | 'valid'>('same', 'valid'),
    seed: fc.nat(1000),
  });

  test('the dilated gradients of conv3d agree with finite differences', () =>
    check(volumes, 10, ({ dilations, pad, seed }) =>
      expectGradient(
        (x, filter) =>
          weighted(tf.conv3d(x as tf.Tensor5D, filter as tf.Tensor5D, 1, pad, 'NDHWC', dilations)),
        [input([1, 5, 6, 7, 2], seed), input([2, 2, 2, 2, 2], seed + 1)],
      ),
    ));

  test('conv3dTranspose has a gradient', () =>
    check(volumes, 6, ({ pad, seed }) => {
      const out = pad === 'same' ? 3 : 4;
      return expectGradient(
        (x, filter) =>
          weighted(
            tf.conv3dTranspose(
              x as tf.Tensor5D,
              filter as tf.Tensor5D,
              [1, out, out, out, 2],
              1,
              pad,
            ),
          ),
        [input([1, 3, 3, 3, 2], seed), input([2, 2, 2, 2, 2], seed + 1)],
      );
    }));
});

test('the undilated gradients still equal the cpu backend', () =>
  check(convolutions, 20, (c) =>
    expectSame(() => {
      const [x, filter] = operands(c).map(({ data, shape }) => tf.tensor(data, shape));
      const op = operation('conv2d', { ...c, pad: 'same', dilations: [1, 1] });
      return tf.grads((a, b) => tf.square(op(a, b)))([x as tf.Tensor, filter as tf.Tensor]);
    }),
  ));
