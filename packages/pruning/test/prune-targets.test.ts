import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { NoMatchError, OptionError, UnsupportedError } from '@thimble/base';
import { parametrizedWeights, summarize } from '@thimble/core';
import { criteria, maskedWeights, type PruneOptions, prune } from '@thimble/pruning';
import { outputs, useCpu } from '@thimble/testing';
import { describe, expect, it } from 'vitest';
import { blobs, goneIn, INPUTS, maskOf, network } from './masks.ts';

useCpu();

const { layers } = tfl;
const dense = (name: string, units = 4, more = {}) => layers.dense({ name, units, ...more });
const input = () => tfl.input({ shape: [INPUTS] });

/** Names of the layers that are pruned, by neurons. */
async function prunedIn(model: tfl.LayersModel, options: Partial<PruneOptions> = {}) {
  await prune(model, { granularity: 'neuron', sparsity: 0.5, ...options });
  return maskedWeights(model).map(({ name }) => name.split('/')[0]);
}

it('a pattern finds all that it matches, flags that remember a place or not', async () => {
  for (const targets of [/^(hidden|output)/, /hidden|output/g, [/hidden/gi, /output/y]]) {
    expect(await prunedIn(network(), { targets })).toEqual(['hidden', 'output']);
  }
});

describe('whole neurons go from all layers but those that give the outputs', () => {
  it('which may have layers without kernels behind them', async () => {
    const model = tfl.sequential({
      layers: [
        dense('hidden', 4, { inputShape: [INPUTS] }),
        dense('logits', 3),
        layers.batchNormalization(),
        layers.activation({ activation: 'softmax' }),
      ],
    });
    expect(await prunedIn(model)).toEqual(['hidden']);
  });

  it('which may be several, and may be added up', async () => {
    const x = input();
    const hidden = dense('hidden').apply(x) as tfl.SymbolicTensor;
    const [a, b, c] = ['a', 'b', 'c'].map(
      (name) => dense(name).apply(hidden) as tfl.SymbolicTensor,
    );
    const inner = dense('inner').apply(c!) as tfl.SymbolicTensor;
    const sum = layers.add().apply([a!, b!]) as tfl.SymbolicTensor;
    const model = tfl.model({ inputs: x, outputs: [sum, dense('d').apply(inner)] as never });
    expect(await prunedIn(model)).toEqual(['hidden', 'c', 'inner']);
  });

  it('which may be inside a model or a wrapper', async () => {
    const nested = tfl.sequential({
      layers: [dense('first', 4, { inputShape: [INPUTS] }), dense('last')],
    });
    const x = input();
    const model = tfl.model({
      inputs: x,
      outputs: nested.apply(dense('hidden', INPUTS).apply(x)) as never,
    });
    expect(await prunedIn(model)).toEqual(['hidden', 'first']);

    const sequence = tfl.sequential({
      layers: [
        layers.lstm({ name: 'lstm', units: 2, returnSequences: true, inputShape: [3, 2] }),
        layers.timeDistributed({ layer: dense('each') }),
      ],
    });
    expect(await prunedIn(sequence)).toEqual(['lstm', 'lstm']);

    const both = tfl.sequential({
      layers: [
        layers.conv1d({ name: 'conv', filters: 2, kernelSize: 1, inputShape: [3, 2] }),
        layers.bidirectional({ layer: layers.gru({ units: 2 }) as tfl.RNN, mergeMode: 'concat' }),
      ],
    });
    expect(await prunedIn(both)).toEqual(['conv']);
  });

  it('unless they are named', async () => {
    expect(await prunedIn(network())).toEqual(['hidden']);
    expect(await prunedIn(network(), { targets: ['hidden', 'output'] })).toEqual([
      'hidden',
      'output',
    ]);
    expect(await prunedIn(network(), { targets: /o/ })).toEqual(['output']);
    expect(await prunedIn(network(), { targets: ({ name }) => name.length > 1 })).toEqual([
      'hidden',
      'output',
    ]);
  });

  it('and single weights go from all', async () => {
    expect(await prunedIn(network(), { granularity: 'element' })).toEqual(['hidden', 'output']);
    expect(await prunedIn(network(), { granularity: 'channel' })).toEqual(['hidden', 'output']);
  });
});

it('gives layers of nested models masks of their own, equal names or not', async () => {
  const part = () => tfl.sequential({ layers: [dense('same', INPUTS, { inputShape: [INPUTS] })] });
  const x = input();
  const [a, b] = [part(), part()];
  const model = tfl.model({ inputs: x, outputs: b.apply(a.apply(x)) as never });
  const first = (layer: unknown) => layer === a.layers[0];
  const element = { granularity: 'element', sparsity: 0.5 } as const;
  expect((await prune(model, { ...element, targets: first })).weights).toEqual([
    { name: 'same/kernel', total: 36, kept: 18 },
  ]);
  const report = await prune(model, { ...element, sparsity: 0.75 });
  expect(report.weights).toEqual([
    { name: 'same/kernel', total: 36, kept: 9 },
    { name: 'same/kernel#2', total: 36, kept: 9 },
  ]);
  expect(maskedWeights(model).map(goneIn)).toEqual([27, 27]);
});

