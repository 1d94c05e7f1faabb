// Shared weights: a codebook of a few values, and for every entry of a weight the number of its value.
import * as tf from '@tensorflow/tfjs-core';
import type { LayersModel, layers } from '@tensorflow/tfjs-layers';
import { checkInteger, checkOptions, OptionError, UnsupportedError } from '@thimble/base';
import {
  type LayerTargets,
  type ParametrizedWeight,
  parametrize,
  readValues,
  registerTransform,
  type Site,
  type WeightTransform,
} from '@thimble/core';
import { entriesOf, valuesAt } from './entries.ts';
import { checkKmeans, type KmeansOptions, kmeans } from './kmeans.ts';
import type { KmeansStart } from './kmeans-starts.ts';
import { checkShared } from './shared-values.ts';
import { chainsAt, checkFinite, kernelSites, kernelValues } from './targets.ts';

/** Options of {@link codebook}: how many shared values, by `clusters` or by `bits`. */
export interface CodebookOptions {
  /** Shared values, 2 to 65536. */
  clusters?: number;
  /** Bits of the number of a value, 1 to 16: `2^bits` shared values. */
  bits?: number;
  /** True: a codebook of its own for every output unit or filter. Default false: one for the weight. */
  perChannel?: boolean;
  /** Where k-means begins; default 'linear', see {@link kmeans}. */
  start?: KmeansStart;
  /**
   * True: one of the values is 0 and stays 0, for weights whose zeros are to stay zeros and that have no
   * mask. Default false.
   */
  zero?: boolean;
  /** Seed of the random starts, a number; default 0. */
  seed?: number;
}

/** The state of a codebook at one weight. */
export interface CodebookState {
  /** The values that are trained, a row for every slice; a zero that stays is not among them. */
  centroids: tf.Variable;
  /** For every entry the number of its value, counted through all slices. */
  indices: tf.Variable;
  axis: number | null;
  /** The numbers as integers, and the data that they were read from: a variable that is set gets other data. */
  numbers: { of: object; list: Int32Array };
}

/** A transform that takes a weight from a codebook; made by {@link codebook}. */
export type CodebookTransform = WeightTransform<CodebookState>;

const OWNER = 'codebook';
const CLASS_NAME = 'ThimbleCodebook';
/** Whole numbers that float32, the type of a layer's weights, can hold. */
const MOST_NUMBERS = 2 ** 24;
const OPTIONS = ['clusters', 'bits', 'perChannel', 'start', 'zero', 'seed'];

/**
 * Replaces a weight by shared values: `w'_i = c[k_i]`, with the numbers k fixed and the values c trained.
 *
 * - when the layer is built, or, for a layer that is built already, now: k-means on the entries of the
 *   weight ({@link kmeans}) gives c and k. Entries that a mask of the chain hides take no part
 * - backward: `dL/dc_j = sum of dL/dw'_i over all i with k_i = j`; nothing to the stored weight, which is
 *   frozen for good
 *
 * Must be the first transform of a weight; for a weight that has transforms already it goes to the front.
 * Masks that come after it hide what they hid, and fake quantisation with one step for all (or for each slice that has
 * a codebook) after it quantises the codebook. The
 * values and the numbers are weights of the layer, saved and loaded with the model; the numbers take
 * `log2(clusters)` bits each and the values 32, as `summarize` counts them. Where the weight has fewer
 * different values than asked for, the rest of the codebook is not used and not counted. Batch normalisation
 * behind the layer goes into the kernel first (`foldBatchNorm`): folded later, it would scale the values of every
 * channel differently.
 *
 * Paper: Han, Mao, Dally, "Deep Compression: Compressing Deep Neural Networks with Pruning, Trained
 * Quantization and Huffman Coding", 2016, section 3.
 *
 * @throws {OptionError} unless exactly one of `clusters` and `bits` is given, and for values out of range;
 *   {NonFiniteError} naming a weight with NaN or infinite entries, when the layer is built, {UnsupportedError}
 *   for one that fused batch normalisation scales by channel, or that is rounded by channel already.
 * @example
 * parametrize(layer, { kernel: [codebook({ bits: 5 })] });
 */
