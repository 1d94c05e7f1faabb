// Seeds of the layers that draw random numbers in training. Stock Dropout with a seed draws the same
// mask at every step; GaussianNoise, GaussianDropout, AlphaDropout and the dropout of recurrent layers
// have no seed. Here a layer with a `seed` draws step n from (seed, n): a fresh mask at every step, the
// same ones in every run. Without a seed a layer is the stock one, which draws from Math.random.
import { dispose, type Tensor } from '@tensorflow/tfjs-core';
import { layers } from '@tensorflow/tfjs-layers';
import { hashSeed, withSeed } from '@thimble/base';
import { owning, patchCall } from './patch.ts';

type Seeded = { seed?: number | null; goBackwards?: boolean; cell?: Cell };
type Masks = Tensor | Tensor[] | null;
type Cell = { dropoutMask?: Masks; recurrentDropoutMask?: Masks; cells?: Cell[] };
type Config = Record<string, unknown>;
type Class = {
  prototype: object;
  fromConfig(this: unknown, cls: unknown, config: Config, custom?: Config): Seeded;
};

/** How many training steps a seeded layer has drawn for. */
const steps = new WeakMap<object, number>();

/**
 * Seeds noise layers from their property `seed`. Only Dropout takes it as an option; set it on all others
 * (`layer.seed = 7`). It goes through saving and loading, and through a seed in a loaded Keras model.
 */
export function installNoise(): void {
  const name = 'sample';
  const units = { name, units: 1 };
  const cell = layers.simpleRNNCell(units);
  const dropout = layers.dropout({ name, rate: 0 });
  const noises = [
    layers.gaussianNoise({ name, stddev: 0 }),
    layers.gaussianDropout({ name, rate: 0 }),
    layers.alphaDropout({ name, rate: 0 }),
  ];
  // The recurrent layers all run through the `call` of RNN.
  const rnn = layers.rnn({ name, cell });
  const recurrent = [
    layers.simpleRNN(units),
    layers.gru(units),
    layers.lstm(units),
    layers.convLstm2d({ name, filters: 1, kernelSize: 1 }),
  ];
  for (const sample of [dropout, rnn, ...noises]) patchCall<Seeded>(sample, seeded);
  for (const sample of [rnn, ...noises]) saveSeed(sample);
  for (const sample of [rnn, ...recurrent, ...noises]) loadSeed(sample);
}

const seeded: Parameters<typeof patchCall<Seeded>>[1] = (layer, stock, inputs, kwargs) => {
  if (layer.cell) dropMasks(layer.cell);
  const { seed } = layer;
  if (typeof seed !== 'number' || !kwargs.training) return stock(inputs, kwargs);
  const step = steps.get(layer) ?? 0;
  steps.set(layer, step + 1);
  const drawn = hashSeed(seed, step, layer.goBackwards ? 'backwards' : 'forwards');
  // Dropout hands its seed on to the op, all others draw from Math.random.
  layer.seed = drawn;
  try {
    return withSeed(drawn, () => stock(inputs, kwargs));
  } finally {
    layer.seed = seed;
  }
};

/**
 * Forgets the masks of the last call. Stock does so in LSTM, GRU and SimpleRNN; an RNN of cells keeps
 * its first mask, for inference too.
 */
function dropMasks(cell: Cell): void {
  for (const each of cell.cells ?? []) dropMasks(each);
  for (const name of ['dropoutMask', 'recurrentDropoutMask'] as const) {
    const mask = cell[name];
    if (!mask) continue;
    dispose(mask);
    cell[name] = null;
  }
}

const OURS = Symbol.for('thimble.seed');

/** Writes a seed into the config, where the class does not. */
function saveSeed(sample: object): void {
  const owner = owning(sample, 'getConfig') as { getConfig(): Config; [OURS]?: true };
  if (owner[OURS]) return;
  owner[OURS] = true;
  const stock = owner.getConfig;
  owner.getConfig = function (this: Seeded) {
    const config = stock.call(this);
    return typeof this.seed === 'number' ? { ...config, seed: this.seed } : config;
  };
}

/** Reads a seed from the config, where the constructor does not. */
function loadSeed(sample: object): void {
  const owner = sample.constructor as unknown as Class & { [OURS]?: true };
  if (Object.hasOwn(owner, OURS)) return;
  owner[OURS] = true;
  const stock = owner.fromConfig;
  owner.fromConfig = function (this: unknown, cls, config, custom) {
    const layer = stock.call(this, cls, config, custom);
    if (typeof config.seed === 'number') layer.seed = config.seed;
    return layer;
  };
}
