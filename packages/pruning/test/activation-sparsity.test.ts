import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { NoMatchError, OptionError, Random, UnsupportedError, withSeed } from '@thimble/base';
import { type FitOptions, fit, lossAndGradients, parametrize, supervisedStep } from '@thimble/core';
import { activationSparsity, mask } from '@thimble/pruning';
import { describeCallbackContract, expectNoLeaks, useCpu } from '@thimble/testing';
import { describe, expect, it } from 'vitest';

useCpu();

const { activation, add, dense, reLU, timeDistributed } = tfl.layers;

describeCallbackContract('activationSparsity', {
  make: () =>
    activationSparsity({ strength: 0.1, layers: (layer) => layer.getClassName() === 'Dense' }),
  changesTraining: true,
  onlyInsideFit: 'it has no place for a callback in the loss',
});

/** A dense layer with this kernel, without bias. */
function fixed(kernel: number[][], args: Partial<Parameters<typeof dense>[0]> = {}) {
  const units = kernel[0]!.length;
  return dense({ units, useBias: false, weights: [tf.tensor2d(kernel)], ...args });
}

const options: FitOptions = {
  loss: 'meanSquaredError',
  optimizer: 'sgd',
  learningRate: 0,
  batchSize: 2,
  progress: false,
};
/** Two examples, 1 and -2, with labels 0. */
const pair = { xs: new Float32Array([1, -2]), ys: new Float32Array(2) };

/** The layer's outputs are relu(x), relu(-x) and relu(2 x): 1, 0, 2 and 0, 2, 0. The model gives 0. */
function network(layers: tfl.layers.Layer[]): tfl.Sequential {
  return tfl.sequential({ layers: [...layers, fixed([[0], [0], [0]], { name: 'out' })] });
}
const kernel = [[1, -1, 2]];
const lossOf = async (model: tfl.LayersModel, callback: ReturnType<typeof activationSparsity>) =>
  (await fit(model, pair, { ...options, callbacks: [callback] })).logs.loss![0];

