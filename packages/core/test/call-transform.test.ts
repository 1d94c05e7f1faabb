import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import {
  type CallTransform,
  callLinks,
  decorateCall,
  finalize,
  finalizeReport,
  lower,
  parametrize,
  registerCallTransform,
} from '@thimble/core';
import {
  describeLayerContract,
  expectSameOutputs,
  outputs,
  savedAndLoaded,
  snapshot,
  useCpu,
} from '@thimble/testing';
import { describe, expect, it } from 'vitest';
import { scaled } from './transforms.ts';

useCpu();

/** y = gain f(x + 1), with a trainable gain whose square is a penalty. */
function amplified(initial: number): CallTransform<tf.Variable> {
  return {
    getClassName: () => 'ThimbleTestAmplified',
    getConfig: () => ({ initial }),
    build: (site) => site.addWeight('gain', [], initial, true),
    call(run, inputs, gain) {
      const y = run(inputs.map((x) => tf.add(x, 1)));
      return Array.isArray(y) ? y : tf.mul(y, gain);
    },
    penalty: (gain) => tf.square(gain) as tf.Scalar,
    codes: () => ({ output: { bits: 8, scale: 0.5, zeroPoint: 3, low: 0, high: 255 } }),
  };
}
registerCallTransform('ThimbleTestAmplified', ({ initial }) => amplified(initial as number));

const dense = () => tfl.layers.dense({ units: 3, activation: 'tanh', name: 'dense' });

describeLayerContract('dense with a call transform', {
  make: () => decorateCall(dense(), [amplified(2)]),
  inputShape: [4],
});
describeLayerContract('conv2d with a call and a weight transform', {
  make: () =>
    decorateCall(
      parametrize(tfl.layers.conv2d({ filters: 2, kernelSize: 2 }), { kernel: [scaled(0.5)] }),
      [amplified(2), amplified(-1)],
    ),
  inputShape: [3, 3, 1],
});
describeLayerContract('average pooling, which has no weights, with a call transform', {
  make: () => decorateCall(tfl.layers.averagePooling2d({ poolSize: 2 }), [amplified(2)]),
  inputShape: [4, 4, 1],
});
describeLayerContract('a dense layer in TimeDistributed with a call transform', {
  make: () => decorateCall(tfl.layers.timeDistributed({ layer: dense() }), [amplified(2)]),
  inputShape: [3, 2],
});

function network(decorateLate: boolean) {
  const input = tfl.input({ shape: [2] });
  const first = dense();
  const sum = tfl.layers.add({ name: 'sum' });
  const decorate = () => {
    decorateCall(first, [amplified(2)]);
    decorateCall(sum, [amplified(3)]);
  };
  if (!decorateLate) decorate();
  const y = first.apply(input) as tfl.SymbolicTensor;
  const model = tfl.model({ inputs: input, outputs: sum.apply([y, y]) as tfl.SymbolicTensor });
  if (decorateLate) decorate();
  return { model, first, sum };
}
const x = () => tf.tensor2d([[0.3, -0.7]]);

describe('decorateCall', () => {
  it('runs the transform around the layer', () => {
    const { model, first } = network(false);
    const [kernel, bias] = first.getWeights();
    // Twice gain 2 on tanh((x + 1) w + b); the sum gets each plus 1, times 3.
    const y = tf.mul(2, tf.tanh(tf.add(tf.matMul(tf.add(x(), 1), kernel as tf.Tensor2D), bias!)));
    expect(outputs(model, x())).toBeAllClose(tf.mul(3, tf.add(tf.add(y, 1), tf.add(y, 1))));
  });

  it.each([false, true])('survives saving, decorated after building: %s', async (late) => {
    const { model, first } = network(late);
    (callLinks(first)[0]!.state as tf.Variable).assign(tf.scalar(7));
    const loaded = await savedAndLoaded(model);
    expect(snapshot(loaded)).toEqual(snapshot(model));
    expectSameOutputs(model, loaded, x());
  });

  it('stays in a finalized model with its chains, and is reported', async () => {
    const { model, first } = network(false);
    parametrize(first, { kernel: [scaled(0.5)] });
    const plain = await finalize(model);
    expect(finalizeReport(plain).map(({ name }) => name)).toEqual(['dense', 'sum']);
    expectSameOutputs(model, plain, x());
    const again = await savedAndLoaded(plain);
    expectSameOutputs(model, again, x());
  });

  it('tells a graph how activations are coded, and keeps its weights out of it', () => {
    const graph = lower(network(false).model);
    const [, first] = graph.nodes;
    expect(first!.codes).toEqual({
      output: { bits: 8, scale: 0.5, zeroPoint: 3, low: 0, high: 255 },
    });
    expect(Object.keys(first!.weights)).toEqual(['kernel', 'bias']);
    expect(first!.attributes).not.toHaveProperty('parametrized');
  });

  it('adds penalties to the loss', () => {
    const { model } = network(false);
    const losses = (model as unknown as { calculateLosses(): tf.Scalar[] }).calculateLosses();
    expect(losses.map((loss) => loss.dataSync()[0])).toEqual([4, 9]);
  });

  it('names what is wrong', () => {
    expect(() => decorateCall(dense(), [])).toThrow('layer "dense" was given no transform');
    expect(() => decorateCall(network(false).model as never, [amplified(1)])).toThrow(
      'is a model, not a layer',
    );
    expect(() => registerCallTransform('ThimbleTestAmplified', () => amplified(1))).toThrow(
      'registered already',
    );
  });
});
