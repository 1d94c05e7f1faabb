// Packed kernels beside the stock kernels of tfjs-wasm: one thread, plain SIMD, in turn in one process. Weights are
// random, so this is about kernels alone; accuracy does not enter. Results are written to memory that is there already:
// stock's stay in its own, ours are copied to one array, since new memory for large outputs costs more than a kernel.
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { lower } from '@thimble/core';
import type { Graph } from '@thimble/graph';
import { type PackedModel, pack } from '@thimble/runtime';
import { Random } from 'thimble';
import { channelPairs, eightBits, separable, sparse } from '../random-weights.ts';
import { median, quartiles } from '../statistics.ts';
import type { Measured, Task } from '../task.ts';

const random = new Random('packed kernels bench');
function images(layer: (first: object) => tfl.layers.Layer, count: number): tfl.LayersModel {
  const first = { inputShape: [28, 28, 64] };
  return tfl.sequential({
    layers: Array.from({ length: count }, (_, i) => layer(i === 0 ? first : {})),
  });
}

/** Kernels of signs, as those of xnorConv2d and xnorDense. */
function signs(graph: Graph): Graph {
  const nodes = graph.nodes.map((node) =>
    node.op === 'conv2d'
      ? {
          ...node,
          op: 'xnorConv2d',
          attributes: { ...node.attributes, scaling: 'weights', batchNormalization: false },
        }
      : node,
  );
  const weights = Object.fromEntries(
    Object.entries(graph.weights).map(([key, weight]) => {
      if (!/\/kernel$/.test(key)) return [key, weight];
      const scale = new Float32Array(0);
      const values = { type: 'binary', bits: 1, scale, axis: null } as const;
      const data = weight.data!.map((w) => (w < 0 ? -1 : 1));
      return [key, { data, encoding: { ...weight.encoding, values } }];
    }),
  );
  return { ...graph, nodes, weights };
}

interface Case {
  name: string;
  /** What stock runs. */
  model: tfl.LayersModel;
  packed: Record<string, Graph>;
}

function cases(): Case[] {
  const net = separable();
  const conv = images(
    (first) =>
      tfl.layers.conv2d({ filters: 64, kernelSize: 3, padding: 'same', useBias: false, ...first }),
    8,
  );
  const dense = tfl.sequential({ layers: [tfl.layers.dense({ units: 1024, inputShape: [1024] })] });
  const graph = lower(net);
  const product = lower(dense);
  return [
    {
      name: '13-layer separable net',
      model: net,
      packed: {
        'dense f32': graph,
        '80 % in 2-blocks': sparse(graph, 2, 0.8),
        '90 % in 2-blocks': sparse(graph, 2, 0.9),
        '90 % single': sparse(graph, 1, 0.9),
        int8: eightBits(graph),
        'int8, 90 % in 2-blocks of 2 channels': eightBits(channelPairs(sparse(graph, 2, 0.9))),
      },
    },
    {
      name: '8 times 3x3, 64 to 64, 28x28',
      model: conv,
      packed: {
        'dense f32': lower(conv),
        'XNOR, packing included': signs(lower(conv)),
        int8: eightBits(lower(conv)),
        '90 % in 2-blocks': sparse(lower(conv), 2, 0.9),
      },
    },
    {
      name: 'dense 1024 x 1024, one example',
      model: dense,
      packed: {
        'dense f32': product,
        '90 % in 8-blocks': sparse(product, 8, 0.9),
        '90 % single': sparse(product, 1, 0.9),
        int8: eightBits(product),
      },
    },
  ];
}

interface Figures {
  name: string;
  kernel: string;
  milliseconds: number;
  quartiles: [number, number];
  /** tfjs-wasm's milliseconds over ours. */
  speedUp: number;
}

const WARM_UP = 20;
/** Milliseconds that a sample takes at least. */
const SAMPLE = 2;

async function measure({ name, model, packed }: Case, repeats: number): Promise<Figures[]> {
  const shape = model.inputs[0]!.shape.slice(1) as number[];
  const values = Float32Array.from({ length: shape.reduce((n, s) => n * s, 1) }, () =>
    random.uniform(),
  );
  const x = tf.tensor(values, [1, ...shape]);
  const nets: Record<string, PackedModel> = {};
  for (const [key, graph] of Object.entries(packed)) {
    nets[key] = await pack(graph, { relaxedSimd: false });
  }
  const calls: Record<string, () => void> = {
    'tfjs-wasm': () => tf.tidy(() => void model.predict(x)),
  };
  for (const [key, net] of Object.entries(nets)) {
    const into = net.predict(values);
    calls[key] = () => void net.predict(values, { into });
  }
  const runs = Object.entries(calls).map(([key, call]) => {
    for (let i = 0; i < WARM_UP; i++) call();
    const started = performance.now();
    for (let i = 0; i < 5; i++) call();
    const count = Math.max(1, Math.ceil((5 * SAMPLE) / (performance.now() - started)));
    return { key, call, count, times: [] as number[] };
  });
  for (let round = 0; round < repeats; round++) {
    for (const { call, count, times } of runs) {
      const started = performance.now();
      for (let i = 0; i < count; i++) call();
      times.push((performance.now() - started) / count);
    }
  }
  for (const net of Object.values(nets)) net.dispose();
  x.dispose();
  const stock = median(runs[0]!.times);
  return runs.map(({ key, times }) => {
    const milliseconds = median(times);
    const speedUp = stock / milliseconds;
    return { name, kernel: key, milliseconds, quartiles: quartiles(times), speedUp };
  });
}

async function run(repeats: number): Promise<Measured> {
  const backend = tf.getBackend();
  await tf.setBackend('wasm');
  const figures: Figures[] = [];
  for (const item of cases()) figures.push(...(await measure(item, repeats)));
  await tf.setBackend(backend);
  const head = ['network', 'kernels', 'ms', 'quartiles', 'tfjs-wasm / it'];
  const rows = figures.map(({ name, kernel, milliseconds, quartiles, speedUp }) => [
    name,
    kernel,
    milliseconds.toFixed(3),
    quartiles.map((q) => q.toFixed(3)).join(' - '),
    `${speedUp.toFixed(2)}x`,
  ]);
  return { table: [head, ...rows], figures };
}

export const packedKernels: Task = {
  about: 'packed kernels of the runtime, random weights, beside stock tfjs-wasm',
  run,
};
