// Convolutions over one and two axes.
import * as tf from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { type Case, define } from '../case.ts';
import { batch, channels, floats, one, seed, upTo } from '../data.ts';
import { type Axis, each, padded, type Windows, widened, windows } from '../windows.ts';
import { activate, activations } from './mat-mul.ts';

const conv = (count: number, options: Parameters<typeof windows>[1] = {}) =>
  fc.record({
    batch,
    windows: windows(count, { maxPad: 3, maxDilation: 2, ...options }),
    inChannels: channels,
    outChannels: channels,
    seed,
  });
type Conv = {
  batch: number;
  windows: Windows;
  inChannels: number;
  outChannels: number;
  seed: number;
};

function tensors(c: Conv, outChannels = c.outChannels) {
  const { axes } = c.windows;
  return [
    floats([c.batch, ...axes.map(({ input }) => input), c.inChannels], c.seed),
    floats([...axes.map(({ kernel }) => kernel), c.inChannels, outChannels], c.seed + 1),
  ];
}

const conv2d = (c: Conv) => (x: tf.Tensor4D, w: tf.Tensor4D) =>
  tf.conv2d(x, w, each(c.windows, 'stride'), c.windows.pad, 'NHWC', each(c.windows, 'dilation'));

/** By way of a padded input and a widened filter: cpu knows no dilation in gradients. */
const conv2dOnCpu = (c: Conv) => (x: tf.Tensor4D, w: tf.Tensor4D) =>
  tf.conv2d(padded(x, c.windows), widened(w, c.windows), each(c.windows, 'stride'), 'valid');

const depthwise = (c: Conv) => (x: tf.Tensor4D, w: tf.Tensor4D) =>
  tf.depthwiseConv2d(
    x,
    w,
    each(c.windows, 'stride'),
    c.windows.pad,
    'NHWC',
    each(c.windows, 'dilation'),
  );

const depthwiseOnCpu = (c: Conv) => (x: tf.Tensor4D, w: tf.Tensor4D) =>
  tf.depthwiseConv2d(
    padded(x, c.windows),
    widened(w, c.windows),
    each<2>(c.windows, 'stride'),
    'valid',
  );

// Few of the values of dy are not 0, in the first image and in the others: the kernels judge by the first.
const sparsity = one<[number, number]>([0.9, 0.9], [0.75, 0.75], [1, 0], [0.9, 0], [0, 1], [1, 1]);

const fused = fc.record({
  conv: conv(2),
  activation: activations,
  bias: fc.boolean(),
  alpha: one('channel', 'pixel'),
});

function fusedCase(name: 'conv2d' | 'depthwiseConv2d'): Case {
  const deep = name === 'depthwiseConv2d';
  return define(`fused.${name}`, fused, ({ conv: c, activation, bias, alpha }) => {
    const { windows } = c;
    const multiplier = deep ? (c.outChannels % 3) + 1 : c.outChannels;
    const outChannels = deep ? c.inChannels * multiplier : c.outChannels;
    const spatial = windows.axes.map(({ input, kernel, stride, dilation }, i) => {
      const size = padded(tf.zeros([1, ...windows.axes.map((a) => a.input), 1]), windows).shape[
        i + 1
      ] as number;
      return input && Math.floor((size - (kernel - 1) * dilation - 1) / stride) + 1;
    });
    const [x, w] = tensors(c, multiplier) as [ReturnType<typeof floats>, ReturnType<typeof floats>];
    const prelu = activation === 'prelu';
    // With a numeric padding tfjs checks alpha against an output shape that it computes wrongly.
    const pixels = alpha === 'pixel' && typeof windows.pad === 'string';
    const alphaShape = pixels ? [...spatial, outChannels] : [outChannels];
    const inputs = [
      x,
      w,
      ...(prelu ? [floats(alphaShape, c.seed + 2)] : []),
      ...(bias ? [floats([outChannels], c.seed + 3)] : []),
    ];
    return {
      inputs,
      run: (x: tf.Tensor4D, filter: tf.Tensor4D, ...rest: tf.Tensor[]) =>
        tf.fused[name]({
          ...{ x, filter, strides: each<2>(windows, 'stride'), pad: windows.pad },
          ...{ dilations: each<2>(windows, 'dilation'), activation, leakyreluAlpha: 0.3 },
          bias: bias ? rest.at(-1) : undefined,
          preluActivationWeights: prelu ? rest[0] : undefined,
        }),
      onCpu: (x: tf.Tensor4D, filter: tf.Tensor4D, ...rest: tf.Tensor[]) => {
        const y = (deep ? depthwiseOnCpu : conv2dOnCpu)(c)(x, filter);
        return activate(bias ? tf.add(y, rest.at(-1) as tf.Tensor) : y, activation, rest[0]);
      },
      // Inside of tf.fused tfjs refuses a dilation before any kernel is asked.
      gradient: windows.axes.every(({ dilation }) => dilation === 1),
    };
  });
}

