// From a tfjs model to the bytes of a .thimble file.
import type { LayersModel } from '@tensorflow/tfjs-layers';
import {
  checkInteger,
  checkOptions,
  checkRange,
  OptionError,
  type ProgressOption,
  sizeOf,
  startProgress,
  UnsupportedError,
} from '@thimble/base';
import { lower } from '@thimble/core';
import type { Attribute, Graph } from '@thimble/graph';
import type { FileNotes } from '@thimble/runtime/file';
import { rateDistortion } from './rate-distortion.ts';
import type { EntropyCode, Stored } from './store-weight.ts';
import { type WeightForms, withForms } from './weight-forms.ts';
import { writeFile } from './write-file.ts';

/** Options of {@link encode}; all are optional. */
export interface EncodeOptions extends FileNotes {
  /**
   * Forms to put the weights into; default what their transforms say: masks, codes, codebooks, and floats
   * where there are none. One form is for all kernels; a record gives forms by layer (its kernels), by
   * 'layer/weight', or by such names with '*' for any letters, the first that fits.
   */
  weights?: WeightForms;
  /** How codes become bits; default whatever is smallest, for each weight. */
  entropy?: EntropyCode;
  /**
   * Rate-distortion optimal quantisation: how much squared error, in units of the mean square of the weight,
   * a bit is worth. Sensible are 0.0001 to 0.05; default 0: none.
   */
  lambda?: number;
  /**
   * Bits of the distance from one kept weight to the next (1 to 8), as Deep Compression stores them.
   * Default whatever is smallest.
   */
  indexBits?: number;
  /** Default true; see {@link ProgressOption}. `encodeGraph` shows none. */
  progress?: ProgressOption;
  /** Ends it between two weights; its reason is thrown. */
  signal?: AbortSignal;
}

/** What one weight takes in a file. */
export interface StoredWeight {
  /** 'layer/weight' */
  name: string;
  /** What its values are: 'float', 'affine', 'codebook' ... */
  values: string;
  /** How the kept entries are found: 'dense', 'gaps', 'bitmap', 'nm', 'blocks', 'arithmetic', 'hashed'. */
  layout: string;
  entropy: EntropyCode;
  entries: number;
  nonzero: number;
  /** Zeros that are stored because the next kept entry is too far. */
  fillers: number;
  /** Bytes in the file, scales, codebook and shape included. */
  bytes: number;
}

/** A file and what it is made of. */
export interface Encoded {
  bytes: Uint8Array<ArrayBuffer>;
  /** Bytes of all but the weights: topology, notes, checksum. */
  header: number;
  weights: StoredWeight[];
  /** Bytes of all weights as float32, divided by the bytes of the file. */
  ratio: number;
}

/** Milliseconds of work after which others get a turn. */
const REST_AFTER = 50;

const OPTIONS = [
  'weights',
  'entropy',
  'lambda',
  'indexBits',
  'labels',
  'preprocessing',
  'report',
  'progress',
  'signal',
] satisfies (keyof EncodeOptions)[];

/**
 * Writes a model as a `.thimble` file: topology and weights in one run of bytes, every weight in the
 * smallest of the forms that give its values back bit for bit (with `weights` or `lambda`: the values that
 * those make of them). Masks, quantisation, codebooks and the like are found by themselves; pruned entries
 * take next to nothing.
 *
 * Huffman codes are canonical; the arithmetic coder is in the manner of DeepCABAC. `load` makes a tfjs model
 * of the file, `decode` and `load` of `@thimble/runtime` read it without TensorFlow.js.
 *
 * A -0 comes back as 0, and entries that are 0 in a masked weight come back as pruned.
 *
 * Papers: Han, Mao, Dally, "Deep Compression", 2016; Wiedemann et al., "DeepCABAC", 2020.
 *
 * @throws {UnsupportedError} when the model is not built, or has a recurrent layer of given cells; {NoMatchError} for a name in `weights` that fits
 *   nothing; {OptionError} for values out of range; the signal's reason.
 * @example
 * const bytes = await encode(model, { weights: 'int8', labels: ['zero', 'one'] });
 * console.log(bytes.length);
 */
export async function encode(
  model: LayersModel,
  options: EncodeOptions = {},
): Promise<Uint8Array<ArrayBuffer>> {
  return (await encodeWithReport(model, options)).bytes;
}

/**
 * As {@link encode}, and tells what every weight came to.
 *
 * @example
 * const { ratio, weights } = await encodeWithReport(model, { entropy: 'huffman' });
 * console.table(weights);
 */
