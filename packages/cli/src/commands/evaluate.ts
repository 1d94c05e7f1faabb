// thimble eval
import * as tf from '@tensorflow/tfjs-core';
import { startProgress, textTable, UnsupportedError } from '@thimble/base';
import { type BatchSource, classScores, predictAll, regressionScores, runtime } from 'thimble';
import type { Context, Outcome } from '../context.ts';
import { type DataOptions, loadExamples } from '../data/load.ts';
import { type ModelFile, readModel } from '../model-file.ts';
import { count } from '../text.ts';

export interface EvalOptions extends DataOptions {
  engine?: 'packed' | 'tfjs';
}

const BATCH = 100;

export async function evaluate(
  path: string,
  options: EvalOptions,
  context: Context,
): Promise<Outcome> {
  const file = await readModel(path);
  const model = await file.model();
  const { source, examples } = await loadExamples(model, options, context);
  const { engine, values } = await outputsOf(file, source, options.engine, context);
  const outputs = values.length / source.size;
  const about = { path, data: examples.name, examples: source.size, engine };
  const head = `${path} on ${examples.name} (${count(source.size)} examples), ${engine === 'packed' ? 'packed kernels' : 'TensorFlow.js'}`;
  if (outputs > 1 && examples.labels.width === 1) {
    const { labels } = examples;
    const numbers = Array.from({ length: source.size }, (_, i) => labels.values[i]!);
    const result = classScores(values, numbers, outputs);
    const names = file.notes.labels ?? examples.classNames;
    const rows = result.perClass.map(({ examples: n, right }, i) => [
      names?.[i] ?? String(i),
      count(n),
      n > 0 ? (right / n).toFixed(4) : '',
    ]);
    return {
      text: [
        `${head}: accuracy ${result.accuracy.toFixed(4)}, ${count(result.errors)} errors.`,
        '',
        textTable([['class', 'examples', 'accuracy'], ...rows]),
      ].join('\n'),
      json: { ...about, ...result },
    };
  }
  const result = regressionScores(values, targetsOf(source));
  return {
    text: `${head}: mean absolute error ${result.mae.toPrecision(4)}, root mean square ${result.rmse.toPrecision(4)}.`,
    json: { ...about, ...result },
  };
}

/** The outputs for all examples; of a network with several exits those of the last. */
async function outputsOf(
  { graph, format, model }: ModelFile,
  source: BatchSource,
  engine: 'packed' | 'tfjs' | undefined,
  { progress, signal }: Context,
): Promise<{ engine: 'packed' | 'tfjs'; values: Float32Array }> {
  const wanted = engine ?? (format === 'thimble' ? 'packed' : 'tfjs');
  if (wanted === 'packed') {
    try {
      return { engine: wanted, values: await packedOutputs(graph, source, progress, signal) };
    } catch (error) {
      if (engine === 'packed' || !(error instanceof UnsupportedError)) throw error;
    }
  }
  const found = await predictAll(await model(), source, { batchSize: BATCH, progress, signal });
  return { engine: 'tfjs', values: found.at(-1)!.values };
}

async function packedOutputs(
  graph: ModelFile['graph'],
  source: BatchSource,
  progress: Context['progress'],
  signal: AbortSignal,
): Promise<Float32Array> {
  const net = await runtime.pack(graph);
  const bar = startProgress(progress, 'evaluating', source.size);
  try {
    const last = net.outputs.at(-1)!;
    const values = new Float32Array(source.size * last.size);
    for (let start = 0; start < source.size; start += BATCH) {
      signal.throwIfAborted();
      const n = Math.min(BATCH, source.size - start);
      const raw = source.batch(Uint32Array.from({ length: n }, (_, i) => start + i));
      const { xs } = raw as { xs: tf.Tensor };
      const found = net.predict(xs.dataSync() as Float32Array, { batch: n });
      tf.dispose(raw as unknown as tf.TensorContainer);
      values.set(found instanceof Float32Array ? found : found[last.name]!, start * last.size);
      bar.update(start + n);
      await new Promise((resolve) => setImmediate(resolve)); // lets an interrupt arrive
    }
    return values;
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
