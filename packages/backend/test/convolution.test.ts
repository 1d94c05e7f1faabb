import '../src/index.ts';
import * as tf from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { check, expectClose, expectGradient, expectSame, on, values } from './helpers.ts';

const size = fc.integer({ min: 1, max: 9 });
const small = fc.integer({ min: 1, max: 3 });
const explicit = fc.tuple(...[0, 1, 2, 3].map(() => fc.integer({ min: 0, max: 3 }))).map(
  ([top, bottom, left, right]) =>
    [
      [0, 0],
      [top, bottom],
      [left, right],
      [0, 0],
    ] as [[number, number], [number, number], [number, number], [number, number]],
);

/** A convolution of any geometry that has an output. */
const convolutions = fc
  .record({
    batch: fc.constantFrom(1, 1, 2, 5),
    height: size,
    width: size,
    channels: fc.constantFrom(1, 2, 3, 8, 9),
    outputs: fc.constantFrom(1, 2, 5, 8),
    kernelHeight: fc.integer({ min: 1, max: 5 }),
    kernelWidth: fc.integer({ min: 1, max: 5 }),
    strideHeight: small,
    strideWidth: small,
    pad: fc.oneof(fc.constantFrom('same' as const, 'valid' as const), explicit),
    seed: fc.nat(1000),
  })
  .filter((c) => {
    const [vertical, horizontal] = Array.isArray(c.pad)
      ? [c.pad[1][0] + c.pad[1][1], c.pad[2][0] + c.pad[2][1]]
      : [0, 0];
    return (
      c.pad === 'same' ||
      (c.height + vertical >= c.kernelHeight && c.width + horizontal >= c.kernelWidth)
    );
  });

type Convolution = typeof convolutions extends fc.Arbitrary<infer T> ? T : never;

function tensorsOf(c: Convolution, outputs: number) {
  const xShape = [c.batch, c.height, c.width, c.channels] as [number, number, number, number];
  const filterShape = [c.kernelHeight, c.kernelWidth, c.channels, outputs] as typeof xShape;
  return {
    x: tf.tensor4d(values(xShape, c.seed), xShape),
    filter: tf.tensor4d(values(filterShape, c.seed + 1), filterShape),
    strides: [c.strideHeight, c.strideWidth] as [number, number],
  };
}

/** The output of a two-operand function, and both gradients for a seeded output gradient. */
function withGradients<A extends tf.Tensor, B extends tf.Tensor>(
  f: (a: A, b: B) => tf.Tensor,
  a: A,
  b: B,
  seed: number,
): tf.Tensor[] {
  const y = f(a, b);
  const dy = tf.tensor(values(y.shape, seed), y.shape);
  return [y, ...tf.grads((p, q) => f(p as A, q as B))([a, b], dy)];
}

test('conv2d and both its gradients equal the cpu backend', () =>
  check(convolutions, 120, (c) =>
    expectSame(() => {
      const { x, filter, strides } = tensorsOf(c, c.outputs);
      return withGradients((p, q) => tf.conv2d(p, q, strides, c.pad), x, filter, c.seed + 2);
    }),
  ));

test('depthwiseConv2d and both its gradients equal the cpu backend', () =>
  check(convolutions, 120, (c) =>
    expectSame(() => {
      const { x, filter, strides } = tensorsOf(c, Math.min(c.outputs, 3));
      const f = (p: tf.Tensor4D, q: tf.Tensor4D) => tf.depthwiseConv2d(p, q, strides, c.pad);
      return withGradients(f, x, filter, c.seed + 2);
    }),
  ));

