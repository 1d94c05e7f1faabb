// Milliseconds of a prediction at each width of a slimmable network, on `thimble`: the slimmable network, the
// plain one that `extractWidth` makes of each width, and the multiply-accumulates of both, in turn in one process.
import * as tf from '@tensorflow/tfjs-core';
import type * as tfl from '@tensorflow/tfjs-layers';
import { extractWidth, setWidth, summarize } from 'thimble';
import { median } from '../statistics.ts';
import type { Measured, Task } from '../task.ts';
import { slimmableNetwork, WIDTHS } from './dynamic-networks.ts';

const BATCHES = [1, 4];

interface Figures {
  batch: number;
  width: number;
  macs: number;
  /** One time per round. */
  slimmable: number[];
  /** The first prediction after a switch, which cuts the kernels. */
  switched: number[];
  plain: number[];
}

function time(model: tfl.LayersModel, x: tf.Tensor): number {
  const begun = performance.now();
  tf.tidy(() => (model.predict(x) as tf.Tensor).dataSync());
  return performance.now() - begun;
}

async function measure(batch: number, repeats: number): Promise<Figures[]> {
  const model = slimmableNetwork();
  const x = tf.randomUniform([batch, 48, 48, 3], 0, 1, 'float32', 1);
  const plain: tfl.LayersModel[] = [];
  const figures: Figures[] = [];
  for (const width of WIDTHS) {
    plain.push(await extractWidth(model, width));
    setWidth(model, width);
    const { macs } = summarize(model).total;
    figures.push({ batch, width, macs, slimmable: [], switched: [], plain: [] });
  }
  for (let round = 0; round < repeats; round++) {
    for (const [i, each] of figures.entries()) {
      setWidth(model, each.width);
      each.switched.push(time(model, x));
      time(model, x);
      each.slimmable.push(time(model, x));
      time(plain[i]!, x);
      time(plain[i]!, x);
      each.plain.push(time(plain[i]!, x));
    }
  }
  for (const each of [model, ...plain]) each.dispose();
  x.dispose();
  return figures;
}

async function run(repeats: number): Promise<Measured> {
  const figures: Figures[] = [];
  for (const batch of BATCHES) figures.push(...(await measure(batch, repeats)));
  const rows = figures.map((each) => {
    const whole = figures.find(({ batch, width }) => batch === each.batch && width === 1)!;
    const ratio = (over: number[], under: number[]) =>
      median(over.map((ms, round) => ms / under[round]!)).toFixed(3);
    return [
      each.width === WIDTHS[0] ? `${each.batch}` : '',
      `${each.width}`,
      (each.macs / whole.macs).toFixed(3),
      median(each.slimmable).toFixed(2),
      ratio(each.slimmable, whole.slimmable),
      median(each.switched).toFixed(2),
      median(each.plain).toFixed(2),
      ratio(each.slimmable, each.plain),
    ];
  });
  const head = ['batch', 'width', 'MACs / whole', 'slimmable, ms', 'slimmable / whole'];
  return { table: [[...head, 'switched, ms', 'plain, ms', 'slimmable / plain'], ...rows], figures };
}

export const dynamic: Task = {
  about: 'what a prediction of a slimmable network costs at each width, on thimble',
  run,
};
