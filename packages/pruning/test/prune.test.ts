import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import {
  NoMatchError,
  NonFiniteError,
  OptionError,
  ShapeError,
  UnsupportedError,
} from '@thimble/base';
import {
  criteria,
  maskedWeights,
  type PruneOptions,
  prune,
  type WeightCriterion,
  type WeightEvidence,
} from '@thimble/pruning';
import {
  expectNoLeaks,
  expectSameOutputs,
  inputsFor,
  layerCases,
  outputs,
  savedAndLoaded,
  smallModel,
  snapshot,
  useCpu,
} from '@thimble/testing';
import { describe, expect, it } from 'vitest';

useCpu();

/** 4 inputs, 3 hidden units, 2 outputs; made of what is told, else counted up. */
function network({ loss = true, kernel = [] as number[] } = {}): tfl.Sequential {
  const first = kernel.length > 0 ? kernel : Array.from({ length: 12 }, (_, i) => i + 1);
  const model = tfl.sequential({
    layers: [
      tfl.layers.dense({
        name: 'hidden',
        units: 3,
        inputShape: [4],
        weights: [tf.tensor2d(first, [4, 3]), tf.zeros([3])],
      }),
      tfl.layers.dense({
        name: 'head',
        units: 2,
        weights: [tf.tensor2d([10, 20, 30, 40, 50, 60], [3, 2]), tf.zeros([2])],
      }),
    ],
  });
  if (loss) model.compile({ optimizer: 'sgd', loss: 'meanSquaredError' });
  return model;
}

const data = () => ({ xs: tf.ones([3, 4]), ys: tf.ones([3, 2]) });
const maskOf = (model: tfl.LayersModel, name: string) =>
  Array.from(maskedWeights(model, name)[0]!.mask.dataSync());

describe('prune', () => {
  it('takes from each layer by itself, or from all together', async () => {
    const apart = network();
    const report = await prune(apart, { granularity: 'element', sparsity: 0.5 });
    expect(maskOf(apart, 'hidden')).toEqual([0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1]);
    expect(maskOf(apart, 'head')).toEqual([0, 0, 0, 1, 1, 1]);
    expect(report).toEqual({
      total: 18,
      kept: 9,
      weights: [
        { name: 'hidden/kernel', total: 12, kept: 6 },
        { name: 'head/kernel', total: 6, kept: 3 },
      ],
    });
    const together = network();
    await prune(together, { granularity: 'element', sparsity: 0.5, scope: 'global' });
    expect(maskOf(together, 'hidden')).toEqual([0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1]);
    expect(maskOf(together, 'head')).toEqual([1, 1, 1, 1, 1, 1]);
  });

  it('takes another share from a layer that is named', async () => {
    const model = network();
    await prune(model, { granularity: 'element', sparsity: 0.25, perLayer: { head: 0.5 } });
    expect(maskOf(model, 'hidden').filter((keep) => !keep)).toHaveLength(3);
    expect(maskOf(model, 'head').filter((keep) => !keep)).toHaveLength(3);
    const only = network();
    await prune(only, { granularity: 'element', perLayer: { head: 0.5 } });
    expect(maskOf(only, 'hidden')).not.toContain(0);
  });

  it('leaves the outputs of the model alone unless they are named', async () => {
    const model = network();
    await prune(model, { granularity: 'neuron', sparsity: 0.34 });
    expect(maskedWeights(model).map(({ name }) => name)).toEqual(['hidden/kernel']);
    await prune(model, { granularity: 'neuron', sparsity: 0.5, targets: ['head'] });
    expect(maskOf(model, 'head')).toEqual([0, 1, 0, 1, 0, 1]);
  });

  it('goes on from what is pruned, by the weights that are left', async () => {
    const model = network();
    await prune(model, { granularity: 'element', sparsity: 0.25, targets: 'hidden' });
    const before = maskOf(model, 'hidden');
    // The largest turn small, the pruned ones large: those stay pruned all the same.
    const { variable } = maskedWeights(model, 'hidden')[0]!.weight;
    variable.assign(tf.tensor2d([99, 99, 99, 4, 5, 6, 7, 8, 9, 0.1, 0.2, 0.3], [4, 3]));
    await prune(model, { granularity: 'element', sparsity: 0.5, targets: 'hidden' });
    expect(before).toEqual([0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1]);
    expect(maskOf(model, 'hidden')).toEqual([0, 0, 0, 1, 1, 1, 1, 1, 1, 0, 0, 0]);
    // Less than is gone already brings nothing back.
    await prune(model, { granularity: 'element', sparsity: 0.1, targets: 'hidden' });
    expect(maskOf(model, 'hidden')).toEqual([0, 0, 0, 1, 1, 1, 1, 1, 1, 0, 0, 0]);
  });

  it('prunes in blocks of eight units by default', async () => {
    const units = 16;
    const row = Array.from({ length: units }, (_, i) => (i < 8 ? 2 : 1));
    const layer = tfl.layers.dense({
      units,
      useBias: false,
      inputShape: [1],
      weights: [tf.tensor2d([row])],
    });
    const model = tfl.sequential({ layers: [layer] });
    await prune(model, { sparsity: 0.5 });
    expect(maskOf(model, layer.name)).toEqual(row.map((value) => value - 1));
  });

  it('prunes at random by the seed', async () => {
    const masks = [];
    for (const seed of [1, 1, 2]) {
      const model = network();
      const criterion = criteria.random();
      await prune(model, {
        criterion,
        granularity: 'element',
        sparsity: 0.5,
        seed,
        targets: 'hidden',
      });
      masks.push(maskOf(model, 'hidden'));
    }
    expect(masks[0]).toEqual(masks[1]);
    expect(masks[0]).not.toEqual(masks[2]);
  });

  it.each(layerCases.filter(({ weights }) => weights.some((name) => /ernel|embed/.test(name))))(
    'survives saving: $name',
    async (given) => {
      const model = smallModel(given.make, given.inputShape);
      const x = inputsFor(given);
      await prune(model, { granularity: 'element', sparsity: 0.5 });
      expect(maskedWeights(model).every(({ mask }) => mask.dataSync().includes(0))).toBe(true);
      const loaded = await savedAndLoaded(model);
      expectSameOutputs(model, loaded, x);
      expect(maskedWeights(loaded)).toHaveLength(maskedWeights(model).length);
    },
  );

  it('leaves no tensor behind, whether it works or not', async () => {
    const model = network();
    const { xs, ys } = data();
    await expectNoLeaks(async () => {
      await prune(model, {
        criterion: criteria.snip(),
        data: { xs, ys },
        sparsity: 0.3,
        granularity: 'element',
      });
      await expect(prune(model, { sparsity: 0.99, granularity: 'element' })).rejects.toThrow();
    });
  });
});

