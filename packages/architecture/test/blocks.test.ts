// Blocks that are made of plain layers.
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import {
  depthwiseSeparableConv2d,
  fire,
  groupConv2d,
  invertedResidual,
  lowRankConv2d,
  lowRankDense,
} from '@thimble/architecture';
import { finalize, finalizeReport, kernelLayers, parametrize, summarize } from '@thimble/core';
import {
  describeLayerContract,
  expectNoLeaks,
  outputs,
  smallModel,
  useCpu,
} from '@thimble/testing';
import { describe, expect, it } from 'vitest';

useCpu();

type Make = (regularizer?: object) => tfl.layers.Layer;

/** A block, its input, and its weights and multiply-accumulates as the papers count them. */
interface Case {
  make: Make;
  inputShape: number[];
  params: number;
  macs: number;
}

// 6 x 6 positions, 4 channels. Norms have 4 numbers per channel.
const smooth = { activation: 'tanh' } as const;
const CASES: Record<string, Case> = {
  depthwiseSeparableConv2d: {
    make: () => depthwiseSeparableConv2d({ filters: 6, padding: 'same', ...smooth }),
    inputShape: [6, 6, 4],
    params: 9 * 4 + 4 * 4 + 4 * 6 + 4 * 6,
    macs: 36 * (9 * 4 + 4 * 6),
  },
  'depthwiseSeparableConv2d without norm, at half the width': {
    make: () =>
      depthwiseSeparableConv2d({
        ...{ filters: 12, kernelSize: [3, 1], depthMultiplier: 2, widthMultiplier: 0.5 },
        ...{ batchNormalization: false, ...smooth },
      }),
    inputShape: [6, 6, 4],
    params: 3 * 8 + 8 + 8 * 6 + 6,
    macs: 24 * (3 * 8 + 8 * 6),
  },
  invertedResidual: {
    make: () => invertedResidual({ filters: 4, expansion: 3, ...smooth }),
    inputShape: [6, 6, 4],
    params: 4 * 12 + 48 + 9 * 12 + 48 + 12 * 4 + 16,
    macs: 36 * (4 * 12 + 9 * 12 + 12 * 4),
  },
  'invertedResidual with stride, without expansion': {
    make: () => invertedResidual({ filters: 6, expansion: 1, strides: 2, ...smooth }),
    inputShape: [6, 6, 4],
    params: 9 * 4 + 16 + 4 * 6 + 24,
    macs: 9 * (9 * 4 + 4 * 6),
  },
  fire: {
    make: () => fire({ squeeze: 2, expand1x1: 3, expand3x3: 4, ...smooth }),
    inputShape: [6, 6, 4],
    params: 4 * 2 + 2 + 2 * 3 + 3 + 9 * 2 * 4 + 4,
    macs: 36 * (4 * 2 + 2 * 3 + 9 * 2 * 4),
  },
  groupConv2d: {
    make: () => groupConv2d({ filters: 6, kernelSize: 3, groups: 2, shuffle: true, ...smooth }),
    inputShape: [6, 6, 4],
    params: 9 * 2 * 6 + 6,
    macs: 16 * 9 * 2 * 6,
  },
  lowRankDense: {
    make: () => lowRankDense({ units: 5, rank: 2, ...smooth }),
    inputShape: [7],
    params: 2 * (7 + 5) + 5,
    macs: 2 * (7 + 5),
  },
  'lowRankConv2d spatial': {
    make: () => lowRankConv2d({ filters: 5, kernelSize: 3, rank: 2, strides: 2, ...smooth }),
    inputShape: [7, 7, 4],
    // Down to 3 rows at first, then to 3 columns.
    params: 2 * (3 * 4 + 3 * 5) + 5,
    macs: 3 * 7 * 2 * 3 * 4 + 3 * 3 * 2 * 3 * 5,
  },
  'lowRankConv2d channel': {
    make: () => lowRankConv2d({ filters: 5, kernelSize: 3, rank: 2, scheme: 'channel', ...smooth }),
    inputShape: [6, 6, 4],
    params: 2 * (9 * 4 + 5) + 5,
    macs: 16 * 2 * (9 * 4 + 5),
  },
  'lowRankConv2d tucker2': {
    make: () =>
      lowRankConv2d({ filters: 5, kernelSize: 3, rank: [2, 3], scheme: 'tucker2', ...smooth }),
    inputShape: [6, 6, 4],
    params: 4 * 2 + 9 * 2 * 3 + 3 * 5 + 5,
    macs: 36 * 4 * 2 + 16 * (9 * 2 * 3 + 3 * 5),
  },
  'lowRankConv2d cp': {
    make: () => lowRankConv2d({ filters: 5, kernelSize: 3, rank: 2, scheme: 'cp', ...smooth }),
    inputShape: [6, 6, 4],
    params: 2 * (4 + 3 + 3 + 5) + 5,
    macs: 36 * 4 * 2 + 24 * 2 * 3 + 16 * 2 * (3 + 5),
  },
};

