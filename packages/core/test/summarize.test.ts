import * as tfl from '@tensorflow/tfjs-layers';
import { UnsupportedError } from '@thimble/base';
import { lower, parametrize, parametrizedWeights, summarize } from '@thimble/core';
import { validateGraph } from '@thimble/graph';
import { useCpu } from '@thimble/testing';
import { describe, expect, it, vi } from 'vitest';
import { scaled } from './transforms.ts';

useCpu();

const {
  input, dense, conv1d, conv2d, depthwiseConv2d, separableConv2d, conv2dTranspose, flatten, reshape,
  batchNormalization, embedding, lstm, gru, bidirectional, timeDistributed, maxPooling2d, add, prelu,
} = tfl.layers; // biome-ignore format: names
const symbolic = (x: unknown) => x as tfl.SymbolicTensor;
const macs = (model: tfl.LayersModel) => summarize(model).layers.map((layer) => layer.macs);

describe('summarize', () => {
  it('counts LeNet-5 of Caffe: 431,080 parameters', () => {
    const model = tfl.sequential({
      layers: [
        conv2d({ filters: 20, kernelSize: 5, inputShape: [28, 28, 1] }),
        maxPooling2d({ poolSize: 2 }),
        conv2d({ filters: 50, kernelSize: 5 }),
        maxPooling2d({ poolSize: 2 }),
        flatten(),
        dense({ units: 500, activation: 'relu' }),
        dense({ units: 10 }),
      ],
    });
    const { total, layers } = summarize(model);
    expect(total.params).toBe(431_080);
    expect(total.params).toBe(model.countParams());
    expect(total.bits).toBe(431_080 * 32);
    expect(total.bytes).toBe(431_080 * 4);
    // 24x24 x 5x5x1x20, 8x8 x 5x5x20x50, 800x500, 500x10
    expect(layers.map((layer) => layer.macs).filter((n) => n > 0)).toEqual([
      288_000, 1_600_000, 400_000, 5_000,
    ]);
  });

  it('counts every kind of layer', () => {
    const image = tfl.sequential({
      layers: [
        depthwiseConv2d({ kernelSize: 3, inputShape: [8, 8, 2], depthMultiplier: 2 }), // 6x6 x 3x3x2x2
        separableConv2d({ filters: 3, kernelSize: 3 }), // 4x4 x (3x3x4 + 4x3)
        batchNormalization(),
        prelu(),
        conv2dTranspose({ filters: 2, kernelSize: 2, strides: 2 }), // 4x4 x 2x2x2x3
        reshape({ targetShape: [64, 2] }),
        conv1d({ filters: 5, kernelSize: 4, strides: 4 }), // 16 x 4x2x5
      ],
    });
    expect(macs(image)).toEqual([1296, 768, 0, 0, 384, 0, 640]);
    const text = tfl.sequential({
      layers: [
        embedding({ inputDim: 50, outputDim: 3, inputLength: 7 }),
        bidirectional({
          layer: lstm({ units: 2, returnSequences: true }) as tfl.RNN,
          mergeMode: 'concat',
        }), // 2 x 7 x (3 + 2) x 8
        timeDistributed({ layer: dense({ units: 5 }) }), // 7 x 4x5
        gru({ units: 2 }), // 7 x (5 + 2) x 6
      ],
    });
    expect(macs(text)).toEqual([0, 560, 140, 294]);
    expect(summarize(text).total.params).toBe(text.countParams());
  });

  it('counts a shared layer once to store, and applied in a nested model too', () => {
    const shared = dense({ units: 4, name: 'shared' });
    const inner = tfl.sequential({
      layers: [dense({ units: 4, inputShape: [4], name: 'deep' })],
      name: 'inner',
    } as never);
    const x = input({ shape: [4], name: 'x' });
    const once = symbolic(shared.apply(symbolic(inner.apply(x))));
    const twice = symbolic(shared.apply(symbolic(inner.apply(once))));
    const model = tfl.model({
      inputs: x,
      outputs: symbolic(add({ name: 'sum' }).apply([once, twice])),
    });
    const { layers, total } = summarize(model);
    expect(layers.map((layer) => [layer.name, layer.params, layer.macs])).toEqual([
      ['inner/deep', 20, 32],
      ['shared', 20, 32],
      ['sum', 0, 0],
    ]);
    expect(total).toMatchObject({ params: 40, macs: 64 });
  });

  it('says which MACs it cannot know', () => {
    const model = tfl.sequential({
      layers: [conv2d({ filters: 1, kernelSize: 1, inputShape: [null, null, 1], name: 'open' })],
    });
    const table = summarize(model);
    expect(table.uncounted).toEqual(['open']);
    expect(table.total.macs).toBe(0);
    expect(table.toString()).toContain('MACs not known, and left out of the total: open.');
  });

  it('prints a table whose columns line up', () => {
    const print = vi.spyOn(console, 'log').mockImplementation(() => {});
    const model = tfl.sequential({
      layers: [
        dense({
          units: 1000,
          inputShape: [3],
          useBias: false,
          kernelInitializer: 'ones',
          name: 'wide',
        }),
      ],
    });
    const table = summarize(model);
    table.print();
    expect(print.mock.calls).toEqual([[table.toString()]]);
    print.mockClear();
    expect(table.toString()).toMatchInlineSnapshot(`
      "layer  kind   output  params  nonzero   MACs    bits   bytes
      ------------------------------------------------------------
      wide   dense  1000     3,000    3,000  3,000  96,000  12,000
      ------------------------------------------------------------
      total                  3,000    3,000  3,000  96,000  12,000
      Bytes before entropy coding; dense float32 takes 1.00 times as many."
    `);
  });

  it('refuses a model that is not built', () => {
    expect(() => summarize(tfl.sequential())).toThrow(UnsupportedError);
  });
});

