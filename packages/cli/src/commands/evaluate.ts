// thimble eval
import * as tf from '@tensorflow/tfjs-core';
import type { LayersModel } from '@tensorflow/tfjs-layers';
import {
  type ExitPolicy,
  type ExitRuleOptions,
  largestOf,
  OptionError,
  startProgress,
  textTable,
  UnsupportedError,
} from '@thimble/base';
import { type BatchSource, classScores, predictAll, regressionScores, runtime } from 'thimble';
import type { Context, Outcome } from '../context.ts';
import { checkNumbers, classNumbers } from '../data/examples.ts';
import { type DataOptions, loadExamples } from '../data/load.ts';
import { type ModelFile, readModel } from '../model-file.ts';
import { count } from '../text.ts';

export interface EvalOptions extends DataOptions {
  engine?: 'packed' | 'tfjs';
  /** At which an example leaves: one for all exits, or one for each but the last. */
  threshold?: number[];
  policy?: ExitPolicy;
}

/** What a network says of all examples, and where they left it. */
interface Found {
  values: Float32Array;
  exits?: Int32Array;
}

const BATCH = 100;

export async function evaluate(
  path: string,
  options: EvalOptions,
  context: Context,
): Promise<Outcome> {
  const file = await readModel(path);
  const early = exitRuleOf(file, options);
  const model = await file.model();
  const { labels } = file.notes;
  const { source, examples } = await loadExamples(model, options, context, labels);
  checkNumbers(examples, model.outputs.at(-1)!.shape.at(-1) ?? 1);
  const { engine, values, exits } = await outputsOf(file, source, options.engine, early, context);
  const outputs = values.length / source.size;
  const numbers = classNumbers(examples, outputs, endsInSigmoid(model));
  const about = { path, data: examples.name, examples: source.size, engine };
  const head = `${path} on ${examples.name} (${count(source.size)} examples), ${engine === 'packed' ? 'packed kernels' : 'TensorFlow.js'}`;
  if (numbers) {
    const scores = outputs === 1 ? bothOf(values) : values;
    const result = classScores(scores, numbers, scores.length / source.size);
    const names = file.notes.labels ?? examples.classNames;
    const rows = result.perClass.map(({ examples: n, right }, i) => [
      names?.[i] ?? String(i),
      ...accuracyOf(n, right),
    ]);
    const left = exits && exitsOf(exits, values, numbers, file.graph.outputs.length);
    const exitTable = left && [
      '',
      textTable([
        ['exit', 'examples', 'accuracy'],
        ...left.map(({ examples: n, right }, i) => [String(i + 1), ...accuracyOf(n, right)]),
      ]),
    ];
    return {
      text: [
        `${head}: accuracy ${result.accuracy.toFixed(4)}, ${count(result.errors)} errors.`,
        ...(exitTable ?? []),
        '',
        textTable([['class', 'examples', 'accuracy'], ...rows]),
      ].join('\n'),
      json: { ...about, ...result, ...(left ? { perExit: left } : {}) },
    };
  }
  const result = regressionScores(values, targetsOf(source));
  return {
    text: `${head}: mean absolute error ${result.mae.toPrecision(4)}, root mean square ${result.rmse.toPrecision(4)}.`,
    json: { ...about, ...result },
  };
}

function endsInSigmoid({ outputs }: LayersModel): boolean {
  return outputs.at(-1)!.sourceLayer.getConfig().activation === 'sigmoid';
}

/** The probabilities of both classes, from those of the second. */
function bothOf(values: Float32Array): Float32Array {
  return Float32Array.from({ length: 2 * values.length }, (_, i) =>
    i % 2 === 0 ? 1 - values[i / 2]! : values[(i - 1) / 2]!,
  );
}

