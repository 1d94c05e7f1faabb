// thimble bench
import * as tf from '@tensorflow/tfjs-core';
import { Random, sizeOf, textTable, UnsupportedError } from '@thimble/base';
import { median as middleOf, runtime, timesInTurn } from 'thimble';
import type { Context, Outcome } from '../context.ts';
import { UsageError } from '../failure.ts';
import { readModel } from '../model-file.ts';

export interface BenchOptions {
  batch?: number;
  repeats?: number;
  threads?: number;
}

/** Bytes that a batch may take: every engine has a copy in a memory of at most 4 GiB. */
const MOST_BYTES = 2 ** 29;

interface Engine {
  name: string;
  run(): Promise<void> | void;
  end(): void;
}

export async function bench(
  path: string,
  { batch = 1, repeats = 50, threads = 1 }: BenchOptions,
  { progress, signal }: Context,
): Promise<Outcome> {
  const file = await readModel(path);
  const model = await file.model();
  const shapes = model.inputs.map(({ shape }) => shape.slice(1));
  const open = shapes.find((shape) => shape.includes(null));
  if (open) {
    throw new UnsupportedError(
      `The model takes inputs of the shape [${open.map((n) => n ?? '?').join(', ')}], of which sizes are open. Give its ` +
        'first layer an inputShape without null.',
    );
  }
  const bytes = 4 * (shapes as number[][]).reduce((sum, shape) => sum + sizeOf(shape), 0);
  if (batch * bytes > MOST_BYTES) {
    throw new UsageError(
      `--batch ${batch}: at most ${Math.floor(MOST_BYTES / bytes)} examples of this network fit into memory.`,
    );
  }
  const random = new Random(0);
  const inputs = (shapes as number[][]).map((shape) =>
    Float32Array.from({ length: batch * sizeOf(shape) }, () => random.uniform()),
  );
  const engines: Engine[] = [];
  let plan: runtime.Explanation | undefined;
  const notes: string[] = [];
  try {
    const net = await runtime.pack(file.graph, { threads });
    plan = net.explain();
    const named = Object.fromEntries(net.inputs.map(({ name }, i) => [name, inputs[i]!]));
    const run = () => {
      if (inputs.length === 1) net.predict(inputs[0]!, { batch });
      else net.predict(named, { batch });
    };
    engines.push({ name: 'packed', run, end: () => net.dispose() });
  } catch (error) {
    if (!(error instanceof UnsupportedError)) throw error;
    notes.push(`Not packed: ${error.message}`);
  }
  for (const backend of ['thimble', 'wasm']) {
    const xs = inputs.map((values, i) => tf.tensor(values, [batch, ...(shapes[i] as number[])]));
    const run = async () => {
      if (tf.getBackend() !== backend) await tf.setBackend(backend);
      const outputs = [tf.tidy(() => model.predict(xs.length === 1 ? xs[0]! : xs))].flat();
      for (const output of outputs) output.dataSync();
      tf.dispose(outputs);
    };
    engines.push({ name: `tfjs, ${backend}`, run, end: () => tf.dispose(xs) });
  }
  const runs = engines.map(({ run }) => run);
  const times = await timesInTurn(runs, { repeats, progress, signal });
  for (const engine of engines) engine.end();
  const results = engines.map(({ name }, i) => {
    const median = middleOf(times[i]!);
    const fastest = Math.min(...times[i]!);
    return { engine: name, median, fastest, perExample: median / batch };
  });
  const slowest = Math.max(...results.map(({ median }) => median));
  const figure = (ms: number) => ms.toPrecision(3);
  const rows = results.map(({ engine, median, fastest, perExample }) => [
    engine,
    figure(median),
    figure(fastest),
    figure(perExample),
    `${(slowest / median).toFixed(2)}x`,
  ]);
  const table = textTable([
    ['engine', 'median ms', 'fastest ms', 'ms an example', 'faster'],
    ...rows,
  ]);
  const about = `${path}: batches of ${batch}, ${repeats} of each engine in turn, Node ${process.versions.node}.`;
  return {
    text: [about, '', table, ...notes].join('\n'),
    json: {
      path,
      batch,
      repeats,
      threads: plan?.threads ?? 1,
      results,
      layers: plan?.layers ?? [],
      notes,
    },
  };
}