// The cpu backend ignores the dilations here. The convolution is linear in x and in the filter, so its
// gradients are the adjoints: <dx, u> = <dy, conv(u, filter)> and <dW, v> = <dy, conv(x, v)> for any u, v.
test('depthwise gradient kernels with dilation are the adjoints of the convolution', () =>
  check(
    fc.record({
      side: fc.integer({ min: 7, max: 9 }),
      dilation: fc.integer({ min: 1, max: 3 }),
      multiplier: fc.integer({ min: 1, max: 2 }),
      pad: fc.constantFrom('same' as const, 'valid' as const),
      seed: fc.nat(1000),
    }),
    30,
    async ({ side, dilation, multiplier, pad, seed }) => {
      const inputShape: [number, number, number, number] = [2, side, side + 1, 3];
      const filterShape: [number, number, number, number] = [3, 2, 3, multiplier];
      const sums = await on('thimble', () => {
        const [x, u] = [seed, seed + 1].map((s) => tf.tensor4d(values(inputShape, s), inputShape));
        const [w, v] = [seed, seed + 1].map((s) =>
          tf.tensor4d(values(filterShape, s), filterShape),
        );
        const convolve = (p?: tf.Tensor4D, q?: tf.Tensor4D) =>
          tf.depthwiseConv2d(p as tf.Tensor4D, q as tf.Tensor4D, 1, pad, 'NHWC', dilation);
        const y = convolve(x, w);
        const dy = tf.tensor(values(y.shape, seed + 2), y.shape);
        const attrs = { strides: [1, 1], pad, dilations: [dilation, dilation] };
        const run = (name: string, inputs: object, more: object) =>
          tf.engine().runKernel(name, inputs as never, { ...attrs, ...more } as never) as tf.Tensor;
        const dw = run(tf.DepthwiseConv2dNativeBackpropFilter, { x, dy }, { filterShape });
        const dx = run(tf.DepthwiseConv2dNativeBackpropInput, { dy, filter: w }, { inputShape });
        const dot = (p: tf.Tensor, q?: tf.Tensor) => tf.sum(tf.mul(p, q as tf.Tensor));
        return [dot(dx, u), dot(dy, convolve(u, w)), dot(dw, v), dot(dy, convolve(x, v))];
      });
      const [left, right, below, above] = sums.map(({ data }) => data);
      expectClose(left as number[], right as number[], 1e-4);
      expectClose(below as number[], above as number[], 1e-4);
    },
  ));

test('conv2dTranspose and both its gradients equal the cpu backend', () =>
  check(
    fc.record({
      batch: fc.constantFrom(1, 3),
      side: fc.integer({ min: 1, max: 6 }),
      kernel: fc.integer({ min: 1, max: 4 }),
      stride: small,
      channels: fc.constantFrom(1, 4, 9),
      outputs: fc.constantFrom(1, 3, 8),
      pad: fc.constantFrom('same' as const, 'valid' as const),
      seed: fc.nat(1000),
    }),
    60,
    (c) =>
      expectSame(() => {
        const grow = c.pad === 'same' ? 0 : Math.max(c.kernel - c.stride, 0);
        const out = c.side * c.stride + grow;
        const x = tf.tensor4d(values([c.batch, c.side, c.side, c.channels], c.seed), [
          c.batch,
          c.side,
          c.side,
          c.channels,
        ]);
        const shape = [c.kernel, c.kernel, c.outputs, c.channels] as [
          number,
          number,
          number,
          number,
        ];
        const filter = tf.tensor4d(values(shape, c.seed + 1), shape);
        const f = (p: tf.Tensor4D, q: tf.Tensor4D) =>
          tf.conv2dTranspose(p, q, [c.batch, out, out, c.outputs], c.stride, c.pad);
        return withGradients(f, x, filter, c.seed + 2);
      }),
  ));

test('fused conv2d and depthwiseConv2d equal the cpu backend', () =>
  check(
    fc.tuple(convolutions, fc.constantFrom('linear' as const, 'relu' as const, 'sigmoid' as const)),
    60,
    ([c, activation]) =>
      expectSame(() => {
        const { x, filter, strides } = tensorsOf(c, c.outputs);
        const depthwiseFilter = tensorsOf(c, 2).filter;
        const bias = tf.tensor1d(values([c.outputs], c.seed + 3));
        const wide = tf.tensor1d(values([c.channels * 2], c.seed + 4));
        const shared = { x, strides, pad: c.pad as 'same', activation };
        return [
          tf.fused.conv2d({ ...shared, filter, bias }),
          tf.fused.depthwiseConv2d({ ...shared, filter: depthwiseFilter, bias: wide }),
        ];
      }),
  ));

test('conv2d gradients agree with finite differences', () =>
  check(convolutions, 12, async (c) => {
    const xShape = [c.batch, c.height, c.width, c.channels];
    const filterShape = [c.kernelHeight, c.kernelWidth, c.channels, c.outputs];
    await expectGradient(
      (x, filter) => {
        const strides = [c.strideHeight, c.strideWidth] as [number, number];
        const y = tf.conv2d(x as tf.Tensor4D, filter as tf.Tensor4D, strides, c.pad);
        const weights = tf.tensor(values(y.shape, c.seed), y.shape);
        return tf.sum(tf.mul(y, weights)) as tf.Scalar;
      },
      [
        { shape: xShape, data: values(xShape, c.seed + 1) },
        { shape: filterShape, data: values(filterShape, c.seed + 2) },
      ],
    );
  }));

test("'same' with stride 3 and kernel 2 on ones gives 4 everywhere, where stock wasm gives 0", async () => {
  const compute = () => {
    const x = tf.ones([1, 6, 6, 1]) as tf.Tensor4D;
    const filter = tf.ones([2, 2, 1, 1]) as tf.Tensor4D;
    return [tf.conv2d(x, filter, 3, 'same'), tf.depthwiseConv2d(x, filter, 3, 'same')];
  };
  for (const { data } of await on('thimble', compute)) expect(data).toEqual([4, 4, 4, 4]);
  expect((await on('wasm', compute))[0]?.data).toContain(0);
});

