// A packed network that runs.
import {
  alignColumns,
  checkOptions,
  DataError,
  ExitRule,
  type ExitRuleOptions,
  ShapeError,
  softmaxRows,
  thresholdsOf,
  UnsupportedError,
} from '@thimble/base';
import { inferenceKernels } from '@thimble/kernels/inference';
import { giveMemory } from './memory.ts';
import { moveTo, type Placed, runnable } from './program.ts';
import { CHUNK, Threads } from './threads.ts';

/** An input or output of a packed network. */
export interface Port {
  name: string;
  /** Of one example, as in tf.layers: [height, width, channels], or [length]. */
  shape: number[];
  /** Values of one example. */
  size: number;
  /** Bytes from the beginning of the arena. */
  offset: number;
}

/** What runs a layer. */
export interface LayerPlan {
  layer: string;
  /** The kernel, or what is computed where there is no choice. */
  kernel: string;
  /** Bytes of its packed weights in memory, biases and lists included. */
  bytes: number;
  why: string;
  /** The kernels it could have, with their cost: cycles by the model, or milliseconds where they were timed. */
  candidates: { kernel: string; cost: number }[];
}

/** What {@link PackedModel.explain} tells. */
export interface Explanation {
  layers: LayerPlan[];
  /** Bytes of all weights, and of the values in between. */
  weightBytes: number;
  valueBytes: number;
  threads: number;
  /** Prints a table. */
  print(): void;
}

/** Options of {@link PackedModel.predict}. */
export interface PredictOptions {
  /** Examples in the input; default: as many as the input holds. */
  batch?: number;
  /**
   * Where the outputs are written: the array of the one output, or all by name, each of as many values as the batch
   * has. Without it every call makes new arrays, which costs time where outputs are large.
   */
  into?: Float32Array | Readonly<Record<string, Float32Array>>;
}

/** A placed program. */
export interface Parts extends Pick<Placed, 'calls' | 'weightBytes' | 'arenaBytes'> {
  /** Bytes of the weights without what lies between them. */
  contentBytes: number;
  /** Of each output how many calls lead to it, and whether it is probabilities. */
  stages: number[];
  probabilities: boolean[];
  inputs: Port[];
  outputs: Port[];
  layers: LayerPlan[];
}

/** A program with its weights in a memory, which lacks the compiled kernels. */
export interface Packed {
  parts: Parts;
  memory: WebAssembly.Memory;
  /** Threads beside the caller. */
  others: number;
  module: Promise<WebAssembly.Module>;
}

/** A network on packed kernels. Made by `pack` and `load`. */
export class PackedModel {
  /** The inputs and outputs, in the order of the network's. */
  readonly inputs: readonly Port[];
  readonly outputs: readonly Port[];
  readonly #parts: Parts;
  #memory: WebAssembly.Memory | undefined;
  #values: Float32Array;
  readonly #stages: readonly (() => void)[];
  readonly #threads: Threads | undefined;

  private constructor(
    parts: Parts,
    memory: WebAssembly.Memory,
    stages: readonly (() => void)[],
    threads: Threads | undefined,
  ) {
    this.inputs = parts.inputs;
    this.outputs = parts.outputs;
    this.#parts = parts;
    this.#memory = memory;
    this.#values = new Float32Array(memory.buffer);
    this.#stages = stages;
    this.#threads = threads;
  }

  /** Makes a packed network ready to run. */
  static async start({ parts, memory, others, ...made }: Packed): Promise<PackedModel> {
    const { inputs, outputs, weightBytes, arenaBytes, calls } = parts;
    const module = await made.module;
    const kernels = inferenceKernels(module, memory);
    const moved = moveTo(calls, weightBytes);
    const last = outputs.length - 1;
    const stages = outputs.map((_, i) => {
      const end = i === last ? moved.length : parts.stages[i];
      return runnable(moved.slice(i === 0 ? 0 : parts.stages[i - 1], end), kernels, memory);
    });
    const workers =
      others > 0
        ? await Threads.start(
            module,
            memory,
            calls,
            { arenaBytes, inputs, outputs },
            others,
            weightBytes + arenaBytes,
          )
        : undefined;
    return new PackedModel(parts, memory, stages, workers);
  }