export function codebook(options: CodebookOptions): CodebookTransform {
  checkOptions(OWNER, options, OPTIONS);
  const { perChannel = false, start, zero = false, seed = 0 } = options;
  const clusters = clustersOf(OWNER, options);
  const clustering = { clusters, zero, seed, ...(start === undefined ? {} : { start }) };
  checkKmeans(OWNER, clustering);
  const tableOf = ({ centroids }: CodebookState) => {
    const rows = centroids.shape[0]!;
    const all = zero ? tf.concat([tf.zeros([rows, 1]), centroids], 1) : centroids;
    return tf.reshape(all, [rows * clusters]);
  };
  return {
    getClassName: () => CLASS_NAME,
    getConfig: () => ({ ...options }),
    build(site) {
      const axis = perChannel ? site.axes.out : null;
      checkShared(OWNER, site.owner, site.weight, axis);
      const found = cluster(site, axis, clustering);
      const { rows, indices } = found;
      const trained = zero ? clusters - 1 : clusters;
      const [values, numbers] = [
        tf.tensor(found.values, [rows, trained]),
        tf.tensor(indices, site.shape),
      ];
      const state = {
        centroids: site.addWeight('centroids', [rows, trained], values, true),
        indices: site.addWeight('indices', site.shape, numbers, false),
        axis,
        numbers: { of: {}, list: new Int32Array(0) },
      };
      tf.dispose([values, numbers]);
      return state;
    },
    source: (state) => tf.gather(tableOf(state), numbersOf(state)),
    apply: (weight) => weight,
    bake: (weight) => weight,
    encoding: (_weight, state) => ({
      values: {
        type: 'codebook',
        axis: state.axis,
        ...used(state, tableOf(state).dataSync(), clusters),
      },
    }),
  };
}
registerTransform(CLASS_NAME, (config) => codebook(config as CodebookOptions));

/** Options of {@link clusterWeights}. */
export interface ClusterOptions extends CodebookOptions {
  /** The layers of a model; default all with a kernel. */
  targets?: LayerTargets;
}

/**
 * Gives the kernels of a layer or a model codebooks: {@link codebook} goes to the front of each chain. The
 * biases stay as they are. Training on trains the shared values; `finalize` gives the plain model.
 *
 * Kernels that are pruned by masks stay so: what is hidden takes no part in the clustering and gets no
 * gradient. A model that has been compiled must be compiled again. When this throws, the model is as it was.
 *
 * @returns the kernels with their chains, in the order of the layers
 * @throws {UnsupportedError} naming a kernel that has a codebook or another source already, or fused batch
 *   normalisation or rounding by channel, or where there is no kernel; {NoMatchError} for a target that matches no layer; as {@link codebook} for the options.
 * @example
 * await prune(model, { granularity: 'element', sparsity: 0.9 });
 * clusterWeights(model, { clusters: 32 });
 * await fit(model, train, { epochs: 2, optimizer: 'adam', loss: 'categoricalCrossentropy' });
 */
export function clusterWeights(
  target: LayersModel | layers.Layer,
  options: ClusterOptions,
): ParametrizedWeight[] {
  const owner = 'clusterWeights';
  checkOptions(owner, options, [...OPTIONS, 'targets']);
  const { targets, ...rest } = options;
  const transform = codebook(rest);
  const sites = kernelSites(owner, target, targets);
  for (const { layer, weight, links, axes } of chainsAt(target, sites)) {
    checkShared(owner, layer, weight, options.perChannel ? axes.out : null);
    const source = links.find((link) => link.transform.source)?.transform.getClassName();
    if (source) {
      throw new UnsupportedError(
        `${owner}: "${weight}" of layer "${layer.name}" has ${source} already. Leave the layer out by targets, ` +
          'or finalize the model first.',
      );
    }
  }
  const clusters = clustersOf(owner, options);
  for (const { layer, weight, values, channels } of kernelValues(sites)) {
    checkFinite(owner, { layer, weight }, values);
    if (options.perChannel) checkNumbers(owner, { layer, weight }, channels, clusters);
  }
  for (const { layer, weights } of sites) {
    parametrize(layer, Object.fromEntries(weights.map((name) => [name, [transform]])));
  }
  return chainsAt(target, sites);
}