export const convolutionCases: readonly Case[] = [
  define('conv2d', conv(2), (c) => ({ inputs: tensors(c), run: conv2d(c), onCpu: conv2dOnCpu(c) })),
  define(
    'conv2d with a sparse gradient from behind',
    fc.record({
      conv: conv(2),
      kernel: one(1, 2, 3, 4),
      inChannels: one(5, 8, 16, 33),
      zeros: sparsity,
    }),
    ({ conv: c, inChannels, zeros }) => {
      const wide = { ...c, inChannels };
      return { inputs: tensors(wide), run: conv2d(wide), onCpu: conv2dOnCpu(wide), zeros };
    },
  ),
  define(
    'conv2d of larger images with a sparse gradient from behind',
    fc.record({
      conv: conv(2, { maxInput: 19, maxDilation: 1, maxStride: 2 }),
      inChannels: one(8, 16, 20),
      zeros: sparsity,
    }),
    ({ conv: c, inChannels, zeros }) => {
      const wide = { ...c, batch: Math.min(c.batch + 1, 3), inChannels };
      return { inputs: tensors(wide), run: conv2d(wide), onCpu: conv2dOnCpu(wide), zeros };
    },
  ),
  define('conv2d 1x1', conv(2, { maxKernel: 1, maxPad: 0 }), (c) => ({
    inputs: tensors(c),
    run: conv2d(c),
    onCpu: conv2dOnCpu(c),
  })),
  define(
    'conv2d with explicit padding',
    fc.record({
      conv: conv(2, { maxKernel: 3, maxDilation: 1 }),
      sides: fc.tuple(one(0, 1, 2), one(0, 1, 2), one(0, 1, 2), one(0, 1, 2)),
      round: one(undefined, 'floor' as const, 'ceil' as const),
    }),
    ({ conv: c, sides: [top, bottom, left, right] }) => {
      const pad = [
        [0, 0],
        [top, bottom + 2],
        [left, right + 2],
        [0, 0],
      ] as [[0, 0], [number, number], [number, number], [0, 0]];
      const strides = each<2>(c.windows, 'stride');
      return {
        inputs: tensors(c),
        run: (x: tf.Tensor4D, w: tf.Tensor4D) => tf.conv2d(x, w, strides, pad),
        onCpu: (x: tf.Tensor4D, w: tf.Tensor4D) => tf.conv2d(tf.pad(x, pad), w, strides, 'valid'),
      };
    },
  ),
  define('conv2d of one image without a batch axis', conv(2), (c) => ({
    inputs: tensors({ ...c, batch: 1 }).map((input, i) =>
      i === 0 ? { ...input, shape: input.shape.slice(1) } : input,
    ),
    run: (x: tf.Tensor3D, w: tf.Tensor4D) => conv2d(c)(x as unknown as tf.Tensor4D, w) as tf.Tensor,
    onCpu: (x: tf.Tensor3D, w: tf.Tensor4D) =>
      tf.squeeze(conv2dOnCpu(c)(tf.expandDims(x, 0), w), [0]),
  })),
  define('conv1d', conv(1, { maxInput: 40, maxKernel: 9, maxPad: 0 }), (c) => {
    const [{ stride, dilation }] = c.windows.axes as [Axis];
    const flat: Windows = {
      ...c.windows,
      axes: [{ input: 1, kernel: 1, stride: 1, dilation: 1 }, ...c.windows.axes],
    };
    return {
      inputs: tensors(c),
      run: (x: tf.Tensor3D, w: tf.Tensor3D) =>
        tf.conv1d(x, w, stride, c.windows.pad as 'same', 'NWC', dilation),
      onCpu: (x: tf.Tensor3D, w: tf.Tensor3D) => {
        const wide = { ...c, windows: flat };
        const y = conv2dOnCpu(wide)(tf.expandDims(x, 1), tf.expandDims(w, 0));
        return tf.squeeze(y, [1]);
      },
    };
  }),
  define('depthwiseConv2d', fc.record({ conv: conv(2), multiplier: upTo(3) }), (given) => {
    const c = given.conv;
    return { inputs: tensors(c, given.multiplier), run: depthwise(c), onCpu: depthwiseOnCpu(c) };
  }),
  define(
    'depthwiseConv2d with a sparse gradient from behind',
    fc.record({ conv: conv(2), zeros: sparsity }),
    ({ conv: c, zeros }) => ({
      inputs: tensors(c, 1),
      run: depthwise(c),
      onCpu: depthwiseOnCpu(c),
      zeros,
    }),
  ),
  define('separableConv2d', fc.record({ conv: conv(2), multiplier: upTo(2) }), (given) => {
    const { conv: c, multiplier } = given;
    const { windows } = c;
    return {
      inputs: [
        ...tensors(c, multiplier),
        floats([1, 1, c.inChannels * multiplier, c.outChannels], c.seed + 2),
      ],
      run: (x: tf.Tensor4D, w: tf.Tensor4D, v: tf.Tensor4D) =>
        tf.separableConv2d(
          x,
          w,
          v,
          each(windows, 'stride'),
          windows.pad as 'same',
          each(windows, 'dilation'),
        ),
      onCpu: (x: tf.Tensor4D, w: tf.Tensor4D, v: tf.Tensor4D) =>
        tf.conv2d(depthwiseOnCpu(c)(x, w), v, 1, 'valid'),
    };
  }),
  define('conv2dTranspose', conv(2, { maxPad: 0, maxDilation: 1 }), (c) => {
    // The input of the transpose is as large as the output of the convolution that it turns around.
    const { axes, pad } = c.windows;
    const outputs = axes.map(({ input, kernel, stride }) =>
      Math.ceil((pad === 'same' ? input : input - kernel + 1) / stride),
    );
    return {
      inputs: [
        floats([c.batch, ...outputs, c.outChannels], c.seed),
        floats([...axes.map(({ kernel }) => kernel), c.inChannels, c.outChannels], c.seed + 1),
      ],
      run: (y: tf.Tensor4D, w: tf.Tensor4D) =>
        tf.conv2dTranspose(
          y,
          w,
          [c.batch, ...axes.map(({ input }) => input), c.inChannels] as [
            number,
            number,
            number,
            number,
          ],
          each(c.windows, 'stride'),
          pad as 'same',
        ),
    };
  }),
  fusedCase('conv2d'),
  fusedCase('depthwiseConv2d'),
];
