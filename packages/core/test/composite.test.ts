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
  registerTransform,
  summarize,
  type WeightTransform,
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

/** `x + W y`, with a part that is made once the width of x is known. */
class TestMerge extends CompositeLayer {
  static className = 'TestMerge';

  constructor(args: { name?: string }) {
    super(args, {});
    this.addPart('add', (name) => tfl.layers.add({ name }));
  }

  protected override get inputCount(): number {
    return 2;
  }

  protected override prepare(inputShape: tfl.Shape): void {
    const units = inputShape.at(-1)!;
    this.addPart('fit', (name) => tfl.layers.dense({ name, units, useBias: false }));
  }

  override connect<T>(x: T, apply: ApplyPart<T>, [y]: readonly T[]): T {
    return apply(this.part('add'), [x, apply(this.part('fit'), y!)]);
  }
}
tf.serialization.registerClass(TestMerge as never);

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

it('finalizes in a functional model, applied twice, in the middle and as an output', async () => {
  const x = tfl.input({ shape: [4] });
  const block = make();
  const once = block.apply(x) as tfl.SymbolicTensor;
  const outputs = [block.apply(tfl.layers.reLU().apply(once)) as tfl.SymbolicTensor, once];
  const model = tfl.model({ inputs: x, outputs });
  const plain = await finalize(model);
  expect(finalizeReport(plain)).toEqual([]);
  const input = tf.randomUniform([4, 4], -1, 1, 'float32', 3);
  const [a, b] = [model, plain].map((each) => (each.predict(input) as tf.Tensor[]).map(read));
  expect(b).toEqual(a);
  expect(a![0]).not.toEqual(a![1]);
});
const read = (tensor: tf.Tensor) => Array.from(tensor.dataSync());

it('takes two inputs, and makes parts once it knows their shape', async () => {
  const [x, y] = [tfl.input({ shape: [3] }), tfl.input({ shape: [2] })];
  const halved: WeightTransform = {
    getClassName: () => 'TestHalvedFit',
    getConfig: () => ({}),
    build: () => ({}),
    apply: (w) => tf.div(w, 2),
    bake: (w) => tf.div(w, 2),
    encoding: () => ({}),
  };
  registerTransform('TestHalvedFit', () => halved as never);
  const block = new TestMerge({ name: 'merge' });
  const model = tfl.model({ inputs: [x, y], outputs: block.apply([x, y]) as tfl.SymbolicTensor });
  parametrize(block.part('fit'), { kernel: [halved as never] });
  block.setWeights([tf.tensor2d([2, 4, 6, 20, 40, 60], [2, 3])]);
  const given = [tf.tensor2d([[1, 2, 3]]), tf.tensor2d([[1, 0.1]])];
  const read = (m: tfl.LayersModel) => Array.from((m.predict(given) as tf.Tensor).dataSync());
  for (const each of [
    model,
    await savedAndLoaded(model),
    copyModel(model),
    await finalize(model),
  ]) {
    for (const [i, v] of read(each).entries()) expect(v).toBeCloseTo([3, 6, 9][i]!, 5);
  }
  expect(summarize(model).total.macs).toBe(6);
  expect(() => new TestMerge({}).apply(x)).toThrow(/takes 2 inputs, not 1/);
  // Not built yet, the parts of a saved form wait for their shape.
  const config = block.getConfig();
  const again = TestMerge.fromConfig(TestMerge as never, config) as unknown as TestMerge;
  const names = (from: tf.serialization.ConfigDict) =>
    (from.parts as { className: string; config: { name: string } }[]).map((part) => [
      part.className,
      part.config.name,
    ]);
  expect(names(again.getConfig())).toEqual(names(config));
  expect(names(config)).toEqual([
    ['Add', 'merge_add'],
    ['ThimbleParametrized', 'merge_fit'],
  ]);
});

it('refuses weights that no part has, and two inputs', () => {
  const halved = { getClassName: () => 'TestHalvedBlock', build: () => null, apply: () => null };
  expect(() => parametrize(make(), { recurrentKernel: [halved as never] })).toThrow(
    /block_narrow, block_wide, block_add/,
  );
  const inputs = [tfl.input({ shape: [4] }), tfl.input({ shape: [4] })];
  expect(() => make().apply(inputs)).toThrow(/takes one input, not 2/);
});
