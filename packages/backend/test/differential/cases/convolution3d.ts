// Convolutions over three axes.
import * as tf from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { type Case, define } from '../case.ts';
import { batch, floats, one, seed } from '../data.ts';
import { each, padded, widened, windows } from '../windows.ts';

const channels = one(1, 2, 3, 5);
const conv3d = (maxDilation: number) =>
  fc.record({
    batch,
    windows: windows(3, { maxInput: 5, maxKernel: 3, maxDilation }),
    inChannels: channels,
    outChannels: channels,
    seed,
  });

export const convolution3dCases: readonly Case[] = [
  define('conv3d', conv3d(2), (c) => {
    const { axes, pad } = c.windows;
    return {
      inputs: [
        floats([c.batch, ...axes.map(({ input }) => input), c.inChannels], c.seed),
        floats([...axes.map(({ kernel }) => kernel), c.inChannels, c.outChannels], c.seed + 1),
      ],
      run: (x: tf.Tensor5D, w: tf.Tensor5D) =>
        tf.conv3d(
          x,
          w,
          each<3>(c.windows, 'stride'),
          pad as 'same',
          'NDHWC',
          each<3>(c.windows, 'dilation'),
        ),
      onCpu: (x: tf.Tensor5D, w: tf.Tensor5D) =>
        tf.conv3d(
          padded(x, c.windows),
          widened(w, c.windows),
          each<3>(c.windows, 'stride'),
          'valid',
        ),
    };
  }),
  define(
    'conv3dTranspose',
    conv3d(1),
    (c) => {
      const { axes, pad } = c.windows;
      const outputs = axes.map(({ input, kernel, stride }) =>
        Math.ceil((pad === 'same' ? input : input - kernel + 1) / stride),
      );
      const shape = [c.batch, ...axes.map(({ input }) => input), c.inChannels];
      return {
        inputs: [
          floats([c.batch, ...outputs, c.outChannels], c.seed),
          floats([...axes.map(({ kernel }) => kernel), c.inChannels, c.outChannels], c.seed + 1),
        ],
        run: (y: tf.Tensor5D, w: tf.Tensor5D) =>
          tf.conv3dTranspose(
            y,
            w,
            shape as [number, number, number, number, number],
            each<3>(c.windows, 'stride'),
            pad as 'same',
          ),
        // The gradient of a convolution by its input.
        onCpu: (y: tf.Tensor5D, w: tf.Tensor5D) =>
          tf.grad((x: tf.Tensor) =>
            tf.sum(
              tf.mul(
                tf.conv3d(
                  padded(x as tf.Tensor5D, c.windows),
                  w,
                  each<3>(c.windows, 'stride'),
                  'valid',
                ),
                y,
              ),
            ),
          )(tf.zeros(shape)),
      };
    },
    { gradient: 'slopes' },
  ),
];
