import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { UnsupportedError } from '@thimble/base';
import {
  finalize,
  finalizeReport,
  parametrize,
  parametrizedWeights,
  walkLayers,
} from '@thimble/core';
import {
  expectNoLeaks,
  expectSameOutputs,
  outputs,
  savedAndLoaded,
  snapshot,
  useCpu,
} from '@thimble/testing';
import { describe, expect, it } from 'vitest';
import { constant, scaled, shifted } from './transforms.ts';

useCpu();

const { input, dense, conv2d, flatten, concatenate, lstm, bidirectional, timeDistributed } =
  tfl.layers;
const symbolic = (x: unknown) => x as tfl.SymbolicTensor;

/** Two inputs, a shared layer, nested sequential and functional models, wrappers, two outputs. */
function network(): tfl.LayersModel {
  const image = input({ shape: [4, 4, 1], name: 'image' });
  const sequence = input({ shape: [3, 2], name: 'sequence' });
  const convolution = parametrize(
    conv2d({ filters: 2, kernelSize: 3, name: 'convolution', inputShape: [4, 4, 1] }),
    {
      kernel: [shifted(), scaled(2)],
      bias: [shifted()],
    },
  );
  const shared = parametrize(dense({ units: 3, name: 'shared', kernelConstraint: 'nonNeg' }), {
    kernel: [scaled(-1)],
  });
  const nested = tfl.sequential({
    name: 'nested',
    layers: [
      convolution,
      flatten(),
      parametrize(dense({ units: 2, name: 'deep' }), { kernel: [constant()] }),
    ],
  } as never);
  const read = parametrize(
    bidirectional({
      layer: lstm({ units: 2, returnSequences: true }) as tfl.RNN,
      mergeMode: 'concat',
      name: 'read',
    }),
    { kernel: [scaled(3)], recurrentKernel: [shifted()] },
  );
  const steps = parametrize(timeDistributed({ layer: dense({ units: 2 }), name: 'steps' }), {
    kernel: [shifted()],
  });
  const a = symbolic(nested.apply(image));
  const b = symbolic(
    flatten({ name: 'flat' }).apply(symbolic(steps.apply(symbolic(read.apply(sequence))))),
  );
  const small = symbolic(dense({ units: 2, name: 'small' }).apply(b));
  const branch = tfl.model({ inputs: [image, sequence], outputs: [a, small], name: 'branch' });
  const [p, q] = branch.apply([image, sequence]) as tfl.SymbolicTensor[];
  const first = symbolic(shared.apply(p!));
  const second = symbolic(shared.apply(q!));
  const joined = symbolic(concatenate({ name: 'joined' }).apply([first, second]));
  return tfl.model({ inputs: [sequence, image], outputs: [joined, second], name: 'network' });
}

const x = () => [
  tf.randomNormal([2, 3, 2], 0, 1, 'float32', 1),
  tf.randomNormal([2, 4, 4, 1], 0, 1, 'float32', 2),
];

describe('finalize', () => {
  it('bakes functional, nested, shared and wrapped layers', async () => {
    const model = network();
    const before = snapshot(model);
    const plain = await finalize(model);
    expectSameOutputs(model, plain, x() as never);
    expect(snapshot(model)).toEqual(before);
    const classes = walkLayers(plain).map((layer) => layer.getClassName());
    expect(classes).not.toContain('ThimbleParametrized');
    expect(parametrizedWeights(plain)).toEqual([]);
    expect(plain.countParams()).toBe(model.countParams() - countAdded(model));
    expect(plain.inputNames).toEqual(model.inputNames);
    expect(plain.outputNames).toEqual(model.outputNames);
    expect(finalizeReport(plain)).toEqual([]);
  });

  it('bakes what no constraint of the stored weight would allow', async () => {
    const layer = dense({
      units: 1,
      inputShape: [1],
      kernelInitializer: 'ones',
      kernelConstraint: 'nonNeg',
    });
    const model = tfl.sequential({ layers: [parametrize(layer, { kernel: [scaled(-2)] })] });
    expect(outputs(await finalize(model), tf.ones([1, 1]))).toEqual([-2]);
  });

  it('gives a model that lives and dies by itself', async () => {
    const model = network();
    const kept = outputs(model, x() as never);
    const copy = await finalize(model);
    copy.dispose();
    expect(outputs(model, x() as never)).toEqual(kept);
    // By hand: a model's dispose leaves the weights of a layer that it applies twice.
    await expectNoLeaks(async () => {
      for (const weight of (await finalize(model)).weights) weight.dispose();
    });
    const plain = await finalize(model);
    model.dispose();
    expect(outputs(plain, x() as never)).toEqual(kept);
  });

  it('keeps and reports layers that plain TensorFlow.js does not have', async () => {
    const model = tfl.sequential({
      layers: [dense({ units: 2, inputShape: [2] }), new ThimbleTestDoubling({ name: 'own' })],
    });
    const plain = await finalize(model);
    expect(finalizeReport(plain)).toEqual([{ name: 'own', className: 'ThimbleTestDoubling' }]);
    expectSameOutputs(model, plain, tf.ones([1, 2]));
    expect(() => finalizeReport(model)).toThrow(UnsupportedError);
  });

  it('gives and loads layers that take transforms like any other', async () => {
    const model = tfl.sequential({ layers: [dense({ units: 2, inputShape: [2] })] });
    for (const copy of [await finalize(model), await savedAndLoaded(model)]) {
      parametrize(copy.layers[0]!, { kernel: [shifted()] });
      const [weight] = parametrizedWeights(copy);
      // 0.5 is where the offset begins.
      expect(weight!.variables.at(-1)!.dataSync()).toEqual(Float32Array.of(0.5));
    }
  });

  it('refuses a model without weights', async () => {
    await expect(finalize(tfl.sequential())).rejects.toThrow(UnsupportedError);
  });
});

function countAdded(model: tfl.LayersModel): number {
  return model.weights
    .filter(({ originalName }) => /_(offset|value)$/.test(originalName))
    .reduce((sum, { shape }) => sum + (shape as number[]).reduce((n, size) => n * size, 1), 0);
}

class ThimbleTestDoubling extends tfl.layers.Layer {
  static className = 'ThimbleTestDoubling';
  override call(inputs: tf.Tensor | tf.Tensor[]): tf.Tensor {
    return tf.mul([inputs].flat()[0]!, 2);
  }
}
tf.serialization.registerClass(ThimbleTestDoubling);