  /**
   * The outputs for one example or a batch, one after the other, row by row as in tf.layers. Give the values of the
   * one input, or of all inputs by name; one output comes as it is, several by name.
   *
   * @returns new arrays, or `into` where it is given
   * @throws {ShapeError} where the values are not whole examples, or not as many as `batch` says, and where an array of
   *   `into` has another length than its output.
   * @throws {DataError} for an input, or an output of `into`, that is missing or unknown, and for values that are no
   *   Float32Array.
   * @example
   * const net = await pack(graph);
   * const scores = new Float32Array(10);
   * net.predict(new Float32Array(28 * 28), { into: scores });
   */
  predict(input: Float32Array, options?: PredictOptions): Float32Array;
  predict(
    inputs: Readonly<Record<string, Float32Array>>,
    options?: PredictOptions,
  ): Float32Array | Record<string, Float32Array>;
  predict(
    given: Float32Array | Readonly<Record<string, Float32Array>>,
    options: PredictOptions = {},
  ): Float32Array | Record<string, Float32Array> {
    checkOptions('predict', options, ['batch', 'into']);
    const { inputs, batch } = this.#given('predict', given, options.batch);
    const outputs = this.#outputsFor('predict', batch, options.into);
    this.#all(inputs, outputs, batch);
    if (outputs.length === 1) return outputs[0]!;
    return Object.fromEntries(this.outputs.map(({ name }, i) => [name, outputs[i]!]));
  }