test('a numeric padding counts for each dimension by its own kernel size', async () => {
  // Ones [1,4,5,1], kernel [1,3], padding 1: rows 4+2-1+1 = 6 high, 5+2-3+1 = 5 wide; tfjs-core alone
  // takes the height's size for both and announces 7.
  const [y] = await on('thimble', () =>
    tf.conv2d(tf.ones([1, 4, 5, 1]) as tf.Tensor4D, tf.ones([1, 3, 1, 1]) as tf.Tensor4D, 1, 1),
  );
  expect(y?.shape).toEqual([1, 6, 5, 1]);
  expect(y?.data.slice(0, 10)).toEqual([0, 0, 0, 0, 0, 2, 3, 3, 3, 2]);
});

test('an empty batch gives gradients of zeros', async () => {
  const [, dx, dw] = await on('thimble', () => {
    const x = tf.zeros([0, 5, 5, 2]) as tf.Tensor4D;
    const filter = tf.ones([3, 3, 2, 4]) as tf.Tensor4D;
    const dy = tf.zeros([0, 3, 3, 4]) as tf.Tensor4D;
    const attrs = { strides: [1, 1], pad: 'valid', dataFormat: 'NHWC' };
    const run = (name: string, inputs: tf.NamedTensorMap, more: object) =>
      tf.engine().runKernel(name, inputs, { ...attrs, ...more } as never) as tf.Tensor;
    return [
      x,
      run(tf.Conv2DBackpropInput, { dy, filter }, { inputShape: x.shape }),
      run(tf.Conv2DBackpropFilter, { x, dy }, { filterShape: filter.shape }),
    ];
  });
  expect(dx?.shape).toEqual([0, 5, 5, 2]);
  expect(dw?.data.every((value) => value === 0)).toBe(true);
  expect(dw?.shape).toEqual([3, 3, 2, 4]);
});

test('a kernel larger than the input is refused, where stock wasm writes past its output', async () => {
  await tf.setBackend('thimble');
  const x = tf.ones([1, 2, 4, 1]) as tf.Tensor4D;
  const filter = tf.ones([3, 1, 1, 1]) as tf.Tensor4D;
  expect(() => tf.conv2d(x, filter, 1, 'valid')).toThrow(
    /3 x 1 does not fit into an input of 2 x 4/,
  );
  tf.dispose([x, filter]);
});

test.each([1, 2])('channels first is channels last turned round, stride %i', async (stride) => {
  const x = tf.util.sizeFromShape([2, 5, 6, 3]);
  const run = (depthwise: boolean, first: boolean) => () => {
    const image = tf.reshape(values([x], 1), [2, 5, 6, 3]) as tf.Tensor4D;
    const shape: [number, number, number, number] = [3, 2, 3, depthwise ? 2 : 4];
    const filter = tf.reshape(values([tf.util.sizeFromShape(shape)], 2), shape) as tf.Tensor4D;
    const op = depthwise ? tf.depthwiseConv2d : tf.conv2d;
    const f = (z: tf.Tensor, w: tf.Tensor) => {
      const weights = w as tf.Tensor4D;
      if (!first) return op(z as tf.Tensor4D, weights, stride, 'same');
      const turned = tf.transpose(z, [0, 3, 1, 2]) as tf.Tensor4D;
      return tf.transpose(op(turned, weights, stride, 'same', 'NCHW'), [0, 2, 3, 1]);
    };
    const loss = (z: tf.Tensor, w: tf.Tensor) => tf.sum(tf.square(f(z, w))) as tf.Scalar;
    return [f(image, filter), ...tf.grads(loss)([image, filter])];
  };
  for (const depthwise of [false, true]) {
    const [first, last] = [
      await on('thimble', run(depthwise, true)),
      await on('thimble', run(depthwise, false)),
    ];
    expect(first).toEqual(last);
  }
});

test('fused kernels refuse NCHW, with the remedy', async () => {
  await tf.setBackend('thimble');
  const x = tf.ones([1, 1, 4, 4]) as tf.Tensor4D;
  const filter = tf.ones([2, 2, 1, 1]) as tf.Tensor4D;
  const attrs = { strides: 1, pad: 'valid', dataFormat: 'NCHW', activation: 'linear' };
  const run = () => tf.engine().runKernel('FusedConv2D', { x, filter }, attrs as never);
  expect(run).toThrow(/thimble.*NHWC only.*Transpose/);
  tf.dispose([x, filter]);
});