for (const [name, { make, inputShape, params, macs }] of Object.entries(CASES)) {
  // Batch normalisation divides by a spread, so its curvature is high.
  describeLayerContract(name, {
    make,
    inputShape,
    gradients: { epsilon: 3e-3, tolerance: 3e-2 },
  });

  describe(name, () => {
    const x = () => tf.randomUniform([4, ...inputShape], -1, 1, 'float32', 3);
    /** Beside the head of the model, which is one dense unit. */
    const headOf = (model: tfl.LayersModel) => model.layers.at(-1)!.countParams();

    it('has the weights and multiply-accumulates that the paper counts', () => {
      const model = smallModel(make, inputShape);
      const { total, uncounted } = summarize(model);
      expect(uncounted).toEqual([]);
      expect(total.params - headOf(model)).toBe(params);
      expect(total.macs - (headOf(model) - 1)).toBe(macs);
    });

    it('becomes plain layers with the same outputs', async () => {
      const model = smallModel(make, inputShape);
      const inputs = x();
      const plain = await finalize(model);
      expect(finalizeReport(plain)).toEqual([]);
      const [before, after] = [outputs(model, inputs), outputs(plain, inputs)];
      for (const [i, y] of before.entries()) expect(after[i]).toBeCloseTo(y, 5);
      expect(summarize(plain).total).toEqual(summarize(model).total);
    });

    it('passes chains on to its kernels', async () => {
      const halved = {
        getClassName: () => 'TestHalved',
        getConfig: () => ({}),
        build: () => null,
        apply: (weight: tf.Tensor) => tf.mul(weight, 0.5),
        bake: (weight: tf.Tensor) => tf.mul(weight, 0.5),
        encoding: () => ({}),
      };
      const count = (model: tfl.LayersModel) =>
        kernelLayers('test', model).filter(
          (layer) => layer.getClassName() === 'ThimbleParametrized',
        );
      const before = smallModel(() => parametrize(make(), { kernel: [halved] }), inputShape);
      const after = smallModel(make, inputShape);
      parametrize(after.layers[1]!, { kernel: [halved] });
      expect(count(before).length).toBeGreaterThan(0);
      expect(count(before).length).toBe(count(after).length);
      const inputs = x();
      expect(outputs(after, inputs)).toEqual(outputs(before, inputs));
      expect(outputs(smallModel(make, inputShape), inputs)).not.toEqual(outputs(before, inputs));
      const plain = await finalize(before);
      const [with_, without] = [outputs(before, inputs), outputs(plain, inputs)];
      for (const [i, y] of with_.entries()) expect(without[i]).toBeCloseTo(y, 5);
      expect(() => parametrize(make(), { gamma9: [halved] })).toThrow(/none has a weight "gamma9"/);
    });

    it('is let go of with its model', async () => {
      const model = () => {
        const layer = make();
        const input = tfl.input({ shape: inputShape });
        return tfl.model({ inputs: input, outputs: layer.apply(input) as tfl.SymbolicTensor });
      };
      await expectNoLeaks(() => model().dispose());
    });
  });
}
