// Layers replaced by chains of others.
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { NoMatchError } from '@thimble/base';
import { type NewLayer, replaceLayers } from '@thimble/core';
import { expectSameOutputs, outputs, savedAndLoaded, useCpu } from '@thimble/testing';
import { expect, it } from 'vitest';

useCpu();

const { dense } = tfl.layers;
/** Two dense layers in the place of one: by a matrix, then by its multiple of the unit matrix. */
const chain = (kernel: tf.Tensor, factor: number): NewLayer[] => [
  {
    layer: dense({ name: 'half', units: 3, useBias: false }),
    weights: [tf.mul(kernel, 1 / factor)],
  },
  { layer: dense({ units: 3 }), weights: [tf.mul(tf.eye(3), factor), tf.zeros([3])] },
];
const x = () => tf.tensor2d([1, 2, 3, -4, 5, 6], [2, 3]);
const close = (a: tfl.LayersModel, b: tfl.LayersModel) => {
  const [before, after] = [outputs(a, x()), outputs(b, x())];
  for (const [i, y] of before.entries()) expect(after[i]).toBeCloseTo(y, 4);
};

it('puts a chain first in a Sequential, whose input it takes over', async () => {
  const model = tfl.sequential({
    layers: [
      dense({ name: 'first', units: 3, inputShape: [3] }),
      dense({ name: 'last', units: 2 }),
    ],
  });
  const first = model.layers[0]!;
  const made = replaceLayers(model, new Map([[first, chain(first.getWeights()[0]!, 2)]]));
  expect(made.layers.map(({ name }) => name)).toEqual(['half', 'first', 'last']);
  close(model, made);
  expectSameOutputs(made, await savedAndLoaded(made), x());
});

it('follows every application of a shared layer, also inside a nested model', () => {
  const shared = dense({ name: 'shared', units: 3, activation: 'linear' });
  const input = tfl.input({ shape: [3] });
  const once = shared.apply(input) as tfl.SymbolicTensor;
  const sum = tfl.layers.add().apply([once, shared.apply(once) as tfl.SymbolicTensor]);
  const inner = tfl.model({ name: 'inner', inputs: input, outputs: sum as tfl.SymbolicTensor });
  const outside = tfl.input({ shape: [3] });
  const model = tfl.model({
    inputs: outside,
    outputs: dense({ units: 2 }).apply(inner.apply(outside)) as tfl.SymbolicTensor,
  });
  const made = replaceLayers(model, new Map([[shared, chain(shared.getWeights()[0]!, 4)]]));
  close(model, made);
});

it('refuses layers that are not in the model, and names that are taken', () => {
  const model = tfl.sequential({
    layers: [dense({ name: 'half', units: 3, inputShape: [3] }), dense({ name: 'b', units: 3 })],
  });
  const kernel = tf.eye(3);
  const stranger = dense({ name: 'stranger', units: 3 });
  expect(() => replaceLayers(model, new Map([[stranger, chain(kernel, 1)]]))).toThrow(NoMatchError);
  expect(() => replaceLayers(model, new Map([[model.layers[1]!, chain(kernel, 1)]]))).toThrow(
    /"half" has the name of one that is there already/,
  );
});
