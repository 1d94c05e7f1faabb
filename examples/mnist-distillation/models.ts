// The networks of the example. Both presets work on images of 28 x 28 with one channel and 10 classes.
import * as tfl from '@tensorflow/tfjs-layers';
import { withSeed } from 'thimble';

const INPUT = [28, 28, 1];
const CLASSES = 10;

/** The quick preset's teacher: two strided convolutions and a hidden layer; 207,178 parameters. */
export function convTeacher(seed: number): tfl.Sequential {
  return withSeed(seed, () =>
    tfl.sequential({
      name: 'teacher',
      layers: [
        tfl.layers.conv2d({
          filters: 16,
          kernelSize: 5,
          strides: 2,
          padding: 'same',
          activation: 'relu',
          inputShape: INPUT,
        }),
        tfl.layers.conv2d({
          filters: 32,
          kernelSize: 3,
          strides: 2,
          padding: 'same',
          activation: 'relu',
        }),
        tfl.layers.flatten(),
        tfl.layers.dense({ units: 128, activation: 'relu' }),
        tfl.layers.dense({ units: CLASSES }),
      ],
    }),
  );
}

export interface MlpOptions {
  name: string;
  hidden: number[];
  /** Dropout rates of the input and of each hidden layer, as Hinton's teacher has them. */
  dropout?: { input: number; hidden: number };
  /** Bound on the length of each hidden unit's incoming weights. */
  maxNorm?: number;
}

/** A multi-layer perceptron that gives logits. */
export function mlp(seed: number, { name, hidden, dropout, maxNorm }: MlpOptions): tfl.Sequential {
  return withSeed(seed, () => {
    const layers: tfl.layers.Layer[] = [tfl.layers.flatten({ inputShape: INPUT })];
    if (dropout) layers.push(tfl.layers.dropout({ rate: dropout.input }));
    for (const units of hidden) {
      const bounded =
        maxNorm === undefined
          ? {}
          : { kernelConstraint: tfl.constraints.maxNorm({ maxValue: maxNorm, axis: 0 }) };
      layers.push(tfl.layers.dense({ units, activation: 'relu', ...bounded }));
      if (dropout) layers.push(tfl.layers.dropout({ rate: dropout.hidden }));
    }
    layers.push(tfl.layers.dense({ units: CLASSES }));
    return tfl.sequential({ name, layers });
  });
}