it('prunes channels by a rule of the criterion', async () => {
  // The second of four units is never above zero: shares of zeros 0, 1, 0, 0; 1 > 0.25 + 0.43.
  const kernel = [[1, -1, 2, 3]];
  const model = tfl.sequential({
    layers: [
      tfl.layers.dense({
        name: 'hidden',
        units: 4,
        activation: 'relu',
        inputShape: [1],
        weights: [tf.tensor2d(kernel), tf.zeros([4])],
      }),
      tfl.layers.dense({ name: 'head', units: 1 }),
    ],
  });
  const criterion = criteria.apoz({ deviations: 1 });
  const data = { xs: tf.tensor2d([[1], [2], [3]]), ys: tf.zeros([3, 1]) };
  await prune(model, { criterion, granularity: 'neuron', data });
  expect(maskOf(model, 'hidden')).toEqual([1, 0, 1, 1]);
  await expect(
    prune(model, { criterion, granularity: 'neuron', data, sparsity: 0.5 }),
  ).rejects.toThrow('apoz says itself how much goes');
});

describe('evidence', () => {
  /** A criterion that shows what it is asked to look at. */
  function spy(needs: WeightCriterion['needs'], rest: Partial<WeightCriterion> = {}) {
    const seen: WeightEvidence[] = [];
    const criterion: WeightCriterion = {
      name: 'spy',
      level: 'weight',
      needs,
      score(evidence) {
        seen.push(evidence);
        return evidence.values;
      },
      ...rest,
    };
    return { seen, criterion };
  }

  /** One unit without bias: with the mean squared error dL/dw = mean of 2 (x . w - y) x. */
  function linear(): tfl.Sequential {
    const weights = [tf.tensor2d([[2], [-1]])];
    const layer = tfl.layers.dense({
      units: 1,
      useBias: false,
      inputShape: [2],
      weights,
      name: 'line',
    });
    const model = tfl.sequential({ layers: [layer] });
    model.compile({ optimizer: 'sgd', loss: 'meanSquaredError' });
    return model;
  }
  const xs = [
    [1, 2],
    [3, -1],
    [0, 4],
  ];
  const ys = [[1], [2], [3]];
  /** The gradient over the first so many examples. */
  const expected = (count: number) => {
    const sums = [0, 0];
    for (let i = 0; i < count; i++) {
      const [a, b] = xs[i]! as [number, number];
      const error = 2 * (2 * a - b - ys[i]![0]!);
      sums[0]! += (error * a) / count;
      sums[1]! += (error * b) / count;
    }
    return sums;
  };

  it.each([1, 2, 3, 100])(
    'gradients are means over all examples, in batches of %s',
    async (batchSize) => {
      const { seen, criterion } = spy(['gradients']);
      const data = { xs: tf.tensor2d(xs), ys: tf.tensor2d(ys) };
      await prune(linear(), { criterion, granularity: 'element', sparsity: 0, data, batchSize });
      expect(seen[0]!.gradient).toBeAllClose(expected(3));
    },
  );

  it('gradients are taken over as many examples as asked for, or as the criterion says', async () => {
    const data = { xs: tf.tensor2d(xs), ys: tf.tensor2d(ys) };
    const options = { granularity: 'element', sparsity: 0, data, batchSize: 2 } as const;
    const { seen, criterion } = spy(['gradients'], { examples: 1 });
    await prune(linear(), { ...options, criterion });
    await prune(linear(), { ...options, criterion, examples: 2 });
    expect(seen[0]!.gradient).toBeAllClose(expected(1));
    expect(seen[1]!.gradient).toBeAllClose(expected(2));
  });

  it('values are those behind the mask, and pruned ones are known', async () => {
    const model = linear();
    await prune(model, { granularity: 'element', sparsity: 0.5 });
    const { seen, criterion } = spy([]);
    await prune(model, { criterion, granularity: 'element', sparsity: 0.5 });
    expect(seen[0]).toMatchObject({ layer: 'line', weight: 'kernel', shape: [2, 1] });
    expect(seen[0]!.values).toBeAllClose([2, 0], 0);
    expect(Array.from(seen[0]!.kept)).toEqual([1, 0]);
  });

  it('snip keeps the weight on which the loss depends more, not the larger one', async () => {
    // The gradient is (28, -70) / 3, so |w * g| is (56, 70) / 3.
    expect(expected(3)).toBeAllClose([28 / 3, -70 / 3]);
    const model = linear();
    const data = { xs: tf.tensor2d(xs), ys: tf.tensor2d(ys) };
    await prune(model, { criterion: criteria.snip(), granularity: 'element', sparsity: 0.5, data });
    expect(maskOf(model, 'line')).toEqual([0, 1]);
  });
});