it('does not pass over a kernel of an unknown name in silence', async () => {
  class Mixing extends tfl.layers.Layer {
    static className = 'TestMixing';
    mixing!: tfl.LayerVariable;
    override build(inputShape: number[]): void {
      const size = inputShape[1]!;
      this.mixing = this.addWeight('mixing', [size, size], 'float32', tfl.initializers.ones());
      this.built = true;
    }
    override call(x: tf.Tensor): tf.Tensor {
      return tf.matMul([x].flat()[0] as tf.Tensor2D, this.mixing.read() as tf.Tensor2D);
    }
  }
  const make = () =>
    tfl.sequential({
      layers: [dense('first', 4, { inputShape: [INPUTS] }), new Mixing({ name: 'mine' })],
    });
  const element = { granularity: 'element', sparsity: 0.5 } as const;
  const model = make();
  const run = prune(model, element);
  await expect(run).rejects.toThrow(UnsupportedError);
  await expect(run).rejects.toThrow(
    'prune: layer "mine" (TestMixing) has a weight "mixing", which would be passed over',
  );
  expect(parametrizedWeights(model)).toEqual([]);
  expect(await prunedIn(model, { ...element, targets: 'first' })).toEqual(['first']);
});

it('prunes stacked cells', async () => {
  const { gruCell, lstmCell, rnn } = tfl.layers;
  const cell = [lstmCell({ units: 4, name: 'lower' }), gruCell({ units: 3, name: 'upper' })];
  const model = tfl.sequential({ layers: [rnn({ cell: cell as never, inputShape: [4, 3] })] });
  const report = await prune(model, { granularity: 'element', sparsity: 0.5 });
  expect(report.weights).toEqual([
    { name: 'lower/kernel', total: 48, kept: 24 },
    { name: 'lower/recurrentKernel', total: 64, kept: 32 },
    { name: 'upper/kernel', total: 36, kept: 18 },
    { name: 'upper/recurrentKernel', total: 27, kept: 13 },
  ]);
  // 3 * (4 + 1) * 3 + 4 * (3 + 4) * 4 are the entries of the kernels, the biases 16 and 9.
  expect(summarize(model).total).toMatchObject({ params: 175 + 25, macs: 4 * 175 });
});

describe('options that are wrong add no mask', () => {
  const element = { granularity: 'element', sparsity: 0.5 } as const;
  const loss = 'categoricalCrossentropyFromLogits';
  const data = blobs;

  it.each<[string, () => object, new () => Error]>([
    ['an unknown option', () => ({ ...element, amount: 1 }), OptionError],
    ['an unknown granularity', () => ({ ...element, granularity: 'row' }), OptionError],
    ['a sparsity of 1', () => ({ ...element, sparsity: 1 }), OptionError],
    ['no sparsity', () => ({ granularity: 'element' }), OptionError],
    ['an unknown target', () => ({ ...element, targets: ['hidden', 'fc'] }), NoMatchError],
    ['an unknown layer in perLayer', () => ({ ...element, perLayer: { fc: 0 } }), NoMatchError],
    [
      'a layer in perLayer that is no target',
      () => ({ ...element, targets: 'hidden', perLayer: { output: 0.1 } }),
      NoMatchError,
    ],
    ['windows of a dense kernel', () => ({ ...element, granularity: 'kernel' }), UnsupportedError],
    [
      'a block of too many axes',
      () => ({ ...element, granularity: { block: [1, 2, 2] } }),
      UnsupportedError,
    ],
    ['no data', () => ({ ...element, loss, criterion: criteria.snip() }), OptionError],
    ['no loss', () => ({ ...element, data: data(), criterion: criteria.snip() }), OptionError],
    [
      'no data for channels',
      () => ({ granularity: 'neuron', sparsity: 0.5, criterion: criteria.apoz() }),
      OptionError,
    ],
    ['nothing before training', () => ({ ...element, criterion: criteria.travel() }), OptionError],
    ['no training steps', () => ({ ...element, criterion: criteria.movement() }), OptionError],
  ])('%s', async (_name, options, type) => {
    const model = network();
    await expect(prune(model, options() as PruneOptions)).rejects.toThrow(type);
    expect(parametrizedWeights(model)).toEqual([]);
  });

  it('says why nothing can be pruned where all layers give outputs', async () => {
    const model = tfl.sequential({ layers: [dense('only', 4, { inputShape: [INPUTS] })] });
    const run = prune(model, { granularity: 'neuron', sparsity: 0.5 });
    await expect(run).rejects.toThrow(NoMatchError);
    await expect(run).rejects.toThrow('targets');
    expect(await prunedIn(model, { targets: 'only' })).toEqual(['only']);
  });
});

it('leaves the masks as they were where nothing would be left of a layer', async () => {
  const model = network();
  await prune(model, { granularity: 'element', sparsity: 0.25 });
  const before = maskedWeights(model).map(maskOf);
  const x = tf.randomNormal([2, INPUTS], 0, 1, 'float32', 1);
  const answers = outputs(model, x);
  // 2.7 of 3 neurons.
  const tooMuch = prune(model, { granularity: 'neuron', sparsity: 0.9, targets: 'output' });
  await expect(tooMuch).rejects.toThrow(UnsupportedError);
  await expect(tooMuch).rejects.toThrow('nothing would be left of output/kernel');
  const threshold = criteria.threshold({ value: 100 });
  await expect(prune(model, { granularity: 'element', criterion: threshold })).rejects.toThrow(
    'nothing would be left of hidden/kernel',
  );
  expect(maskedWeights(model).map(maskOf)).toEqual(before);
  expect(outputs(model, x)).toEqual(answers);
});

it('reports what is kept', async () => {
  const model = network();
  const report = await prune(model, {
    granularity: 'element',
    sparsity: 0.9,
    perLayer: { output: 0.25 },
  });
  // 43.2 of 48 and 6 of 24 go.
  expect(report).toEqual({
    total: 72,
    kept: 5 + 18,
    weights: [
      { name: 'hidden/kernel', total: 48, kept: 5 },
      { name: 'output/kernel', total: 24, kept: 18 },
    ],
  });
  const again = await prune(model, { granularity: 'element', sparsity: 0.5, scope: 'global' });
  expect(again.kept).toBe(23); // 36 of 72 would go, 49 are gone already
});