  /** Examples in rounds: every thread gets a share of at most a chunk, and so does the caller. */
  #all(inputs: Float32Array[], outputs: Float32Array[], batch: number): void {
    const threads = this.#threads;
    if (!threads) {
      this.#examples(inputs, outputs, 0, batch);
      return;
    }
    const all = threads.count + 1;
    for (let start = 0; start < batch; start += all * CHUNK) {
      const share = Math.min(CHUNK, Math.ceil((batch - start) / all));
      const from = (i: number): number => Math.min(batch, start + i * share);
      for (let i = 1; i < all; i++) {
        if (from(i) < from(i + 1)) threads.give(i - 1, inputs, from(i), from(i + 1));
      }
      this.#examples(inputs, outputs, start, from(1));
      for (let i = 1; i < all; i++) {
        if (from(i) < from(i + 1)) threads.take(i - 1, outputs, from(i), from(i + 1));
      }
    }
  }

  /**
   * Predicts with a network of several outputs, from the shallowest to the deepest, and computes for each example only
   * what leads to the one at which it leaves. The examples go through one by one, on the thread of the caller.
   * Logits are made probabilities for the decision.
   *
   * Paper: Teerapittayanon, McDanel, Kung, "BranchyNet", 2016, section III-C (algorithm 1).
   *
   * @param options how an example leaves, as `predictEarly` of `@thimble/dynamic` has it
   * @returns `scores`: of each example those of the output at which it left; `exits`: the number of that output, from 0
   * @throws {OptionError} for an unknown policy, and for thresholds below 0, of the wrong number, or with patience
   *   not whole; {ShapeError} where the outputs are not scores of the same classes, and as `predict` does.
   * @example
   * const net = await pack(graph);
   * const { scores, exits } = net.predictEarly(new Float32Array(28 * 28), { threshold: 0.1 });
   */
  predictEarly(
    given: Float32Array | Readonly<Record<string, Float32Array>>,
    options: ExitRuleOptions,
  ): { scores: Float32Array; exits: Int32Array } {
    const owner = 'predictEarly';
    checkOptions(owner, options, ['policy', 'threshold']);
    const { inputs, batch } = this.#given(owner, given);
    const [{ size: classes }] = this.outputs as [Port];
    if (this.outputs.some(({ shape }) => shape.length !== 1 || shape[0] !== classes)) {
      const shapes = this.outputs.map(({ shape }) => `[${shape.join(', ')}]`);
      throw new ShapeError(
        `${owner}: every output must be scores of the same classes, but they are ${shapes.join(', ')}.`,
      );
    }
    const thresholds = thresholdsOf(owner, options, this.outputs.length);
    const rule = new ExitRule(options.policy ?? 'entropy', batch);
    const scores = new Float32Array(batch * classes);
    const exits = new Int32Array(batch);
    const probabilities = new Float32Array(classes);
    const { weightBytes, probabilities: areProbabilities } = this.#parts;
    for (let n = 0; n < batch; n++) {
      this.#put(inputs, n);
      for (const [exit, stage] of this.#stages.entries()) {
        stage();
        const at = (weightBytes + this.outputs[exit]!.offset) >> 2;
        const found = this.#values.subarray(at, at + classes);
        const threshold = thresholds[exit];
        if (threshold !== undefined) {
          probabilities.set(found);
          if (!areProbabilities[exit]) softmaxRows(probabilities, classes);
          const measure = rule.measure(n, probabilities, 0, classes);
          if (!rule.leaves(measure, threshold)) continue;
        }
        scores.set(found, n * classes);
        exits[n] = exit;
        break;
      }
    }
    return { scores, exits };
  }

  /** Puts an example where the network reads it. */
  #put(inputs: readonly Float32Array[], n: number): void {
    const arena = this.#parts.weightBytes;
    for (const [i, { size, offset }] of this.inputs.entries()) {
      const all = inputs[i]!;
      const example = all.length === size ? all : all.subarray(n * size, (n + 1) * size);
      this.#values.set(example, (arena + offset) >> 2);
    }
  }

  #examples(inputs: Float32Array[], outputs: Float32Array[], from: number, to: number): void {
    const arena = this.#parts.weightBytes;
    for (let n = from; n < to; n++) {
      this.#put(inputs, n);
      for (const stage of this.#stages) stage();
      for (const [i, { size, offset }] of this.outputs.entries()) {
        const at = (arena + offset) >> 2;
        outputs[i]!.set(this.#values.subarray(at, at + size), n * size);
      }
    }
  }

  /** The inputs in their order, and how many examples there are. */
  #given(
    owner: string,
    given: Float32Array | Readonly<Record<string, Float32Array>>,
    wanted?: number,
  ): { inputs: Float32Array[]; batch: number } {
    if (!this.#memory) {
      throw new UnsupportedError('This packed model was disposed. Load it again to use it.');
    }
    const inputs = arraysOf(owner, 'input', this.inputs, given);
    const batch = wanted ?? inputs[0]!.length / this.inputs[0]!.size;
    for (const [i, { name, size }] of this.inputs.entries()) {
      if (inputs[i]!.length === batch * size && Number.isInteger(batch) && batch > 0) continue;
      throw new ShapeError(
        `${owner}: input "${name}" has ${inputs[i]!.length} values; an example takes ${size}` +
          `${wanted === undefined ? '' : `, a batch of ${batch} takes ${batch * size}`}.`,
      );
    }
    return { inputs, batch };
  }

  /** New arrays for the outputs, or those that the caller gave. */
  #outputsFor(owner: string, batch: number, into: PredictOptions['into']): Float32Array[] {
    if (into === undefined) return this.outputs.map(({ size }) => new Float32Array(batch * size));
    const arrays = arraysOf(owner, 'output', this.outputs, into);
    for (const [i, { name, size }] of this.outputs.entries()) {
      if (!ArrayBuffer.isView(arrays[i])) throw notValues(owner, 'output', arrays[i]);
      if (arrays[i]!.length === batch * size) continue;
      throw new ShapeError(
        `${owner}: the array for output "${name}" has ${arrays[i]!.length} values; a batch of ${batch} makes ` +
          `${batch * size}.`,
      );
    }
    return arrays;
  }

  /** Which kernel runs each layer, what its weights take, and why it was chosen. */
  explain(): Explanation {
    const { layers, contentBytes, arenaBytes } = this.#parts;
    const print = (): void => {
      const rows = layers.map(({ layer, kernel, bytes, why }) => [
        layer,
        kernel,
        String(bytes),
        why,
      ]);
      const table = [['layer', 'kernel', 'bytes', 'why'], ...rows];
      for (const line of alignColumns(table, table[0]!.length)) console.log(line);
    };
    return {
      layers: layers.map((plan) => ({ ...plan })),
      weightBytes: contentBytes,
      valueBytes: arenaBytes,
      threads: 1 + (this.#threads?.count ?? 0),
      print,
    };
  }

  /** Gives the memory back. May be called twice. */
  dispose(): void {
    if (this.#memory && this.#threads) this.#threads.dispose();
    else if (this.#memory) giveMemory(this.#memory);
    this.#memory = undefined;
    this.#values = new Float32Array(0);
  }
}

/** The values of the one input or output, or those of all by name, in the order of the ports. */
function arraysOf(
  owner: string,
  kind: 'input' | 'output',
  ports: readonly Port[],
  given: Float32Array | Readonly<Record<string, Float32Array>>,
): Float32Array[] {
  const names = ports.map(({ name }) => name);
  if (given instanceof Float32Array) {
    if (names.length === 1) return [given];
    throw new DataError(
      `${owner}: the network has the ${kind}s ${names.join(', ')}; give them by name.`,
    );
  }
  if (!isRecord(given)) throw notValues(owner, kind, given);
  const unknown = Object.keys(given).find((name) => !names.includes(name));
  if (unknown !== undefined) {
    throw new DataError(
      `${owner}: no ${kind} is named "${unknown}". ${kind === 'input' ? 'Inputs' : 'Outputs'}: ${names.join(', ')}.`,
    );
  }
  return names.map((name) => {
    const values = given[name];
    if (!values) throw new DataError(`${owner}: the ${kind} "${name}" is missing.`);
    if (!ArrayBuffer.isView(values) && typeof values[0] !== 'number')
      throw notValues(owner, kind, values);
    return values;
  });
}

/** True for a plain object; no list, other array or tensor. */
function isRecord(given: unknown): boolean {
  if (typeof given !== 'object' || given === null) return false;
  const { constructor: made } = given;
  return made === undefined || made.name === 'Object';
}

function notValues(owner: string, kind: 'input' | 'output', given: unknown): DataError {
  const type = (given as object | undefined)?.constructor.name ?? String(given);
  return new DataError(
    `${owner} takes a Float32Array with all values one after the other, or such by the names of the ${kind}s; this ` +
      `is ${type}. Of nested lists Float32Array.from(list.flat(9)) makes one.`,
  );
}
