// Small networks made from lists of numbers, which know by themselves how many parameters they have once
// some channels are gone.
import * as tfl from '@tensorflow/tfjs-layers';
import { on, type Value } from './channel-models.ts';

const { layers } = tfl;

/** What becomes of the number of outputs of a layer: how many stay. */
export type Kept = (layer: string) => number;

/** A value of the network under construction. */
interface Made {
  value: Value;
  /** Its channels that stay. */
  width(kept: Kept): number;
}

/** One step of the construction: what is done, and with which choices. */
export type Instruction = readonly [op: number, a: number, b: number, c: number];

export interface RandomNetwork {
  model: tfl.LayersModel;
  /** Counts the parameters that stay, from the sizes of the layers alone. */
  params(kept: Kept): number;
}

const ACTIVATIONS = ['linear', 'relu', 'sigmoid', 'tanh'] as const;
const MERGES = ['add', 'multiply', 'average', 'maximum', 'minimum'] as const;
const channelsOf = ({ value }: Made) => value.shape.at(-1)!;
const spaceOf = ({ value }: Made) => value.shape.slice(1, -1).join();

/** A network of images of 5 x 5 x 2 with one output, or two where the last instruction says so. */
export function randomNetwork(instructions: readonly Instruction[]): RandomNetwork {
  const image = tfl.input({ shape: [5, 5, 2], name: 'image' });
  const values: Made[] = [{ value: image, width: () => 2 }];
  const params: ((kept: Kept) => number)[] = [];
  const shared: { layer: tfl.layers.Layer; channels: number }[] = [];
  let layersMade = 0;
  const name = (kind: string) => `${kind}${layersMade++}`;
  const last = () => values.at(-1)!;
  /** A layer that gives back as many channels as it gets. */
  const same = (layer: tfl.layers.Layer) => {
    const from = last();
    values.push({ value: on(layer, from.value), width: from.width });
  };
  const conv = (from: Made, filters: number, kernelSize: number, activation: number): Made => {
    const own = name('conv');
    const layer = layers.conv2d({
      filters,
      kernelSize,
      padding: 'same',
      activation: ACTIVATIONS[activation % 4],
      name: own,
    });
    shared.push({ layer, channels: channelsOf(from) });
    params.push((kept) => (kernelSize ** 2 * from.width(kept) + 1) * kept(own));
    return { value: on(layer, from.value), width: (kept) => kept(own) };
  };
  const dense = (from: Made, units: number): Made => {
    const own = name('dense');
    params.push((kept) => (from.width(kept) + 1) * kept(own));
    const value = on(layers.dense({ units, activation: 'tanh', name: own }), from.value);
    return { value, width: (kept) => kept(own) };
  };
  const head = (from: Made, a: number, units: number): Value => {
    const positions = from.value.shape.slice(1, -1).reduce<number>((n, size) => n * size!, 1);
    const whole = a % 2 === 0;
    const vector: Made = {
      value: on(whole ? layers.flatten() : layers.globalMaxPooling2d({} as never), from.value),
      width: (kept) => from.width(kept) * (whole ? positions : 1),
    };
    return dense(a % 3 === 0 ? vector : dense(vector, 4), units).value;
  };

  for (const [op, a, b, c] of instructions) {
    const from = last();
    const earlier = values.filter((value) => spaceOf(value) === spaceOf(from));
    const other = earlier[b % earlier.length]!;
    switch (op) {
      case 0:
        values.push(conv(from, 2 + (a % 4), b % 2 ? 3 : 1, c));
        break;
      case 1: {
        const depthMultiplier = channelsOf(from) > 8 ? 1 : 1 + (a % 2);
        const deep = layers.depthwiseConv2d({
          kernelSize: 3,
          padding: 'same',
          depthMultiplier,
          name: name('deep'),
        });
        const width = (kept: Kept) => from.width(kept) * depthMultiplier;
        params.push((kept) => 10 * width(kept));
        values.push({ value: on(deep, from.value), width });
        break;
      }
      case 2: {
        const own = name('separable');
        const depthMultiplier = 1 + (b % 2);
        const layer = layers.separableConv2d({
          filters: 2 + (a % 4),
          kernelSize: 3,
          padding: 'same',
          depthMultiplier,
          activation: ACTIVATIONS[c % 4],
          name: own,
        });
        params.push((kept) => {
          const between = from.width(kept) * depthMultiplier;
          return 9 * between + (between + 1) * kept(own);
        });
        values.push({ value: on(layer, from.value), width: (kept) => kept(own) });
        break;
      }
      case 3:
        params.push((kept) => 4 * from.width(kept));
        same(layers.batchNormalization({ name: name('norm') }));
        break;
      case 4:
        params.push((kept) => from.width(kept));
        same(layers.prelu({ sharedAxes: [1, 2], name: name('slope') }));
        break;
      case 5: {
        // With an earlier value of the same size; a convolution makes it as wide where it is not.
        const wide = channelsOf(other) === channelsOf(from) && other !== from;
        const mate = wide ? from : conv(from, channelsOf(other), 1, c);
        const merge = layers[MERGES[a % MERGES.length]!];
        values.push({
          value: on(merge({ name: name('merge') } as never), other.value, mate.value),
          width: mate.width,
        });
        break;
      }
      case 6:
        if (other === from || channelsOf(other) + channelsOf(from) > 14) break;
        values.push({
          value: on(layers.concatenate({ name: name('joined') }), other.value, from.value),
          width: (kept) => other.width(kept) + from.width(kept),
        });
        break;
      case 7:
        if (from.value.shape[1]! < 4) break;
        same(
          (a % 2 ? layers.maxPooling2d : layers.averagePooling2d)({
            poolSize: 2,
            name: name('pool'),
          }),
        );
        break;
      case 8:
        if (from.value.shape[1]! > 4) break;
        same(layers.upSampling2d({ size: [2, 2], name: name('up') }));
        break;
      case 9: {
        const own = name('transposed');
        const filters = 2 + (a % 3);
        const layer = layers.conv2dTranspose({
          filters,
          kernelSize: 3,
          padding: 'same',
          name: own,
        });
        params.push((kept) => (9 * from.width(kept) + 1) * kept(own));
        values.push({ value: on(layer, from.value), width: (kept) => kept(own) });
        break;
      }
      default: {
        // A convolution that is there already, once more.
        const again = shared.filter(({ channels }) => channels === channelsOf(from))[0];
        if (!again) break;
        const { layer } = again;
        values.push({ value: on(layer, from.value), width: (kept) => kept(layer.name) });
      }
    }
  }
  const [, a, b, c] = instructions.at(-1)!;
  const outputs = [head(last(), a, 2)];
  if (c % 2) outputs.push(head(values[b % values.length]!, b, 3));
  return {
    model: tfl.model({ inputs: image, outputs }),
    params: (kept) => params.reduce((sum, count) => sum + count(kept), 0),
  };
}