describe('activationSparsity', () => {
  it.each([
    ['dense with relu', () => [fixed(kernel, { activation: 'relu', inputShape: [1] })]],
    ['dense with relu6', () => [fixed(kernel, { activation: 'relu6', inputShape: [1] })]],
    [
      'an activation layer',
      () => [fixed(kernel, { inputShape: [1] }), activation({ activation: 'relu' })],
    ],
    ['a ReLU layer', () => [fixed(kernel, { inputShape: [1] }), reLU()]],
    [
      'a parametrized layer',
      () => [
        parametrize(fixed(kernel, { activation: 'relu', inputShape: [1] }), { kernel: [mask()] }),
      ],
    ],
    [
      'a nested model',
      () => [tfl.sequential({ layers: [fixed(kernel, { activation: 'relu', inputShape: [1] })] })],
    ],
  ])('adds strength * mean |output| of %s', async (_name, layers) => {
    // (1 + 2 + 2) / 6
    const loss = await lossOf(network(layers()), activationSparsity({ strength: 0.3 }));
    expect(loss).toBeCloseTo(0.25, 6);
  });

  it('takes the layers that are named, whatever their activation', async () => {
    const layers = () => [fixed(kernel, { name: 'a', inputShape: [1] }), reLU({ name: 'b' })];
    const charge = (named: string[]) =>
      lossOf(network(layers()), activationSparsity({ strength: 0.3, layers: named }));
    // outputs 1, -1, 2 and -2, 2, -4
    expect(await charge(['a'])).toBeCloseTo(0.3 * 2, 6);
    expect(await charge(['a', 'b'])).toBeCloseTo(0.3 * 2 + 0.25, 6);
  });

  it('counts every use of a shared layer, also by the steps of TimeDistributed', async () => {
    const input = tfl.input({ shape: [1] });
    const shared = fixed([[1]], { activation: 'relu' });
    const once = shared.apply(input) as tfl.SymbolicTensor;
    const twice = shared.apply(once) as tfl.SymbolicTensor;
    const outputs = fixed([[0]]).apply(add().apply([once, twice])) as tfl.SymbolicTensor;
    const model = tfl.model({ inputs: input, outputs });
    expect(await lossOf(model, activationSparsity({ strength: 1 }))).toBeCloseTo(2 * 0.5, 6);

    const step = dense({ units: 1, activation: 'relu', kernelInitializer: 'ones' });
    const sequence = tfl.sequential({
      layers: [
        timeDistributed({ layer: step, inputShape: [2, 1] }),
        tfl.layers.flatten(),
        fixed([[0], [0]]),
      ],
    });
    const data = { xs: tf.tensor3d([[[1], [3]]]), ys: tf.zeros([1, 1]) };
    const callbacks = [activationSparsity({ strength: 1 })];
    const { logs } = await fit(sequence, data, { ...options, callbacks });
    expect(logs.loss).toBeAllClose([1 + 3], 1e-6);
  });

  it('has the gradient strength * sign / size, and none at an output of 0', async () => {
    const model = network([fixed([[1, -1, 0]], { inputShape: [1], name: 'a' })]);
    const callbacks = [activationSparsity({ strength: 0.6, layers: 'a' })];
    const { logs } = await fit(model, pair, { ...options, learningRate: 1, callbacks });
    expect(logs.loss).toBeAllClose([0.6], 1e-6);
    // d |w x| / dw = sign(w x) x, for x = 1 and -2 together 3 sign(w); 0.6 / 6 of it
    expect(model.layers[0]!.getWeights()[0]!).toBeAllClose([[1 - 0.3, -1 + 0.3, 0]], 1e-6);
  });

  it('makes more outputs zero in training', async () => {
    const random = new Random('activations');
    const xs = Float32Array.from({ length: 4 * 128 }, () => random.normal());
    const ys = Float32Array.from({ length: 128 }, (_, i) => Math.max(0, xs[4 * i]!));
    const zeros = async (callbacks: FitOptions['callbacks'] = []) => {
      const model = withSeed(1, () =>
        tfl.sequential({
          layers: [dense({ units: 16, activation: 'relu', inputShape: [4] }), dense({ units: 1 })],
        }),
      );
      const { logs } = await fit(
        model,
        { xs, ys },
        {
          ...options,
          optimizer: 'adam',
          learningRate: 0.02,
          batchSize: 32,
          epochs: 30,
          metrics: ['mse'],
          callbacks,
        },
      );
      const hidden = tfl.model({
        inputs: model.inputs,
        outputs: model.layers[0]!.output as tfl.SymbolicTensor,
      });
      const values = (hidden.predict(tf.tensor2d(xs, [128, 4])) as tf.Tensor).dataSync();
      const share = values.filter((value) => value === 0).length / values.length;
      return { share, error: logs.mse!.at(-1)! };
    };
    const [without, with_] = [await zeros(), await zeros([activationSparsity({ strength: 0.3 })])];
    expect(with_.share).toBeGreaterThan(without.share + 0.1);
    expect(with_.error).toBeLessThan(0.1);
  });

  it('leaves nothing behind when the forward pass fails', async () => {
    const model = network([fixed(kernel, { activation: 'relu', inputShape: [1] })]);
    const failing = {
      forward: (run: () => tf.Tensor[]): tf.Tensor[] => {
        run();
        throw new Error('on purpose');
      },
    };
    const callbacks = [failing, activationSparsity({ strength: 1 })];
    await expectNoLeaks(async () => {
      await expect(fit(model, pair, { ...options, callbacks })).rejects.toThrow('on purpose');
    });
  });

  it('says what is wrong', async () => {
    const call = (given: object) => () => activationSparsity({ strength: 1, ...given });
    expect(call({ strength: -1 })).toThrow(OptionError);
    expect(call({ strength: -1 })).toThrow(
      'activationSparsity: strength must be a number at least 0',
    );
    expect(call({ targets: 'a' })).toThrow('unknown option "targets"');

    const model = network([fixed(kernel, { inputShape: [1], name: 'a' })]);
    const run = (given: Partial<FitOptions>) => fit(model, pair, { ...options, ...given });
    const none = run({ callbacks: [activationSparsity({ strength: 1 })] });
    await expect(none).rejects.toThrow(NoMatchError);
    await expect(none).rejects.toThrow('ends in a ReLU. Name others in the option layers: a, out.');
    const wrong = run({ callbacks: [activationSparsity({ strength: 1, layers: 'b' })] });
    await expect(wrong).rejects.toThrow(
      'activationSparsity: the target "b" matches no layer. Layers: a, out.',
    );

    const input = tfl.input({ shape: [1], name: 'in' });
    const functional = tfl.model({
      inputs: input,
      outputs: fixed([[1]], { name: 'only' }).apply(input) as tfl.SymbolicTensor,
    });
    const onInput = activationSparsity({ strength: 1, layers: 'in' });
    await expect(lossOf(functional, onInput)).rejects.toThrow('matches no layer. Layers: only.');

    const callbacks = [activationSparsity({ strength: 1, layers: 'a' })];
    const step: FitOptions['step'] = ({ variables }) => ({
      ...lossAndGradients(() => tf.sum(tf.square(variables[0]!)) as tf.Scalar, variables),
      logs: {},
    });
    await expect(run({ callbacks, step })).rejects.toThrow(UnsupportedError);
    await expect(run({ callbacks, step })).rejects.toThrow(
      'does not call the hooks forward and loss',
    );
    await run({ callbacks, step: supervisedStep({ loss: 'meanSquaredError' }) });

    model.compile({ optimizer: 'sgd', loss: 'meanSquaredError' });
    const stock = model.fit(tf.zeros([2, 1]), tf.zeros([2, 1]), {
      callbacks: callbacks as unknown as tfl.ModelFitArgs['callbacks'],
    });
    await expect(stock).rejects.toThrow("tfjs's own fit has no place for a callback in the loss");
  });
});