describe('bad input leaves the weights and outputs as they were', () => {
  const bad = Array.from({ length: 12 }, (_, i) => (i === 7 ? Number.NaN : i));
  const element = { granularity: 'element', sparsity: 0.5 } as const;
  const short = new Map([
    ['hidden/kernel', new Float32Array(3)],
    ['head/kernel', new Float32Array(6)],
  ]);
  const given = (options: unknown) => options as PruneOptions;
  const patterned = { granularity: '2:4' } as const;
  const threshold = criteria.threshold({ value: 1 });

  it.each<[string, PruneOptions, new () => Error, string | RegExp]>([
    ['an unknown option', given({ ...element, amount: 1 }), OptionError, 'unknown option "amount"'],
    ['an unknown granularity', given({ granularity: 'row', sparsity: 0.5 }), OptionError, '"row"'],
    ['an unknown scope', given({ ...element, scope: 'all' }), OptionError, 'layer or global'],
    ['no criterion', given({ ...element, criterion: {} }), OptionError, 'one of criteria'],
    ['no sparsity', { granularity: 'element' }, OptionError, 'give the option sparsity'],
    ['a negative one', { ...element, sparsity: -0.1 }, OptionError, 'from 0 to 1'],
    ['one above 1', { ...element, sparsity: 1.1 }, OptionError, 'from 0 to 1'],
    [
      'all of a layer',
      { ...element, perLayer: { hidden: 1 } },
      OptionError,
      'perLayer.hidden must be below 1',
    ],
    ['all of it', { ...element, sparsity: 1 }, OptionError, 'must be below 1'],
    ['NaN', { ...element, sparsity: Number.NaN }, OptionError, 'from 0 to 1'],
    ['a layer asked for all', { ...element, perLayer: { head: 1 } }, OptionError, 'below 1'],
    ['an unknown layer', { ...element, perLayer: { tail: 0.1 } }, NoMatchError, '"tail"'],
    [
      'shares of layers that compete',
      { ...element, scope: 'global', perLayer: { head: 0.1 } },
      OptionError,
      "perLayer goes with scope 'layer'",
    ],
    [
      'a target that is none',
      { ...element, targets: 'tail' },
      NoMatchError,
      '"tail" matches no layer',
    ],
    ['one of two', { ...element, targets: ['head', /^x/] }, NoMatchError, '/^x/ matches no layer'],
    [
      'a function that takes none',
      { ...element, targets: () => false },
      NoMatchError,
      'hidden, head',
    ],
    ['an empty list', { ...element, targets: [] }, NoMatchError, 'empty list'],
    [
      'a threshold and a sparsity',
      { ...element, criterion: threshold },
      OptionError,
      'threshold says itself how much goes; leave sparsity out',
    ],
    [
      'a threshold over all layers',
      { granularity: 'element', scope: 'global', criterion: threshold },
      OptionError,
      "scope 'global'",
    ],
    ['a threshold and a pattern', { ...patterned, criterion: threshold }, OptionError, "'2:4'"],
    [
      'a threshold above everything',
      { granularity: 'element', criterion: criteria.threshold({ value: 1000 }) },
      UnsupportedError,
      'nothing would be left of hidden/kernel',
    ],
    [
      'channels by elements',
      { ...element, criterion: criteria.nisp() },
      OptionError,
      'the criterion nisp scores whole channels',
    ],
    [
      'gradients without data',
      { ...element, criterion: criteria.snip() },
      OptionError,
      'the criterion snip looks at data. Give the option data',
    ],
    [
      'activations without data',
      { granularity: 'neuron', sparsity: 0.4, criterion: criteria.apoz() },
      OptionError,
      'the criterion apoz looks at data',
    ],
    [
      'steps that were not seen',
      { ...element, criterion: criteria.movement() },
      OptionError,
      'gradualPruning',
    ],
    [
      'no initial weights',
      { ...element, criterion: criteria.travel() },
      OptionError,
      'option initial',
    ],
    [
      'initial weights of another network',
      { ...element, criterion: criteria.travel(), initial: short },
      ShapeError,
      'initial has 3 values for hidden/kernel, which has 12',
    ],
    [
      'a batch normalisation that is not there',
      { granularity: 'neuron', sparsity: 0.4, criterion: criteria.batchNormScale() },
      UnsupportedError,
      'channel 0 of hidden goes through no batch normalisation',
    ],
    [
      'kernels without a window',
      { granularity: 'kernel', sparsity: 0.5 },
      UnsupportedError,
      'hidden/kernel of shape [4,3] has no spatial window',
    ],
    [
      'more than a small layer has',
      { granularity: 'neuron', sparsity: 0.9, targets: 'hidden' },
      UnsupportedError,
      'nothing would be left of hidden/kernel',
    ],
    [
      'connections that cannot all stay',
      { ...element, sparsity: 0.75, criterion: criteria.connected(criteria.magnitude()) },
      UnsupportedError,
      'hidden/kernel would lose entry',
    ],
  ])('%s', async (_name, options, error, message) => {
    const model = network();
    await prune(model, { granularity: 'element', sparsity: 0.1 });
    const x = tf.randomNormal([2, 4], 0, 1, 'float32', 1);
    const [weights, y] = [snapshot(model), outputs(model, x)];
    const refused = prune(model, options);
    await expect(refused).rejects.toThrow(error);
    await expect(refused).rejects.toThrow(message);
    expect(snapshot(model)).toEqual(weights);
    expect(outputs(model, x)).toEqual(y);
  });

  it('a weight that is NaN', async () => {
    const model = network({ kernel: bad });
    const refused = prune(model, element);
    await expect(refused).rejects.toThrow(NonFiniteError);
    await expect(refused).rejects.toThrow('the score of entry 7 of hidden/kernel is NaN');
    expect(maskedWeights(model)).toEqual([]);
  });

  it('data of another shape', async () => {
    const model = network();
    const data = { xs: tf.ones([3, 5]), ys: tf.ones([3, 2]) };
    const refused = prune(model, { ...element, criterion: criteria.snip(), data });
    await expect(refused).rejects.toThrow(ShapeError);
  });

  it('gradients of a model without a loss', async () => {
    const model = network({ loss: false });
    const refused = prune(model, { ...element, criterion: criteria.snip(), data: data() });
    await expect(refused).rejects.toThrow(OptionError);
    await expect(refused).rejects.toThrow(/loss/);
  });

  it('a model without a kernel, and one of outputs only', async () => {
    const flat = tfl.sequential({ layers: [tfl.layers.flatten({ inputShape: [2, 2] })] });
    await expect(prune(flat, element)).rejects.toThrow('has no layer with a kernel');
    const one = tfl.sequential({ layers: [tfl.layers.dense({ units: 2, inputShape: [2] })] });
    const refused = prune(one, { granularity: 'neuron', sparsity: 0.5 });
    await expect(refused).rejects.toThrow(NoMatchError);
    await expect(refused).rejects.toThrow('all layers with kernels');
  });
});
