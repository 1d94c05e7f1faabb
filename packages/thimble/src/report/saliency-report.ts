// Saliency maps of some images, for a report.
import * as tf from '@tensorflow/tfjs-core';
import { type BatchSource, eachBatch, rowsOf } from '@thimble/core';
import { saliencyMaps } from './saliency.ts';
import type { Network } from './subject.ts';
import { probabilitiesOf, type Task } from './task.ts';

/** Which pixels the answers hang on. */
export interface Saliency {
  /** Number of the example in the data. */
  example: number;
  /** [height, width] */
  shape: [number, number];
  /** In [0, 1], the mean of the channels. */
  image: number[];
  /** The class that is answered, and the map, its largest value 1. */
  before: { answer: number; map: number[] };
  after: { answer: number; map: number[] };
}

/** Maps of some images, spread over the data; none where the inputs are no images. */
export async function saliencyOf(
  networks: readonly Network[],
  task: Task,
  source: BatchSource,
  count: number,
  [least, largest]: [number, number],
): Promise<Saliency[]> {
  const input = networks[0]!.model.inputs[0]!.shape;
  if (count === 0 || input.length !== 4) return [];
  const rows = Uint32Array.from({ length: count }, (_, i) => Math.floor((i * source.size) / count));
  const found: Saliency[] = [];
  const kind = task.classes === 0 ? 'values' : task.logits ? 'logits' : 'probabilities';
  const pass = { batchSize: count, progress: false };
  await eachBatch(rowsOf(source, rows), pass, 'saliency', async ({ xs }) => {
    const x = xs[0]!;
    const [, height, width] = x.shape as [number, number, number];
    const size = height * width;
    const grey = tf.tidy(() => tf.div(tf.sub(tf.mean(x, -1), least), largest - least).dataSync());
    const sides = [];
    for (const { model, predict } of networks) {
      const maps = tf.tidy(() =>
        saliencyMaps(model, x, { outputs: kind }).dataSync(),
      ) as Float32Array;
      const values = await predict(x);
      sides.push({ maps, values });
    }
    for (const [i, example] of rows.entries()) {
      const [was, is] = sides.map(({ maps, values }) => {
        const map = maps.subarray(i * size, (i + 1) * size);
        const most = map.reduce((a, b) => Math.max(a, b), 0) || 1;
        return {
          answer: answerOf(task, values, i, count),
          map: Array.from(map, (v) => round(v / most)),
        };
      });
      const image = Array.from(grey.subarray(i * size, (i + 1) * size), round);
      found.push({ example, shape: [height, width], image, before: was!, after: is! });
    }
  });
  return found;
}

/** The class that is answered; of regression the first number. */
function answerOf(task: Task, values: Float32Array, row: number, rows: number): number {
  if (task.classes === 0) return values[(row * values.length) / rows]!;
  const all = probabilitiesOf(task, values, rows);
  const own = all.subarray(row * task.classes, (row + 1) * task.classes);
  return own.indexOf(own.reduce((a, b) => Math.max(a, b)));
}

function round(value: number): number {
  return Math.round(value * 1000) / 1000;
}
