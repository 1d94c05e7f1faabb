import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { OptionError, Random, UnsupportedError, withSeed } from '@thimble/base';
import {
  finalize,
  finalizeReport,
  fit,
  foldBatchNorm,
  foldReport,
  lower,
  parametrize,
  parametrizedWeights,
  recalibrateBatchNorm,
  type WeightTransform,
  walkLayers,
} from '@thimble/core';
import { runInteger } from '@thimble/graph';
import {
  clusterWeights,
  codebook,
  fakeQuantActivations,
  fuseBatchNorm,
  hashed,
  quantizationAwareTraining,
  quantizeActivations,
  quantizeAware,
} from '@thimble/quantization';
import { expectNoLeaks, outputs, savedAndLoaded, snapshot, useCpu } from '@thimble/testing';
import { describe, expect, it } from 'vitest';
import { freezeFusedNorms } from '../src/fuse-batch-norm.ts';

useCpu();

const { layers } = tfl;

/** Two convolutions with batch normalisation that has seen training, and a dense layer. */
function network() {
  const model = withSeed(5, () =>
    tfl.sequential({
      layers: [
        layers.conv2d({
          filters: 3,
          kernelSize: 3,
          useBias: false,
          inputShape: [6, 6, 2],
          name: 'conv',
        }),
        layers.batchNormalization({ momentum: 0.8, name: 'norm' }),
        layers.reLU({ name: 'relu' }),
        layers.depthwiseConv2d({
          kernelSize: 2,
          depthMultiplier: 2,
          biasInitializer: 'randomNormal',
          name: 'depthwise',
        }),
        layers.batchNormalization({ momentum: 0.8, name: 'norm2' }),
        layers.flatten(),
        layers.dense({ units: 2, name: 'last' }),
      ],
    }),
  );
  const random = new Random('statistics');
  for (const layer of [model.getLayer('norm'), model.getLayer('norm2')]) {
    for (const weight of layer.weights) {
      const [low, high] = /variance/.test(weight.originalName) ? [0.2, 2] : [-1, 1];
      weight.write(
        tf.tensor(Float32Array.from({ length: weight.shape[0]! }, () => random.uniform(low, high))),
      );
    }
  }
  return model;
}

const x = (n = 6) => tf.randomUniform([n, 6, 6, 2], -1, 1, 'float32', 8);
const inTraining = (model: tfl.LayersModel) =>
  tf.tidy(() => Array.from((model.apply(x(), { training: true }) as tf.Tensor).dataSync()));

/** Gradients of a fixed weighted sum of the outputs in training mode, by name of the weight. */
function gradients(model: tfl.LayersModel): Record<string, Float32Array> {
  const variables = model.trainableWeights.map((weight) => weight.read() as tf.Variable);
  const { grads } = tf.variableGrads(() => {
    const y = model.apply(x(), { training: true }) as tf.Tensor;
    return tf.sum(tf.mul(y, tf.reshape(tf.range(1, y.size + 1), y.shape))) as tf.Scalar;
  }, variables);
  return Object.fromEntries(
    model.trainableWeights.map((weight, i) => [
      weight.originalName,
      grads[variables[i]!.name]!.dataSync() as Float32Array,
    ]),
  );
}

