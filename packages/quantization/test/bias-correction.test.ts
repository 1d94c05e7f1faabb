import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { withSeed } from '@thimble/base';
import { copyModel, linearPart, probe, trace } from '@thimble/core';
import { correctBias, quantize } from '@thimble/quantization';
import { expectNoLeaks, outputs, snapshot, useCpu } from '@thimble/testing';
import { describe, expect, it } from 'vitest';

useCpu();

const quiet = { progress: false } as const;
const { conv2d, dense, depthwiseConv2d, flatten, globalAveragePooling2d, reLU } = tfl.layers;
const bias = { biasInitializer: 'randomNormal' } as const;

/** Two branches, a sum, a model inside the model, and a layer that is called again with what it gave. */
function branched(): tfl.LayersModel {
  return withSeed(5, () => {
    const inner = tfl.sequential({
      layers: [
        depthwiseConv2d({ kernelSize: 2, padding: 'same', inputShape: [4, 4, 3], ...bias }),
        reLU(),
        conv2d({ filters: 3, kernelSize: 1, ...bias }),
      ],
    });
    const input = tfl.input({ shape: [4, 4, 2] });
    const stem = conv2d({
      filters: 3,
      kernelSize: 2,
      padding: 'same',
      activation: 'relu',
      ...bias,
    });
    const x = stem.apply(input) as tfl.SymbolicTensor;
    const left = conv2d({ filters: 3, kernelSize: 1, ...bias }).apply(x) as tfl.SymbolicTensor;
    const right = inner.apply(x) as tfl.SymbolicTensor;
    const sum = tfl.layers.add().apply([left, x, right]) as tfl.SymbolicTensor;
    const rows = tfl.layers.timeDistributed({ layer: conv1(3) }).apply(sum) as tfl.SymbolicTensor;
    const shared = dense({ units: 3, activation: 'relu', ...bias });
    const pooled = globalAveragePooling2d({}).apply(rows);
    const twice = shared.apply(shared.apply(pooled)) as tfl.SymbolicTensor;
    return tfl.model({
      inputs: input,
      outputs: dense({ units: 2, ...bias }).apply(twice) as tfl.SymbolicTensor,
    });
  });
}

const conv1 = (filters: number) => tfl.layers.conv1d({ filters, kernelSize: 1, ...bias });

function deep(depth: number): tfl.LayersModel {
  const blocks = Array.from({ length: depth }, () => [dense({ units: 4, ...bias }), reLU()]);
  return withSeed(1, () =>
    tfl.sequential({ layers: [flatten({ inputShape: [2, 2, 1] }), ...blocks.flat()] }),
  );
}

/** The definition: for each layer the whole of both models, on all examples at once. */
async function correctOneByOne(model: tfl.LayersModel, original: tfl.LayersModel, xs: tf.Tensor) {
  const layersOf = (of: tfl.LayersModel) => {
    const { graph, layers } = trace(of);
    const all = graph.nodes.flatMap(({ layer }) => layers.get(layer) ?? []);
    return [...new Set(all)].filter((layer) => 'bias' in layer);
  };
  const means = async (of: tfl.LayersModel, layer: tfl.layers.Layer) => {
    const found: tf.Tensor[] = [];
    const ys = of.outputs.map(({ shape }) =>
      tf.zeros([xs.shape[0]!, ...(shape.slice(1) as number[])]),
    );
    await probe(of, { xs, ys }, { layers: [layer], batchSize: 1000, ...quiet }, ({ inputs }) => {
      for (const input of inputs[0]!) {
        const answer = linearPart(layer, input);
        found.push(tf.reshape(answer, [-1, answer.shape.at(-1)!]));
      }
    });
    return tf.mean(tf.concat(found, 0), 0);
  };
  const biasOf = (layer: tfl.layers.Layer) =>
    (layer as unknown as { bias: { read(): tf.Variable } }).bias.read();
  const ours = layersOf(model);
  for (const [i, layer] of layersOf(original).entries()) {
    const shift = tf.sub(await means(original, layer), await means(model, ours[i]!));
    biasOf(ours[i]!).assign(tf.add(biasOf(layer), shift));
  }
}

function calibrationOf(model: tfl.LayersModel, n: number) {
  const [, ...shape] = model.inputs[0]!.shape as number[];
  const [, ...out] = model.outputs[0]!.shape as number[];
  return { xs: tf.randomUniform([n, ...shape], 0, 1, 'float32', 7), ys: tf.zeros([n, ...out]) };
}

describe('correctBias', () => {
  it('is what correcting one layer after the other by whole passes is, also with branches and sharing', async () => {
    for (const original of [branched(), deep(4)]) {
      const calibration = calibrationOf(original, 24);
      const q = await quantize(original, { bits: 2, granularity: 'tensor' });
      const wanted = await copyModel(q);
      await correctOneByOne(wanted, original, calibration.xs);
      const before = outputs(q, calibration.xs);
      await correctBias(q, { original, calibration, batchSize: 10, ...quiet });
      expect(outputs(q, calibration.xs)).toBeAllClose(outputs(wanted, calibration.xs), 1e-5);
      expect(outputs(q, calibration.xs)).not.toBeAllClose(before, 1e-2);
      const [ours, theirs] = [snapshot(q), snapshot(wanted)].map((all) =>
        Object.values(all).flat(),
      );
      expect(ours as number[]).toBeAllClose(theirs as number[], 1e-5);
    }
  });

  it('computes a layer as often in a deep model as in a shallow one', async () => {
    const callsIn = async (depth: number) => {
      const original = deep(depth);
      const q = await quantize(original, { bits: 2 });
      let calls = 0;
      for (const layer of q.layers) {
        const { call } = layer;
        layer.call = (...args: Parameters<typeof call>) => {
          calls++;
          return call.apply(layer, args);
        };
      }
      await correctBias(q, { original, calibration: calibrationOf(original, 8), ...quiet });
      return calls / q.layers.length;
    };
    expect(await callsIn(16)).toBeLessThanOrEqual(2);
  });

  it('leaves no tensor behind, nor when it is stopped', async () => {
    const original = branched();
    const q = await quantize(original, { bits: 2 });
    const calibration = calibrationOf(original, 8);
    await expectNoLeaks(async () => {
      await correctBias(q, { original, calibration, batchSize: 3, ...quiet });
    });
    let batches = 0;
    const failing = {
      size: 8,
      batch: (indices: ArrayLike<number>) => {
        if (++batches > 5) throw new Error('no more');
        return {
          xs: [tf.ones([indices.length, 4, 4, 2])],
          ys: [tf.zeros([indices.length, 2])],
        };
      },
    };
    const before = snapshot(q);
    await expectNoLeaks(async () => {
      batches = 0;
      const options = { original, calibration: failing, batchSize: 3, ...quiet };
      await expect(correctBias(q, options)).rejects.toThrow('no more');
    });
    expect(snapshot(q)).toEqual(before);
  });
});
