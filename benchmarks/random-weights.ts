// Networks with random weights, for kernels alone: the separable one of 13 layers, and weights made sparse or
// rounded without training.
import * as tfl from '@tensorflow/tfjs-layers';
import type { Graph, GraphWeight } from '@thimble/graph';
import { Random, withSeed } from 'thimble';

const random = new Random('random weights');
const SIDE = 14;
const CHANNELS = 256;

/** A stem, seven 1x1 and six depthwise convolutions at 14x14x256, global average pooling, a dense layer. */
export function separable(output: 'linear' | 'softmax' = 'linear'): tfl.LayersModel {
  return withSeed(1, () => {
    const activation = 'relu';
    const padding = 'same';
    // Values keep their size from layer to layer.
    const kernelInitializer = 'heNormal';
    const depthwiseInitializer = tfl.initializers.randomNormal({ stddev: Math.sqrt(2 / 9) });
    const pointwise = () =>
      tfl.layers.conv2d({ filters: CHANNELS, kernelSize: 1, activation, kernelInitializer });
    const blocks = Array.from({ length: 6 }, () => [
      tfl.layers.depthwiseConv2d({
        kernelSize: 3,
        padding,
        activation,
        depthwiseInitializer,
      }),
      pointwise(),
    ]);
    const inputShape = [2 * SIDE, 2 * SIDE, 1];
    const stem = { filters: CHANNELS, kernelSize: 3, strides: 2, padding, activation } as const;
    const end = [
      tfl.layers.globalAveragePooling2d({}),
      tfl.layers.dense({ units: 10, activation: output }),
    ];
    const first = tfl.layers.conv2d({ ...stem, inputShape });
    return tfl.sequential({ layers: [first, pointwise(), ...blocks.flat(), ...end] });
  });
}

function withValues({ encoding }: GraphWeight, data: Float32Array): GraphWeight {
  const nonzero = data.reduce((count, value) => count + Number(value !== 0), 0);
  return { data, encoding: { ...encoding, nonzero } };
}

/** Zeros in blocks of `outputs` neighbours of the last axis, in kernels with more than one entry per channel. */
export function sparse(graph: Graph, outputs: number, zeros: number): Graph {
  const weights = Object.fromEntries(
    Object.entries(graph.weights).map(([key, weight]) => {
      const { shape } = weight.encoding;
      if (!/\/kernel$/.test(key) || shape.at(-2)! < 16) return [key, weight];
      const data = Float32Array.from(weight.data!);
      for (let i = 0; i < data.length; i += outputs) {
        if (random.uniform() < zeros) data.fill(0, i, i + outputs);
      }
      return [key, withValues(weight, data)];
    }),
  );
  return { ...graph, weights };
}

/** Kernels of 8 bits, a step per output channel. */
export function eightBits(graph: Graph): Graph {
  const weights = Object.fromEntries(
    Object.entries(graph.weights).map(([key, weight]) => {
      if (!/\/kernel$/.test(key)) return [key, weight];
      const { shape } = weight.encoding;
      const outputs = shape.at(-1)!;
      const scale = new Float32Array(outputs).fill(1e-9);
      const data = weight.data!;
      for (let i = 0; i < data.length; i++) {
        scale[i % outputs] = Math.max(scale[i % outputs]!, Math.abs(data[i]!) / 127);
      }
      const rounded = data.map((w, i) => Math.round(w / scale[i % outputs]!) * scale[i % outputs]!);
      const zeroPoint = new Int32Array(outputs);
      const values = { type: 'affine', bits: 8, scale, zeroPoint, axis: shape.length - 1 } as const;
      return [key, { data: rounded, encoding: { ...weight.encoding, values } }];
    }),
  );
  return { ...graph, weights };
}

/** Lets every odd input channel of 1x1 kernels be zero where the one before it is. */
export function channelPairs(graph: Graph): Graph {
  const weights = Object.fromEntries(
    Object.entries(graph.weights).map(([key, weight]) => {
      const { shape } = weight.encoding;
      if (!/\/kernel$/.test(key) || shape.at(-2)! < 16) return [key, weight];
      const outputs = shape.at(-1)!;
      const data = weight.data!.map((w, i) => {
        const row = Math.floor(i / outputs);
        if (row % 2 === 0) return w;
        return weight.data![i - outputs] === 0 ? 0 : w || 0.01;
      });
      return [key, withValues(weight, data)];
    }),
  );
  return { ...graph, weights };
}