/** By what examples leave; undefined where all go to the end. Looked at before anything is loaded. */
function exitRuleOf(
  { graph }: ModelFile,
  { engine, threshold, policy }: EvalOptions,
): ExitRuleOptions | undefined {
  if (!threshold) {
    if (policy) throw new OptionError('--policy goes with --threshold.');
    return undefined;
  }
  if (engine === 'tfjs') {
    throw new OptionError('--threshold runs on packed kernels; leave --engine out.');
  }
  if (graph.outputs.length === 1) {
    throw new OptionError(
      '--threshold is for networks with early exits, and this one has none. The recipe anytime makes one.',
    );
  }
  return {
    threshold: threshold.length === 1 ? threshold[0]! : threshold,
    ...(policy ? { policy } : {}),
  };
}

/** Cells of a table: examples, and the share of them that is right. */
function accuracyOf(examples: number, right: number): [string, string] {
  return [count(examples), examples > 0 ? (right / examples).toFixed(4) : ''];
}

/** How many examples left at each exit, and how many of them are right. */
function exitsOf(
  exits: Int32Array,
  values: Float32Array,
  labels: readonly number[],
  count: number,
): { examples: number; right: number }[] {
  const classes = values.length / exits.length;
  return Array.from({ length: count }, (_, exit) => {
    const here = labels.flatMap((label, n) => (exits[n] === exit ? [{ label, n }] : []));
    const right = here.filter(({ label, n }) => largestOf(values, n * classes, classes) === label);
    return { examples: here.length, right: right.length };
  });
}

/** The outputs for all examples; of a network with several exits those of the last, unless examples leave before. */
async function outputsOf(
  { graph, format, model }: ModelFile,
  source: BatchSource,
  engine: EvalOptions['engine'],
  early: ExitRuleOptions | undefined,
  { progress, signal }: Context,
): Promise<Found & { engine: 'packed' | 'tfjs' }> {
  const wanted = engine ?? (early || format === 'thimble' ? 'packed' : 'tfjs');
  if (wanted === 'packed') {
    try {
      return { engine: wanted, ...(await packedOutputs(graph, source, early, progress, signal)) };
    } catch (error) {
      if (engine === 'packed' || early || !(error instanceof UnsupportedError)) throw error;
    }
  }
  const found = await predictAll(await model(), source, { batchSize: BATCH, progress, signal });
  return { engine: 'tfjs', values: found.at(-1)!.values };
}

async function packedOutputs(
  graph: ModelFile['graph'],
  source: BatchSource,
  early: ExitRuleOptions | undefined,
  progress: Context['progress'],
  signal: AbortSignal,
): Promise<Found> {
  const net = await runtime.pack(graph);
  const bar = startProgress(progress, 'evaluating', source.size);
  try {
    const last = net.outputs.at(-1)!;
    const values = new Float32Array(source.size * last.size);
    const exits = new Int32Array(early ? source.size : 0);
    for (let start = 0; start < source.size; start += BATCH) {
      signal.throwIfAborted();
      const n = Math.min(BATCH, source.size - start);
      const raw = source.batch(Uint32Array.from({ length: n }, (_, i) => start + i));
      const { xs } = raw as { xs: tf.Tensor };
      const x = xs.dataSync() as Float32Array;
      if (early) {
        const found = net.predictEarly(x, early);
        values.set(found.scores, start * last.size);
        exits.set(found.exits, start);
      } else {
        const found = net.predict(x, { batch: n });
        values.set(found instanceof Float32Array ? found : found[last.name]!, start * last.size);
      }
      tf.dispose(raw as unknown as tf.TensorContainer);
      bar.update(start + n);
      await new Promise((resolve) => setImmediate(resolve)); // lets an interrupt arrive
    }
    return { values, ...(early ? { exits } : {}) };
  } finally {
    bar.stop();
    net.dispose();
  }
}

/** The labels of all examples, as the outputs are. */
function targetsOf(source: BatchSource): Float32Array {
  const raw = source.batch(Uint32Array.from({ length: source.size }, (_, i) => i));
  const { ys } = raw as { ys: tf.Tensor };
  const targets = Float32Array.from(ys.dataSync());
  tf.dispose(raw as unknown as tf.TensorContainer);
  return targets;
}
