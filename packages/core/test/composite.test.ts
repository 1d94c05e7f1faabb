// A layer that is made of other layers.
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import {
  type ApplyPart,
  type CallTransform,
  CompositeLayer,
  copyModel,
  decorateCall,
  finalize,
  finalizeReport,
  fit,
  lower,
  parametrize,
  registerCallTransform,
  walkLayers,
} from '@thimble/core';
import {
  describeLayerContract,
  expectSameOutputs,
  savedAndLoaded,
  smallModel,
  snapshot,
  useCpu,
} from '@thimble/testing';
import { expect, it } from 'vitest';

useCpu();

/** Two dense layers and the sum of input and output. */
class TestBottleneck extends CompositeLayer {
  static className = 'TestBottleneck';

  constructor(args: { units: number; name?: string }) {
    super(args, { units: args.units });
    const regularizer = { kernelRegularizer: 'l1l2' } as const;
    this.addPart('narrow', (name) => tfl.layers.dense({ name, units: 2, ...regularizer }));
    this.addPart('wide', (name) => tfl.layers.dense({ name, units: args.units }));
    this.addPart('add', (name) => tfl.layers.add({ name }));
  }

  override connect<T>(input: T, apply: ApplyPart<T>): T {
    const output = apply(this.part('wide'), apply(this.part('narrow'), input));
    return apply(this.part('add'), [input, output]);
  }
}
tf.serialization.registerClass(TestBottleneck as never);

const make = () => new TestBottleneck({ units: 4, name: 'block' });
const x = () => tf.randomUniform([4, 4], -1, 1, 'float32', 3);

describeLayerContract('a composite layer', { make, inputShape: [4] });

it('shows its parts where layers are looked for, and in a graph', () => {
  const model = smallModel(make, [4]);
  const names = walkLayers(model).map(({ name }) => name);
  for (const part of ['block', 'block_narrow', 'block_wide', 'block_add'])
    expect(names).toContain(part);
  const nodes = lower(model).nodes.map(({ name, op }) => [name, op]);
  expect(nodes.slice(1, 4)).toEqual([
    ['block/block_narrow', 'dense'],
    ['block/block_wide', 'dense'],
    ['block/block_add', 'add'],
  ]);
});

it('counts the penalties of its parts once, in both training loops', async () => {
  const penaltyOf = (layer: tfl.layers.Layer) => {
    const kernel = layer.trainableWeights[0]!.read();
    return tf.tidy(
      () => tf.add(tf.sum(tf.abs(kernel)), tf.sum(tf.square(kernel))).dataSync()[0]! * 0.01,
    );
  };
  const zeros = { xs: tf.zeros([4, 4]), ys: tf.zeros([4, 1]) };
  const model = smallModel(make, [4]);
  const expected = penaltyOf(model.layers[1]!);
  const { losses } = await stockAndOwn(model, zeros);
  for (const loss of losses) expect(loss).toBeCloseTo(expected, 5);
});

/** The loss at inputs and targets of 0, where penalties are all there is, without a step. */
async function stockAndOwn(model: tfl.LayersModel, { xs, ys }: { xs: tf.Tensor; ys: tf.Tensor }) {
  model.compile({ optimizer: tf.train.sgd(0), loss: 'meanSquaredError' });
  const stock = await model.fit(xs, ys, { epochs: 1, batchSize: 4, verbose: 0 });
  const own = await fit(
    model,
    { xs, ys },
    { batchSize: 4, optimizer: tf.train.sgd(0), progress: false },
  );
  return { losses: [stock.history.loss![0] as number, own.logs.loss![0]!] };
}

it('is copied with its weights, and anew from a seed', () => {
  const model = smallModel(make, [4]);
  const copy = copyModel(model);
  expect(snapshot(copy)).toEqual(snapshot(model));
  expectSameOutputs(model, copy, x());
  const [a, b] = [copyModel(model, { seed: 1 }), copyModel(model, { seed: 1 })];
  expect(snapshot(a)).toEqual(snapshot(b));
  expect(snapshot(a)).not.toEqual(snapshot(model));
});

it('keeps its place, and its parts theirs, where its calls are decorated', async () => {
  const doubled: CallTransform = {
    getClassName: () => 'TestDoubledBlock',
    getConfig: () => ({}),
    build: () => null,
    call: (run, inputs) => tf.mul(run(inputs) as tf.Tensor, 2),
  };
  registerCallTransform('TestDoubledBlock', () => doubled);
  const decorated = smallModel(() => decorateCall(make(), [doubled]), [4]);
  const inputs = x();
  const [once, twice] = [smallModel(make, [4]), decorated].map((model) =>
    tf.tidy(() => (model.layers[1]!.apply(inputs) as tf.Tensor).dataSync()),
  );
  for (const [i, y] of twice!.entries()) expect(y).toBeCloseTo(2 * once![i]!, 5);
  const plain = await finalize(decorated);
  expect(finalizeReport(plain).map(({ name }) => name)).toEqual(['block']);
  expectSameOutputs(decorated, plain, inputs);
  expectSameOutputs(decorated, await savedAndLoaded(decorated), inputs);
});

it('works inside TimeDistributed, and finalizes there', async () => {
  const model = smallModel(() => tfl.layers.timeDistributed({ layer: make() }), [3, 4]);
  const inputs = tf.randomUniform([4, 3, 4], -1, 1, 'float32', 3);
  const plain = await finalize(model);
  expect(finalizeReport(plain)).toEqual([]);
  const [a, b] = [model, plain].map((each) =>
    tf.tidy(() => (each.predict(inputs) as tf.Tensor).dataSync()),
  );
  for (const [i, y] of a!.entries()) expect(b![i]).toBeCloseTo(y, 5);
});

it('refuses weights that no part has, and two inputs', () => {
  const halved = { getClassName: () => 'TestHalvedBlock' } as never;
  expect(() => parametrize(make(), { recurrentKernel: [halved] })).toThrow(
    /block_narrow, block_wide, block_add/,
  );
  const inputs = [tfl.input({ shape: [4] }), tfl.input({ shape: [4] })];
  expect(() => make().apply(inputs)).toThrow(/takes one input, not 2/);
});
