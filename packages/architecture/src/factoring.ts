// One layer and what its kernel can be decomposed into: losses and costs by rank, and the layers of a chain.
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import type { NewLayer } from '@thimble/core';
import type { ActivationName, Conv2dArgs } from './block.ts';
import {
  type ConvRank,
  type ConvScheme,
  chainCost,
  convChain,
  largestRank,
  type Positions,
  rankPair,
} from './chains.ts';
import { cp } from './cp.ts';
import type { ResolvedDecompose } from './decompose-options.ts';
import { signedNmf } from './nmf.ts';
import { lostEnergy, multiply, rankForEnergy, type Svd, svd, type Values2d } from './svd.ts';
import { type Kernel, type Tucker, tucker2, tuckerLosses, unfoldings } from './tucker.ts';
import { rankOfSingular } from './vbmf.ts';

/** Values of the kernels of a chain, first to last, and what they lose of the squares of the whole. */
interface Factors {
  kernels: { shape: number[]; data: Float64Array }[];
  lost: number;
}

/** A dense layer or convolution with the ways to decompose it. A dense kernel is seen as one of 1 x 1 windows. */
export class Factoring {
  readonly layer: tfl.layers.Layer;
  /** Kernel [height, width, in, out]. */
  readonly shape: [number, number, number, number];
  readonly dense: boolean;
  readonly #options: ResolvedDecompose;
  readonly #data: Float64Array;
  readonly #fitted = new Map<string, Factors>();
  #matrix: Svd | undefined;
  #tucker:
    | { start: ReturnType<typeof unfoldings>; lost: (ranks: [number, number]) => number }
    | undefined;

  constructor(layer: tfl.layers.Layer, options: ResolvedDecompose) {
    const [kernel] = layer.getWeights();
    this.layer = layer;
    this.dense = kernel!.rank === 2;
    const shape = kernel!.shape;
    this.shape = (this.dense ? [1, 1, ...shape] : shape) as [number, number, number, number];
    this.#options = options;
    this.#data = Float64Array.from(kernel!.dataSync());
  }

  get scheme(): ConvScheme {
    return this.dense ? 'channel' : this.#options.scheme;
  }

  /** True where what a rank loses is known only once it has been fitted. */
  get fits(): boolean {
    return this.#options.method === 'nmf' || this.#options.method === 'cp';
  }

  /** The largest rank; of a method with one rank twice the same. */
  get largest(): [number, number] {
    return largestRank(this.scheme, this.shape);
  }

