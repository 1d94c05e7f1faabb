// Milliseconds of a layer and of its decompositions with half the multiply-accumulates, on `thimble`, in turn in one
// process.
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { layers, summarize, withSeed } from 'thimble';
import { median } from '../statistics.ts';
import type { Measured, Task } from '../task.ts';

interface Case {
  about: string;
  input: number[];
  whole: tfl.layers.Layer;
  parts: Record<string, tfl.layers.Layer>;
}

interface Figures {
  layer: string;
  form: string;
  macs: number;
  /** One time per round. */
  milliseconds: number[];
}

/** A time is that of so many multiply-accumulates of the whole layer, for the clock to tell. */
const MACS = 4e8;

function dense(batch: number, units: number): Case {
  const args = { units, activation: 'relu' as const, inputShape: [units] };
  return {
    about: `dense ${units} x ${units}, batch ${batch}`,
    input: [batch, units],
    whole: tfl.layers.dense(args),
    parts: { 'low rank': layers.lowRankDense({ ...args, rank: units / 4 }) },
  };
}

function conv(batch: number, size: number, channels: number, kernelSize: number): Case {
  const args = {
    filters: channels,
    kernelSize,
    padding: 'same' as const,
    activation: 'relu' as const,
    inputShape: [size, size, channels],
  };
  const taps = kernelSize ** 2;
  const half = (taps * channels ** 2) / 2;
  const ranks = {
    spatial: half / (2 * kernelSize * channels),
    channel: half / (taps * channels + channels),
    // 2 channels r + taps r^2 = half
    tucker2: (Math.sqrt(channels ** 2 + taps * half) - channels) / taps,
  };
  const parts = Object.entries(ranks).map(([scheme, rank]) => [
    `${scheme}, rank ${Math.round(rank)}`,
    layers.lowRankConv2d({ ...args, rank: Math.round(rank), scheme: scheme as 'spatial' }),
  ]);
  return {
    about: `conv ${kernelSize} x ${kernelSize}, ${channels} channels, ${size} x ${size}, batch ${batch}`,
    input: [batch, size, size, channels],
    whole: tfl.layers.conv2d(args),
    parts: Object.fromEntries(parts),
  };
}

function time(model: tfl.LayersModel, x: tf.Tensor, times: number): number {
  const begun = performance.now();
  for (let i = 0; i < times; i++) {
    tf.tidy(() => void (model.predictOnBatch(x) as tf.Tensor).dataSync());
  }
  return (performance.now() - begun) / times;
}

function measure({ about, input, whole, parts }: Case, repeats: number): Figures[] {
  const x = tf.randomUniform(input, 0, 1, 'float32', 1);
  const models = Object.entries({ whole, ...parts }).map(([form, layer]) => {
    const model = withSeed(1, () => tfl.sequential({ layers: [layer] }));
    const macs = summarize(model).total.macs * input[0]!;
    return { model, figures: { layer: about, form, macs, milliseconds: [] } as Figures };
  });
  const times = Math.max(1, Math.round(MACS / models[0]!.figures.macs));
  for (let round = -3; round < repeats; round++) {
    for (const { model, figures } of models) {
      const ms = time(model, x, times);
      if (round >= 0) figures.milliseconds.push(ms); // the first rounds warm up
    }
  }
  x.dispose();
  for (const { model } of models) model.dispose();
  return models.map(({ figures }) => figures);
}

async function run(repeats: number): Promise<Measured> {
  const cases = withSeed(1, () => [
    dense(64, 1024),
    conv(4, 28, 64, 3),
    conv(8, 14, 128, 3),
    conv(4, 28, 32, 5),
  ]);
  const figures = cases.map((each) => measure(each, repeats));
  const rows = figures.flatMap((forms) =>
    forms.map(({ layer, form, macs, milliseconds }, i) => {
      const whole = forms[0]!;
      const ratios = milliseconds.map((ms, round) => ms / whole.milliseconds[round]!);
      return [
        i === 0 ? layer : '',
        form,
        (macs / whole.macs).toFixed(2),
        median(milliseconds).toFixed(2),
        median(ratios).toFixed(2),
      ];
    }),
  );
  const table = [['layer', 'form', 'MACs / whole', 'ms', 'time / whole'], ...rows];
  return { table, figures: figures.flat() };
}

export const decomposed: Task = {
  about: 'what layers of low rank with half the multiply-accumulates cost, on thimble',
  run,
};
