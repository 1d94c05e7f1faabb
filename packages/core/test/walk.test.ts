import * as tfl from '@tensorflow/tfjs-layers';
import { walkLayers } from '@thimble/core';
import { useCpu } from '@thimble/testing';
import { expect, it } from 'vitest';

useCpu();

it('walks nested models and wrappers, each layer once', () => {
  const { input, dense, timeDistributed, bidirectional, lstm, add } = tfl.layers;
  const nested = tfl.sequential({
    name: 'nested',
    layers: [dense({ units: 2, inputShape: [2], name: 'inside' })],
  } as never);
  const both = bidirectional({
    layer: lstm({ units: 2, name: 'lstm' }) as tfl.RNN,
    mergeMode: 'sum',
    name: 'both',
  });
  const steps = timeDistributed({ layer: nested, name: 'steps' });
  const x = input({ shape: [3, 2], name: 'x' });
  const read = both.apply(steps.apply(x)) as tfl.SymbolicTensor;
  const shared = dense({ units: 2, name: 'shared' });
  const ends = [read, read].map((y) => shared.apply(y) as tfl.SymbolicTensor);
  const y = add({ name: 'sum' }).apply(ends) as tfl.SymbolicTensor;
  const model = tfl.model({ inputs: x, outputs: y });
  expect(walkLayers(model).map((layer) => layer.name)).toEqual([
    'x',
    'steps',
    'nested',
    'inside',
    'both',
    'forward_lstm',
    'backward_lstm',
    'shared',
    'sum',
  ]);
  expect(walkLayers(both)).toEqual(walkLayers(model).slice(4, 7));
});

it('walks stacked cells; a single cell stands for nothing but its layer', () => {
  const { dense, rnn, gruCell, lstmCell } = tfl.layers;
  const stacked = rnn({
    name: 'stacked',
    cell: [gruCell({ units: 2, name: 'first' }), lstmCell({ units: 2, name: 'second' })] as never,
    returnSequences: true,
    inputShape: [3, 2],
  });
  const single = rnn({ name: 'single', cell: gruCell({ units: 2, name: 'only' }) as never });
  const model = tfl.sequential({ layers: [stacked, single, dense({ units: 1, name: 'end' })] });
  const names = ['stacked', 'first', 'second', 'single', 'end'];
  expect(walkLayers(model).map(({ name }) => name)).toEqual(names);
});