function clustersOf(owner: string, { clusters, bits }: CodebookOptions): number {
  if ((clusters === undefined) === (bits === undefined)) {
    throw new OptionError(`${owner}: give either clusters or bits.`);
  }
  if (bits !== undefined) checkInteger(owner, 'bits', bits, 1, 16);
  if (clusters !== undefined) checkInteger(owner, 'clusters', clusters, 2, 65536);
  return clusters ?? 2 ** bits!;
}

function numbersOf({ indices, numbers }: CodebookState): tf.Tensor {
  if (numbers.of !== indices.dataId) {
    numbers.list = Int32Array.from(indices.dataSync());
    numbers.of = indices.dataId;
  }
  return tf.tensor(numbers.list, indices.shape, 'int32');
}

/** Numbers are counted through all slices. */
interface Clustered {
  rows: number;
  values: Float32Array;
  indices: Float32Array;
}

function cluster(site: Site, axis: number | null, options: KmeansOptions): Clustered {
  const { clusters, zero } = options;
  const data = readValues(() => site.read());
  const kept = site.encoding().mask;
  checkFinite(OWNER, site, data, kept);
  const rows = axis === null ? 1 : site.shape[axis]!;
  checkNumbers(OWNER, site, rows, clusters);
  const trained = zero ? clusters - 1 : clusters;
  const values = new Float32Array(rows * trained);
  const indices = new Float32Array(data.length);
  for (let row = 0; row < rows; row++) {
    for (const i of entriesOf(site.shape, axis, row)) indices[i] = row * clusters;
    const places = entriesOf(site.shape, axis, row, kept);
    if (places.length === 0) continue;
    const own = kmeans(valuesAt(data, places), options);
    // A zero that stays has the number 0; the others keep their order.
    const at = zero ? own.centroids.indexOf(0) : -1;
    const numberOf = (k: number) => (at < 0 || k > at ? k : k === at ? 0 : k + 1);
    own.centroids.forEach((value, k) => {
      if (k !== at) values[row * trained + numberOf(k) - (zero ? 1 : 0)] = value;
    });
    for (let i = 0; i < places.length; i++) {
      indices[places[i]!] = row * clusters + numberOf(own.indices[i]!);
    }
  }
  return { rows, values, indices };
}

function checkNumbers(
  owner: string,
  { weight, layer }: Pick<Site, 'weight' | 'layer'>,
  rows: number,
  clusters: number,
): void {
  if (rows * clusters <= MOST_NUMBERS) return;
  throw new OptionError(
    `${owner}: ${rows} codebooks of ${clusters} values for "${weight}" of layer "${layer}" are ` +
      'more than can be numbered. Use fewer clusters.',
  );
}

/** The part of the codebook that entries make use of, and the bits that its numbers take. */
function used(
  { indices, centroids }: CodebookState,
  table: ArrayLike<number>,
  clusters: number,
): { bits: number; centroids: Float32Array } {
  const rows = centroids.shape[0]!;
  const counted = new Uint8Array(table.length);
  const numbers = indices.dataSync();
  for (let i = 0; i < numbers.length; i++) counted[numbers[i]!] = 1;
  const found = Array.from({ length: rows }, (_, row) => {
    const own: number[] = [];
    for (let k = row * clusters; k < (row + 1) * clusters; k++) if (counted[k]) own.push(table[k]!);
    return own;
  });
  const size = Math.max(...found.map((own) => own.length));
  const values = new Float32Array(rows * size);
  for (const [row, own] of found.entries()) values.set(own, row * size);
  return { bits: Math.max(1, Math.ceil(Math.log2(size))), centroids: values };
}