describe('fuseBatchNorm', () => {
  it('gives the same outputs at test time from fewer layers', async () => {
    const model = network();
    const fused = await fuseBatchNorm(model);
    expect(outputs(fused, x())).toBeAllClose(outputs(model, x()), 1e-5);
    expect(foldReport(fused).folded).toHaveLength(2);
    expect(walkLayers(fused).map(({ name }) => name)).not.toContain('norm');
  });

  it('gives the same outputs, statistics and gradients in training', async () => {
    const model = network();
    const fused = await fuseBatchNorm(model);
    expect(inTraining(fused)).toBeAllClose(inTraining(model), 1e-4);
    const [plain, made] = [snapshot(model), snapshot(fused)];
    for (const [norm, kernel] of [
      ['norm', 'conv/kernel'],
      ['norm2', 'depthwise/depthwise_kernel'],
    ]) {
      for (const statistic of ['moving_mean', 'moving_variance']) {
        expect(made[`${kernel}_${statistic}`]!).toBeAllClose(plain[`${norm}/${statistic}`]!, 1e-4);
      }
    }
    const [expected, found] = [gradients(model), gradients(fused)];
    for (const [theirs, ours] of [
      ['conv/kernel', 'conv/kernel'],
      ['norm/gamma', 'conv/kernel_gamma'],
      ['norm/beta', 'conv/kernel_beta'],
      ['depthwise/depthwise_kernel', 'depthwise/depthwise_kernel'],
      ['norm2/gamma', 'depthwise/depthwise_kernel_gamma'],
      ['norm2/beta', 'depthwise/depthwise_kernel_beta'],
      ['last/kernel', 'last/kernel'],
    ]) {
      expect(found[ours!]!, ours).toBeAllClose(expected[theirs!]!, 2e-3);
    }
  });

  it('rounds the folded kernel, and runs in integers bit for bit', async () => {
    const fused = quantizeAware(await fuseBatchNorm(network()), { weights: 6, activations: 6 });
    const data = { xs: x(16), ys: tf.ones([16, 2]) };
    await fit(fused, data, {
      epochs: 3,
      batchSize: 8,
      optimizer: 'sgd',
      loss: 'meanSquaredError',
      progress: false,
      callbacks: [quantizationAwareTraining({ observeSteps: 1, freezeRangesAfter: 4 })],
    });
    const graph = lower(fused);
    expect(Object.keys(graph.weights)).not.toContain('conv/kernel_gamma');
    expect(graph.weights['conv/kernel']!.encoding.values).toMatchObject({
      type: 'affine',
      bits: 6,
    });
    const zero = (values: ArrayLike<number>) => Array.from(values, (value) => value + 0);
    const run = runInteger(graph, [Float32Array.from(x().dataSync())]);
    expect(run.beyondFloat32).toEqual([]);
    expect(zero(run.outputs[0]!)).toEqual(zero(outputs(fused, x())));
    // Frozen: training computes what test time does, and so what integers do.
    expect(zero(inTraining(fused))).toEqual(zero(run.outputs[0]!));
    const loaded = await savedAndLoaded(fused);
    expect(snapshot(loaded)).toEqual(snapshot(fused));
    expect(outputs(loaded, x())).toEqual(outputs(fused, x()));
  });

  it('holds statistics still once frozen, and lets them move again', async () => {
    const fused = quantizeAware(await fuseBatchNorm(network()));
    const means: number[][] = [];
    const watcher = {
      afterStep: () => {
        means.push(snapshot(fused)['conv/kernel_moving_mean']!);
      },
    };
    const run = () =>
      fit(
        fused,
        { xs: x(24), ys: tf.ones([24, 2]) },
        {
          epochs: 1,
          batchSize: 6,
          optimizer: 'sgd',
          loss: 'meanSquaredError',
          progress: false,
          callbacks: [quantizationAwareTraining({ freezeBatchNormAfter: 2 }), watcher],
        },
      );
    await run();
    expect(means[1]).not.toEqual(means[0]);
    expect(means[3]).toEqual(means[1]);
    await run();
    expect(means[4]).not.toEqual(means[3]);
  });

  it('gets the statistics of present inputs, also while they are held still', async () => {
    const model = network();
    const fused = await fuseBatchNorm(model);
    freezeFusedNorms(fused, true);
    const data = { xs: x(24), ys: tf.ones([24, 2]) };
    await recalibrateBatchNorm(model, data, { batchSize: 10, progress: false });
    await recalibrateBatchNorm(fused, data, { batchSize: 10, progress: false });
    const [expected, found] = [snapshot(model), snapshot(fused)];
    expect(found['conv/kernel_moving_mean']!).toBeAllClose(expected['norm/moving_mean']!, 1e-4);
    expect(found['conv/kernel_moving_variance']!).toBeAllClose(
      expected['norm/moving_variance']!,
      1e-4,
    );
    expect(inTraining(fused)).toEqual(outputs(fused, x())); // held still again
  });

  it('loses its rounding of activations where a plain model is asked for', async () => {
    const fused = quantizeAware(await fuseBatchNorm(network()));
    inTraining(fused);
    const kept = await finalize(fused);
    expect(finalizeReport(kept).length).toBeGreaterThan(0);
    expect(outputs(kept, x())).toEqual(outputs(fused, x()));
    const plain = await finalize(fused, { dropCallTransforms: true });
    expect(finalizeReport(plain)).toEqual([]);
    const baked = parametrizedWeights(fused)
      .find(({ weight }) => weight === 'kernel')!
      .bake();
    const kernel = (plain.getLayer('conv') as unknown as { kernel: { read(): tf.Tensor } }).kernel;
    expect([...kernel.read().dataSync()]).toEqual([...baked.dataSync()]);
    // 8 bits of activations: close, and not the same.
    expect(outputs(plain, x())).toBeAllClose(outputs(fused, x()), 0.05);
    expect(outputs(plain, x())).not.toEqual(outputs(fused, x()));
    await expect(finalize(fused, { drop: true } as never)).rejects.toThrow(OptionError);
  });

  it('gives beta where gamma is 0', async () => {
    const model = network();
    model.getLayer('norm').weights[0]!.write(tf.zeros([3]));
    const fused = await fuseBatchNorm(model);
    expect(inTraining(fused)).toBeAllClose(inTraining(model), 1e-4);
    expect(outputs(fused, x())).toBeAllClose(outputs(model, x()), 1e-2);
  });

  it('leaves no tensor behind, and names what it cannot do', async () => {
    const model = network();
    await expectNoLeaks(async () => (await fuseBatchNorm(model)).dispose());
    const fused = await fuseBatchNorm(model);
    const output = fakeQuantActivations({ bits: 8 });
    expect(() => quantizeActivations(fused.getLayer('conv'), { output })).toThrow(
      'layer "conv" has fused batch normalisation',
    );
    expect(() => quantizeActivations(fused.getLayer('last'), { output })).not.toThrow();
  });
});