describe('lower', () => {
  it('gives a valid graph with the arguments of the layers and the values as baked', () => {
    const x = input({ shape: [3, 2], name: 'x' });
    const layer = parametrize(lstm({ units: 1, returnSequences: true, name: 'read' }), {
      kernel: [scaled(2)],
    });
    const both = bidirectional({
      layer: gru({ units: 1, returnSequences: true }) as tfl.RNN,
      mergeMode: 'sum',
      name: 'both',
    });
    const model = tfl.model({
      inputs: x,
      outputs: symbolic(both.apply(symbolic(layer.apply(x)))),
      name: 'net',
    });
    const graph = lower(model);
    validateGraph(graph);
    expect(graph.nodes.map(({ name, op, outputs }) => [name, op, outputs])).toEqual([
      ['x', 'input', [[3, 2]]],
      ['read', 'lstm', [[3, 1]]],
      ['both/forward', 'gru', [[3, 1]]],
      ['both/backward', 'gru', [[3, 1]]],
      ['both/reverse', 'reverse', [[3, 1]]],
      ['both', 'add', [[3, 1]]],
    ]);
    const read = graph.nodes[1]!;
    expect(read.attributes).toMatchObject({
      units: 1,
      activation: 'tanh',
      recurrentActivation: 'hardSigmoid',
      returnSequences: true,
    });
    expect(Object.keys(read.weights)).toEqual(['kernel', 'recurrentKernel', 'bias']);
    const { encoding, data } = graph.weights[read.weights.kernel!]!;
    expect(encoding).toMatchObject({ shape: [2, 4], nonzero: 8 });
    const stored = parametrizedWeights(layer)[0]!.variable.dataSync();
    expect(data).toBeAllClose(stored.map((value) => 2 * value));
    expect(graph.nodes[3]!.attributes.goBackwards).toBe(true);
    expect(graph.inputs).toEqual(['x']);
    expect(graph.outputs).toEqual([{ node: 'both', output: 0 }]);
  });
});
