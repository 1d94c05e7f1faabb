// How fast networks are here, what memory they take, and how much they move.
import * as tf from '@tensorflow/tfjs-core';
import { type ProgressOption, Random, sizeOf, UnsupportedError } from '@thimble/base';
import { valuesOf } from './energy.ts';
import { type Network, packedOf } from './subject.ts';
import { median, timesInTurn } from './times.ts';

/** Speed and memory of one network for one example at a time, measured here. */
export interface Speed {
  /** 'packed' (the kernels of `@thimble/runtime`), or 'tfjs' with its backend. */
  engine: string;
  /** Milliseconds for an example. */
  median: number;
  fastest: number;
  repeats: number;
  /** Bytes of the weights in memory. */
  weightBytes: number;
  /** Bytes of the values in between, at most at one time. */
  valueBytes: number;
  /**
   * Bytes that an inference moves at least, every weight read once and every value written and read once, over the
   * median: gigabytes a second. An estimate: caches are not seen from here.
   */
  bandwidth: number;
}

interface Engine {
  name: string;
  weightBytes: number;
  valueBytes: number;
  run(): unknown;
  end(): void;
}

/** All networks in turn on the same engine: packed kernels where all can, else TensorFlow.js. */
export async function speedsOf(
  networks: readonly Network[],
  repeats: number,
  pass: { progress: ProgressOption; signal?: AbortSignal },
): Promise<Speed[]> {
  const engines = (await packedEngines(networks)) ?? (await tfjsEngines(networks));
  try {
    const times = await timesInTurn(
      engines.map(({ run }) => run),
      { repeats, ...pass },
    );
    return engines.map(({ name: engine, weightBytes, valueBytes }, i) => {
      const middle = median(times[i]!);
      const values = networks[i]!.graph.nodes.reduce((sum, node) => sum + valuesOf(node), 0);
      const moved = weightBytes + 2 * 4 * values;
      return {
        engine,
        median: middle,
        fastest: Math.min(...times[i]!),
        repeats,
        weightBytes,
        valueBytes,
        bandwidth: moved / (middle * 1e6),
      };
    });
  } finally {
    for (const { end } of engines) end();
  }
}

function exampleOf({ model }: Network): { shape: number[]; values: Float32Array } {
  const shape = model.inputs[0]!.shape.slice(1);
  if (shape.includes(null)) {
    throw new UnsupportedError(
      `report: "${model.name}" takes inputs of the shape [${shape.map((n) => n ?? '?').join(', ')}], of which sizes ` +
        'are open. Give its first layer an inputShape without null.',
    );
  }
  const random = new Random(0, 'speed');
  const values = Float32Array.from({ length: sizeOf(shape as number[]) }, () => random.uniform());
  return { shape: shape as number[], values };
}

async function packedEngines(networks: readonly Network[]): Promise<Engine[] | undefined> {
  const engines: Engine[] = [];
  for (const network of networks) {
    const { values } = exampleOf(network);
    const net = await packedOf(network.graph);
    if (!net) {
      for (const { end } of engines) end();
      return undefined;
    }
    const { weightBytes, valueBytes } = net.explain();
    const run = () => net.predict(values);
    engines.push({ name: 'packed', weightBytes, valueBytes, run, end: () => net.dispose() });
  }
  return engines;
}

async function tfjsEngines(networks: readonly Network[]): Promise<Engine[]> {
  const engines: Engine[] = [];
  for (const network of networks) {
    const { shape, values } = exampleOf(network);
    const x = tf.tensor(values, [1, ...shape]);
    const run = () => network.predict(x);
    const weightBytes = network.model.weights.reduce(
      (sum, weight) => sum + 4 * sizeOf(weight.shape as number[]),
      0,
    );
    const before = tf.memory().numBytes;
    const { peakBytes } = await tf.profile(() => tf.tidy(() => network.model.predict(x)));
    const valueBytes = Math.max(0, peakBytes - before);
    const name = `tfjs, ${tf.getBackend()}`;
    engines.push({ name, weightBytes, valueBytes, run, end: () => x.dispose() });
  }
  return engines;
}