  /** What a rank is inside: the two parts of a signed NMF make it twice as wide. */
  #width(rank: ConvRank): ConvRank {
    return this.#options.method === 'nmf' ? 2 * (rank as number) : rank;
  }

  /** Parameters without bias and multiply-accumulates, of the layer as it is or of a chain. */
  cost(rank?: ConvRank): { params: number; macs: number } {
    const { positions } = this;
    if (rank !== undefined) return chainCost(this.scheme, this.shape, this.#width(rank), positions);
    return { params: this.#data.length, macs: this.#data.length * positions.output };
  }

  /** Of all applications together; NaN where sizes are open. */
  get positions(): Positions {
    const sum = { input: 0, between: 0, output: 0 };
    for (const { inputShapes, outputShapes } of this.layer.inboundNodes) {
      const space = (shape: unknown) =>
        (shape as (number | null)[]).slice(1, -1).map((n) => n ?? Number.NaN);
      const [input, output] = [space(inputShapes[0]), space(outputShapes[0])];
      const product = (sizes: number[]) => sizes.reduce((n, size) => n * size, 1);
      sum.input += product(input);
      sum.output += product(output);
      sum.between += this.dense ? product(output) : output[0]! * input[1]!;
    }
    return sum;
  }

  /** The matrix of 'svd' and 'nmf'. */
  #toMatrix(): Values2d {
    const [kh, kw, inputs, outputs] = this.shape;
    if (this.scheme === 'channel')
      return { rows: kh * kw * inputs, columns: outputs, data: this.#data };
    const [rows, columns] = [kh * inputs, kw * outputs];
    const data = new Float64Array(rows * columns);
    this.#eachRow((y, x, i, from) => {
      data.set(this.#data.subarray(from, from + outputs), (y * inputs + i) * columns + x * outputs);
    });
    return { rows, columns, data };
  }

  #eachRow(visit: (y: number, x: number, input: number, from: number) => void): void {
    const [kh, kw, inputs, outputs] = this.shape;
    for (let y = 0, from = 0; y < kh; y++) {
      for (let x = 0; x < kw; x++) {
        for (let i = 0; i < inputs; i++, from += outputs) visit(y, x, i, from);
      }
    }
  }

  get #kernel(): Kernel {
    const [kh, kw, inputs, outputs] = this.shape;
    return { positions: kh * kw, inputs, outputs, data: this.#data };
  }

  #singular(): Svd {
    this.#matrix ??= svd(this.#toMatrix());
    return this.#matrix;
  }

  #bases(): { start: ReturnType<typeof unfoldings>; lost: (ranks: [number, number]) => number } {
    if (!this.#tucker) {
      const start = unfoldings(this.#kernel);
      this.#tucker = { start, lost: tuckerLosses(this.#kernel, start) };
    }
    return this.#tucker;
  }

  /** What a rank loses of the kernel's squares: exactly, or for Tucker-2 a close upper bound. */
  lost(rank: ConvRank): number {
    const { method } = this.#options;
    if (method === 'svd') return lostEnergy(this.#singular().singular, rank as number);
    if (method === 'tucker2') return this.#bases().lost(rankPair(rank));
    return this.#factors(rank).lost;
  }

  /** The same, where it takes fitting after few iterations: to compare ranks with. */
  roughlyLost(rank: ConvRank): number {
    return this.fits
      ? this.#fit(rank, Math.min(this.#options.iterations, 20)).lost
      : this.lost(rank);
  }

  /** The smallest rank that keeps a part of the squares. */
  rankForEnergy(energy: number): ConvRank {
    const { method } = this.#options;
    if (method === 'svd') return rankForEnergy(this.#singular().singular, energy);
    if (method === 'tucker2') {
      const { input, output } = this.#bases().start;
      return [rankForEnergy(input.singular, energy), rankForEnergy(output.singular, energy)];
    }
    let [low, high] = [1, this.largest[0]];
    while (low < high) {
      const middle = Math.floor((low + high) / 2);
      if (this.lost(middle) <= 1 - energy + 1e-12) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  /** The rank that variational Bayes gives, at least 1. */
  vbmfRank(): ConvRank {
    const rankOf = ({ singular }: Svd, rows: number) =>
      Math.max(1, rankOfSingular(singular, rows, this.#data.length / rows));
    const [kh, , inputs, outputs] = this.shape;
    if (this.#options.method === 'tucker2') {
      const { input, output } = this.#bases().start;
      return [rankOf(input, inputs), rankOf(output, outputs)];
    }
    const rows = this.scheme === 'channel' ? this.#data.length / outputs : kh * inputs;
    return rankOf(this.#singular(), rows);
  }

  /** The layers that take the place of the layer. */
  chain(rank: ConvRank): { layers: NewLayer[]; lost: number } {
    const { kernels, lost } = this.#factors(rank);
    const config = this.layer.getConfig();
    const useBias = config.useBias as boolean;
    const activation = ((config.activation as string | null) ?? 'linear') as ActivationName;
    const { name } = this.layer;
    const trainable = this.layer.trainable;
    const last = kernels.length - 1;
    const argsAt = (i: number) => ({
      name: i === last ? name : `${name}_${i + 1}`,
      trainable,
      useBias: i === last && useBias,
      activation: i === last ? activation : ('linear' as const),
    });
    const makers = this.#makers(rank);
    return {
      lost,
      layers: kernels.map(({ shape, data }, i) => ({
        layer: makers[i]!(argsAt(i)),
        weights: [
          tf.tensor(Float32Array.from(data), shape),
          ...(i === last && useBias ? [tf.clone(this.layer.getWeights()[1]!)] : []),
        ],
      })),
    };
  }

  #makers(rank: ConvRank): ((args: Partial<Conv2dArgs>) => tfl.layers.Layer)[] {
    const width = this.#width(rank);
    if (this.dense) {
      const units = [width as number, this.shape[3]];
      return units.map(
        (each) => (args) => tfl.layers.dense({ units: each, ...args } as { units: number }),
      );
    }
    const { kernelSize, strides, dilationRate, padding } = this.layer as tfl.layers.Layer & {
      kernelSize: [number, number];
      strides: [number, number];
      dilationRate: number | [number, number];
      padding: 'same' | 'valid';
    };
    const rates = typeof dilationRate === 'number' ? [dilationRate, dilationRate] : dilationRate;
    return convChain(
      {
        filters: this.shape[3],
        kernelSize,
        strides,
        dilationRate: rates as [number, number],
        padding,
      },
      this.scheme,
      width,
    );
  }

  #factors(rank: ConvRank): Factors {
    const key = String(rank);
    let known = this.#fitted.get(key);
    if (!known) {
      known = this.#fit(rank);
      this.#fitted.set(key, known);
    }
    return known;
  }

  #fit(rank: ConvRank, iterations: number = this.#options.iterations): Factors {
    const { method, seed } = this.#options;
    const [kh, kw, inputs, outputs] = this.shape;
    if (method === 'tucker2') {
      const pair = rankPair(rank);
      const factors = tucker2(this.#kernel, this.#bases().start, pair);
      return tuckerKernels(this.shape, pair, factors, this.#data);
    }
    if (method === 'cp') {
      const r = rank as number;
      const { factors, lost } = cp({ shape: this.shape, data: this.#data }, r, iterations, seed);
      const [rows, columns, input, output] = factors as [
        Float64Array,
        Float64Array,
        Float64Array,
        Float64Array,
      ];
      const kernels = [
        { shape: [1, 1, inputs, r], data: input },
        { shape: [kh, 1, r, 1], data: rows },
        { shape: [1, kw, r, 1], data: columns },
        { shape: [1, 1, r, outputs], data: turned(output, outputs, r) },
      ];
      return { kernels, lost };
    }
    const matrix = this.#toMatrix();
    const [left, right] =
      method === 'svd'
        ? this.#singular().factors(rank as number)
        : signedNmf(matrix, rank as number, iterations, seed);
    return { kernels: this.#matrixKernels(left, right), lost: lostOf(matrix, left, right) };
  }

  #matrixKernels(left: Values2d, right: Values2d): Factors['kernels'] {
    const [kh, kw, inputs, outputs] = this.shape;
    const width = left.columns;
    if (this.dense) {
      return [
        { shape: [inputs, width], data: left.data },
        { shape: [width, outputs], data: right.data },
      ];
    }
    if (this.scheme === 'channel') {
      return [
        { shape: [kh, kw, inputs, width], data: left.data },
        { shape: [1, 1, width, outputs], data: right.data },
      ];
    }
    // From [rank, kw, out] to [kw, rank, out].
    const data = new Float64Array(right.data.length);
    for (let r = 0; r < width; r++) {
      for (let x = 0; x < kw; x++) {
        const from = (r * kw + x) * outputs;
        data.set(right.data.subarray(from, from + outputs), (x * width + r) * outputs);
      }
    }
    return [
      { shape: [kh, 1, inputs, width], data: left.data },
      { shape: [1, kw, width, outputs], data },
    ];
  }
}

function tuckerKernels(
  [kh, kw, inputs, outputs]: [number, number, number, number],
  [first, second]: [number, number],
  { input, core, output }: Tucker,
  data: Float64Array,
): Factors {
  const all = data.reduce((sum, value) => sum + value * value, 0);
  const kept = core.reduce((sum, value) => sum + value * value, 0);
  return {
    kernels: [
      { shape: [1, 1, inputs, first], data: input.data },
      { shape: [kh, kw, first, second], data: core },
      { shape: [1, 1, second, outputs], data: turned(output.data, outputs, second) },
    ],
    lost: all > 0 ? Math.max(0, 1 - kept / all) : 0,
  };
}

/** A matrix with rows and columns exchanged. */
function turned(data: Float64Array, rows: number, columns: number): Float64Array {
  const result = new Float64Array(data.length);
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) result[j * rows + i] = data[i * columns + j]!;
  }
  return result;
}

/** What a product of factors loses of the squares of a matrix. */
function lostOf(matrix: Values2d, left: Values2d, right: Values2d): number {
  const product = multiply(left, right).data;
  let [all, lost] = [0, 0];
  for (const [i, value] of matrix.data.entries()) {
    all += value * value;
    lost += (value - product[i]!) ** 2;
  }
  return all > 0 ? lost / all : 0;
}