export async function encodeWithReport(
  model: LayersModel,
  options: EncodeOptions = {},
): Promise<Encoded> {
  checkEncode(options);
  const { progress = true, signal } = options;
  signal?.throwIfAborted();
  const graph = lower(model);
  checkKept(graph);
  const total = Object.values(graph.weights).reduce(
    (n, { encoding }) => n + sizeOf(encoding.shape),
    0,
  );
  const reporter = startProgress(progress, 'encoding', total);
  try {
    let done = 0;
    let rested = performance.now();
    const steps = encoding(graph, options);
    for (;;) {
      const { done: ended, value } = steps.next();
      if (ended) return value;
      done += value;
      reporter.update(done);
      // Lets others run, who may show the progress or end this.
      if (performance.now() - rested > REST_AFTER) {
        await new Promise((resolve) => setTimeout(resolve));
        rested = performance.now();
      }
      signal?.throwIfAborted();
    }
  } finally {
    reporter.stop();
  }
}

/** @throws {UnsupportedError} for a layer that would not come back from the file. */
function checkKept({ nodes }: Graph): void {
  const stacked = nodes.find(({ op }) => op === 'rnn');
  if (!stacked) return;
  throw new UnsupportedError(
    `encode: layer "${stacked.layer}" is a recurrent layer of given cells, which a .thimble file cannot hold. Use ` +
      'layers such as tf.layers.lstm one behind the other, or saveTfjs.',
  );
}

/** As {@link encodeWithReport}, of a network that is lowered already, and at once. */
export function encodeGraph(graph: Graph, options: EncodeOptions = {}): Encoded {
  checkEncode(options);
  const steps = encoding(graph, options);
  for (;;) {
    const { done, value } = steps.next();
    if (done) return value;
  }
}

/** Encodes weight by weight; says after each how many entries it had. */
function* encoding(graph: Graph, options: EncodeOptions): Generator<number, Encoded> {
  const { weights: forms, entropy, lambda = 0, indexBits, progress, signal, ...notes } = options;
  let chosen = forms === undefined ? graph : withForms('encode', graph, forms);
  if (lambda > 0) chosen = cheapened(chosen, graph, lambda);
  const { bytes, header, weights } = yield* writeFile(chosen, notes as FileNotes, {
    entropies: entropy ? [entropy] : ['none', 'huffman', 'arithmetic'],
    ...(indexBits === undefined ? {} : { gapBits: indexBits }),
  });
  let entries = 0;
  const stored = [...weights].map(([name, weight]): StoredWeight => {
    const { shape, nonzero } = chosen.weights[name]!.encoding;
    entries += sizeOf(shape);
    return describeStored(name, weight, sizeOf(shape), nonzero);
  });
  return { bytes, header, weights: stored, ratio: (4 * entries) / bytes.length };
}

function describeStored(
  name: string,
  { values, layout, entropy, fillers, bytes }: Stored,
  entries: number,
  nonzero: number,
): StoredWeight {
  const { type } = values;
  return { name, values: type, layout, entropy, entries, nonzero, fillers, bytes: bytes.length };
}

function cheapened(chosen: Graph, original: Graph, lambda: number): Graph {
  const weights = Object.entries(chosen.weights).map(([key, weight]) => {
    const vector = weight.encoding.shape.length < 2;
    return [key, vector ? weight : rateDistortion(weight, original.weights[key]!.data!, lambda)];
  });
  return { ...chosen, weights: Object.fromEntries(weights) };
}

function checkEncode(options: EncodeOptions): void {
  checkOptions('encode', options, OPTIONS);
  const { entropy, lambda, indexBits, labels, preprocessing, report } = options;
  if (entropy !== undefined && !['huffman', 'arithmetic', 'none'].includes(entropy)) {
    throw new OptionError(
      `encode: entropy must be huffman, arithmetic or none, not "${entropy}". Leave it out for the smallest.`,
    );
  }
  if (lambda !== undefined) checkRange('encode', 'lambda', lambda, 0);
  if (indexBits !== undefined) checkInteger('encode', 'indexBits', indexBits, 1, 8);
  checkNotes('encode', {
    ...(labels === undefined ? {} : { labels }),
    ...(preprocessing === undefined ? {} : { preprocessing }),
    ...(report === undefined ? {} : { report }),
  });
}

/** @throws {OptionError} for notes that a file cannot hold. */
export function checkNotes(owner: string, notes: FileNotes): void {
  checkOptions(owner, notes, ['labels', 'preprocessing', 'report']);
  const { labels, preprocessing, report } = notes;
  if (labels !== undefined && !labels.every((label) => typeof label === 'string')) {
    throw new OptionError(`${owner}: labels must be a list of texts.`);
  }
  checkJson(owner, 'preprocessing', preprocessing);
  checkJson(owner, 'report', report);
}

function checkJson(owner: string, name: string, value: Attribute | undefined): void {
  if (value === undefined) return;
  const text = JSON.stringify(value);
  if (text === undefined || text.includes('__proto__')) {
    throw new OptionError(`${owner}: ${name} must be plain data that JSON can hold.`);
  }
}
