// Matrix products and convolutions for the kernel benchmark, with what stock tfjs-wasm has for them.
import * as tf from '@tensorflow/tfjs-core';
import type { ConvSizes, Kernels } from '@thimble/kernels';
import { type Case, floats, start } from './kernel-case.ts';

function product(name: string, m: number, n: number, k: number, a = false, b = false): Case {
  return {
    name: `${name} ${m} x ${k} x ${n}${a || b ? `, ${a ? 'A' : 'B'} transposed` : ''}`,
    work: 2 * m * n * k,
    unit: 'GFLOP/s',
    ours({ gemm, gemmScratch }) {
      start();
      const operands = [floats(m * k), floats(k * n), floats(m * n)] as const;
      const work = floats(gemmScratch(m, n, k, b) / 4);
      return () => gemm(...operands, m, n, k, a, b, false, work);
    },
    stock() {
      const x = tf.randomUniform(a ? [k, m] : [m, k]);
      const y = tf.randomUniform(b ? [n, k] : [k, n]);
      return () => tf.matMul(x, y, a, b);
    },
  };
}

/** The three products of a dense layer in training. */
function dense(rows: number, inputs: number, units: number): Case[] {
  return [
    product('dense, forward', rows, units, inputs),
    product('dense, weights', inputs, units, rows, true),
    product('dense, input', rows, inputs, units, false, true),
  ];
}

interface Layer {
  name: string;
  batch: number;
  size: number;
  inChannels: number;
  outChannels: number;
  kernel: number;
  same?: boolean;
  depthwise?: boolean;
}

/** The forward pass and both gradients of a convolution; the gradients also where most of dy is zero. */
function convolution(layer: Layer, shares: number[]): Case[] {
  const { name, batch, size, inChannels, outChannels, kernel, same = false } = layer;
  const depthwise = layer.depthwise ?? false;
  const out = same ? size : size - kernel + 1;
  const pad = same ? kernel >> 1 : 0;
  const sizes: ConvSizes = [
    ...([batch, size, size, inChannels, out, out, outChannels, kernel, kernel] as const),
    ...([1, 1, 1, 1, pad, pad] as const),
  ];
  const x = batch * size * size * inChannels;
  const y = batch * out * out * outChannels;
  const w = kernel * kernel * outChannels * (depthwise ? 1 : inChannels);
  const work = (2 * y * w) / outChannels;
  const windows = [kernel, kernel, 1, 1, 1, 1] as const;
  const scratch = (kernels: Kernels) =>
    floats(
      (depthwise
        ? kernels.depthwiseScratch(size, size, out, out, outChannels, ...windows)
        : kernels.convScratch(inChannels, out, out, outChannels, ...windows)) / 4,
    );
  const xShape: [number, number, number, number] = [batch, size, size, inChannels];
  const wShape = [kernel, kernel, inChannels, depthwise ? 1 : outChannels] as typeof xShape;
  const attrs = { strides: 1, pad: same ? 'same' : 'valid', dataFormat: 'NHWC' } as const;

  const forward: Case = {
    name: `${name}, forward`,
    work,
    unit: 'GFLOP/s',
    ours(kernels) {
      start();
      const [from, filter, to] = [floats(x), floats(w), floats(y)];
      const work = scratch(kernels);
      const run = depthwise ? kernels.depthwise : kernels.conv;
      return () => run(from, filter, 0, 0, to, ...sizes, work);
    },
    stock() {
      const images = tf.randomUniform<tf.Rank.R4>(xShape);
      const filter = tf.randomUniform<tf.Rank.R4>(wShape);
      const { strides, pad } = attrs;
      return () =>
        depthwise
          ? tf.depthwiseConv2d(images, filter, strides, pad)
          : tf.conv2d(images, filter, strides, pad);
    },
  };
  const gradients = shares.flatMap((share): Case[] => {
    const suffix = share < 1 ? `, dy ${100 * share} % non-zero` : '';
    const filterGradient: Case = {
      name: `${name}, filter gradient${suffix}`,
      work,
      unit: 'GFLOP/s',
      ours(kernels) {
        start();
        const [from, dy, dw] = [floats(x), floats(y, { share }), floats(w)];
        const work = scratch(kernels);
        const run = depthwise ? kernels.depthwiseFilterGradient : kernels.convFilterGradient;
        return () => run(from, dy, dw, ...sizes, work);
      },
    };
    const inputGradient: Case = {
      name: `${name}, input gradient${suffix}`,
      work,
      unit: 'GFLOP/s',
      ours(kernels) {
        start();
        const [dy, filter, dx] = [floats(y, { share }), floats(w), floats(x)];
        const work = scratch(kernels);
        const run = depthwise ? kernels.depthwiseInputGradient : kernels.convInputGradient;
        return () => run(dy, filter, dx, ...sizes, work);
      },
    };
    if (!depthwise && share === 1) {
      inputGradient.stock = () => {
        const dy = tf.randomUniform([batch, out, out, outChannels]);
        const inputs = { dy, filter: tf.randomUniform(wShape) };
        const all = { ...attrs, strides: [1, 1], inputShape: xShape };
        return () => tf.engine().runKernel('Conv2DBackpropInput', inputs, all) as tf.Tensor;
      };
    }
    return [filterGradient, inputGradient];
  });
  return [forward, ...gradients];
}

const first = { name: 'LeNet-5 first', batch: 60, size: 28, inChannels: 1, outChannels: 20 };
const second = { name: 'LeNet-5 second', batch: 60, size: 12, inChannels: 20, outChannels: 50 };
const small = { name: '3x3 32 at 15x15, batch 32', batch: 32, size: 15 };
const large = { name: '3x3 64 at 28x28', batch: 1, size: 28, inChannels: 64, outChannels: 64 };
const deep = { name: 'depthwise 3x3 256 at 14x14', batch: 1, size: 14, depthwise: true };

/** The kernels whose limit is arithmetic. */
export const MULTIPLYING: Case[] = [
  ...[dense(60, 784, 300), dense(60, 300, 100), dense(60, 100, 10)].flat(),
  product('matrix', 128, 1200, 1200),
  product('matrix', 256, 256, 1024),
  product('row', 1, 1024, 1024),
  ...convolution({ ...first, kernel: 5 }, [1, 0.25]),
  ...convolution({ ...second, kernel: 5 }, [1, 0.25]),
  ...convolution({ ...small, inChannels: 32, outChannels: 32, kernel: 3, same: true }, [1, 0.25]),
  ...convolution({ ...large, kernel: 3, same: true }, [1]),
  product('1x1 256 at 14x14', 196, 256, 256),
  ...convolution({ ...deep, inChannels: 256, outChannels: 256, kernel: 3, same: true }, [1]),
];