describe('shared values and batch normalisation', () => {
  const conv = (model: tfl.LayersModel) => model.getLayer('conv');
  /** The different values of a plain kernel. */
  const values = (kernel: tf.Tensor) => new Set(kernel.dataSync()).size;
  const plainKernel = async (model: tfl.LayersModel) => {
    const plain = await finalize(model, { dropCallTransforms: true });
    return conv(plain).getWeights()[0]!;
  };

  it('are as many as asked for on a kernel into which it was folded', async () => {
    const folded = await foldBatchNorm(network());
    clusterWeights(folded, { clusters: 6, targets: 'conv' });
    quantizeAware(folded, { weights: 8, activations: 8, ignore: ['depthwise'] });
    folded.compile({ optimizer: tf.train.sgd(0.05), loss: 'meanSquaredError' });
    await folded.fit(tf.randomNormal([8, 6, 6, 2]), tf.randomNormal([8, 2]), { verbose: 0 });
    expect(values(await plainKernel(folded))).toBeLessThanOrEqual(6);
  });

  it('are refused where fused normalisation would scale them, and nothing is changed', async () => {
    const fused = await fuseBatchNorm(network());
    const before = snapshot(fused);
    const remedy = 'Start from foldBatchNorm';
    expect(() => clusterWeights(fused, { clusters: 6 })).toThrow(remedy);
    for (const transform of [codebook({ clusters: 6 }), hashed({ buckets: 6 })]) {
      const kernel = [transform as WeightTransform];
      expect(() => parametrize(conv(fused), { kernel })).toThrow(UnsupportedError);
    }
    expect(snapshot(fused)).toEqual(before);
    expect(parametrizedWeights(conv(fused)).flatMap(({ links }) => links)).toHaveLength(2);
    // The kernel of the last layer is not scaled; two inputs of a depthwise channel are, differently.
    clusterWeights(fused, { clusters: 3, targets: 'last' });
    const perChannel = { clusters: 2, perChannel: true, targets: 'depthwise' };
    expect(() => clusterWeights(fused, perChannel)).toThrow(remedy);
  });

  it('of each channel stay so many, and are what the encoding says', async () => {
    const fused = await fuseBatchNorm(network());
    clusterWeights(fused, { clusters: 4, perChannel: true, targets: 'conv' });
    const [kernel] = parametrizedWeights(conv(fused)).filter(({ weight }) => weight === 'kernel');
    const plain = await plainKernel(fused);
    const { values: code } = kernel!.encoding();
    const found = tf.unstack(plain, -1).flatMap((filter) => {
      expect(values(filter)).toBe(4);
      return [...new Set(filter.dataSync())].sort((a, b) => a - b);
    });
    expect(code).toMatchObject({ type: 'codebook', axis: 3 });
    expect([...(code as { centroids: Float32Array }).centroids]).toBeAllClose(found, 1e-6);
  });
});
