// What training simulates is what integers compute: whole models, every layer's output, bit for bit.
import '@thimble/backend';
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { Random, withSeed } from '@thimble/base';
import { lower } from '@thimble/core';
import { type Graph, runInteger } from '@thimble/graph';
import { quantizeAware } from '@thimble/quantization';
import { useCpu } from '@thimble/testing';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';

useCpu();

const { layers } = tfl;

/** A step of a generated network. */
interface Piece {
  kind: string;
  size: number;
  stride: number;
  same: boolean;
  relu: string;
  filters: number;
}

const piece: fc.Arbitrary<Piece> = fc.record({
  kind: fc.constantFrom('conv', 'depthwise', 'max', 'average', 'residual', 'relu', 'concatenate'),
  size: fc.integer({ min: 1, max: 3 }),
  stride: fc.integer({ min: 1, max: 2 }),
  same: fc.boolean(),
  relu: fc.constantFrom('linear', 'relu', 'relu6'),
  filters: fc.integer({ min: 1, max: 4 }),
});

const network = fc.record({
  pieces: fc.array(piece, { minLength: 1, maxLength: 5 }),
  head: fc.constantFrom('flatten', 'global', 'globalMax'),
  wide: fc.boolean(),
  bits: fc.integer({ min: 2, max: 8 }),
  activationBits: fc.integer({ min: 2, max: 8 }),
  symmetric: fc.boolean(),
  perChannel: fc.boolean(),
  seed: fc.nat(1000),
});
type Network = typeof network extends fc.Arbitrary<infer T> ? T : never;

/** The model, every layer's output an output of it. */
function build({ pieces, head, wide, seed }: Network): tfl.LayersModel {
  return withSeed(seed, () => {
    const input = tfl.input({ shape: [7, 6, 2] });
    const outputs: tfl.SymbolicTensor[] = [];
    const apply = (layer: tfl.layers.Layer, x: tfl.SymbolicTensor | tfl.SymbolicTensor[]) => {
      const y = layer.apply(x) as tfl.SymbolicTensor;
      outputs.push(y);
      return y;
    };
    let x = input;
    for (const { kind, size, stride, same, relu, filters } of pieces) {
      const [, height, width] = x.shape as number[];
      const kernelSize = same ? size : Math.min(size, height!, width!);
      const padding = same ? 'same' : 'valid';
      const activation = relu as 'relu';
      const biasInitializer = 'randomNormal';
      if (kind === 'conv') {
        const options = {
          filters,
          kernelSize,
          strides: stride,
          padding,
          activation,
          biasInitializer,
        } as const;
        x = apply(layers.conv2d(options), x);
      } else if (kind === 'depthwise') {
        const options = {
          kernelSize,
          depthMultiplier: stride,
          padding,
          activation,
          biasInitializer,
        } as const;
        x = apply(layers.depthwiseConv2d(options), x);
      } else if (kind === 'max' || kind === 'average') {
        const options = { poolSize: kernelSize, strides: stride, padding } as const;
        x = apply(
          kind === 'max' ? layers.maxPooling2d(options) : layers.averagePooling2d(options),
          x,
        );
      } else if (kind === 'residual') {
        const channels = x.shape[3]!;
        const y = apply(
          layers.conv2d({ filters: channels, kernelSize: size, padding: 'same', activation }),
          x,
        );
        x = apply(layers.add(), [x, y]);
      } else if (kind === 'concatenate') {
        x = apply(layers.concatenate(), [x, apply(layers.conv2d({ filters, kernelSize: 1 }), x)]);
      } else x = apply(relu === 'relu6' ? layers.reLU({ maxValue: 6 }) : layers.reLU({}), x);
    }
    if (head === 'flatten') x = apply(layers.flatten(), x);
    else {
      x = apply(
        head === 'global' ? layers.globalAveragePooling2d({}) : layers.globalMaxPooling2d({}),
        x,
      );
    }
    if (wide)
      x = apply(layers.dense({ units: 5, activation: 'relu', biasInitializer: 'randomNormal' }), x);
    x = apply(layers.dense({ units: 3 }), x);
    return tfl.model({ inputs: input, outputs });
  });
}

/** Random inputs, some of them on ties of 8-bit codes. */
function examples(seed: number, n: number, size: number): Float32Array {
  const random = new Random('integer', seed);
  return Float32Array.from({ length: n * size }, () => {
    const value = random.normal();
    return random.uniform() < 0.3 ? Math.round(value * 64) / 64 : value;
  });
}

function reals(model: tfl.LayersModel, x: Float32Array, shape: number[]): number[][] {
  return tf.tidy(() =>
    [model.predict(tf.tensor(x, [x.length / shape.reduce((a, b) => a * b), ...shape]))]
      .flat()
      .map((y) => Array.from(y.dataSync(), (value) => value + 0)),
  );
}

/** Outputs of the integer executor; 0 for -0. */
function integers(graph: Graph, x: Float32Array): number[][] {
  const { outputs, beyondFloat32 } = runInteger(graph, [x]);
  expect(beyondFloat32).toEqual([]);
  return outputs.map((values) => Array.from(values, (value) => value + 0));
}

function calibrate(model: tfl.LayersModel, x: Float32Array, shape: number[]): void {
  tf.tidy(() => {
    model.apply(tf.tensor(x, [x.length / shape.reduce((a, b) => a * b), ...shape]), {
      training: true,
    });
  });
}

describe.each(['cpu', 'thimble'])('integer inference on %s', (backend) => {
  beforeAll(async () => {
    await tf.setBackend(backend);
  });

  it('equals the simulation in training, bit for bit, on generated models', () => {
    fc.assert(
      fc.property(network, (chosen) => {
        const { bits, activationBits, symmetric, perChannel, seed } = chosen;
        const model = build(chosen);
        const shape = [7, 6, 2];
        quantizeAware(model, {
          weights: { bits, symmetric, narrowRange: symmetric, perChannel },
          activations: { bits: activationBits, symmetric },
        });
        calibrate(model, examples(seed, 4, 84), shape);
        const x = examples(seed + 1, 3, 84);
        expect(integers(lower(model), x)).toEqual(reals(model, x, shape));
        model.dispose();
      }),
      { seed: 42, numRuns: 60 },
    );
  });

  it('equals it for sequences and for inner axes of dense layers', () => {
    const model = withSeed(4, () =>
      tfl.sequential({
        layers: [
          layers.conv1d({
            filters: 4,
            kernelSize: 3,
            padding: 'same',
            activation: 'relu',
            inputShape: [9, 2],
          }),
          layers.averagePooling1d({ poolSize: 2, padding: 'same' }),
          layers.dense({ units: 3, biasInitializer: 'randomNormal' }),
          layers.maxPooling1d({ poolSize: 2 }),
          layers.globalAveragePooling1d({}),
          layers.dense({ units: 2 }),
        ],
      }),
    );
    quantizeAware(model);
    calibrate(model, examples(5, 4, 18), [9, 2]);
    const x = examples(6, 3, 18);
    expect(integers(lower(model), x)).toEqual(reals(model, x, [9, 2]));
  });

  it('is near the float model at 8 bits, softmax included', () => {
    const make = () =>
      withSeed(8, () =>
        tfl.sequential({
          layers: [
            layers.conv2d({ filters: 4, kernelSize: 3, activation: 'relu', inputShape: [7, 6, 2] }),
            layers.maxPooling2d({ poolSize: 2 }),
            layers.flatten(),
            layers.dropout({ rate: 0.5 }),
            layers.dense({ units: 3, activation: 'softmax' }),
          ],
        }),
      );
    const model = quantizeAware(make());
    calibrate(model, examples(7, 8, 84), [7, 6, 2]);
    const x = examples(9, 4, 84);
    const found = integers(lower(model), x);
    expect(found[0]).toBeAllClose(reals(model, x, [7, 6, 2])[0]!, 1e-6);
    expect(found[0]).toBeAllClose(reals(make(), x, [7, 6, 2])[0]!, 0.03);
  });

  it('computes a dense layer as by hand', () => {
    const dense = layers.dense({
      units: 1,
      inputShape: [2],
      weights: [tf.tensor2d([[0.5], [-1]]), tf.tensor1d([0.3])],
    });
    const model = quantizeAware(tfl.sequential({ layers: [dense] }), {
      weights: 3,
      activations: 4,
    });
    calibrate(model, Float32Array.of(-0.5, 1), [2]);
    // Weights: step 1/3, codes round(1.5) = 2 (half to even) and -3. Inputs: step 1.5/15 = 0.1, zero point 5.
    const graph = lower(model);
    const run = runInteger(graph, [Float32Array.of(0.72, -0.31)]);
    const name = graph.nodes[1]!.name;
    expect(Array.from(run.inputCodes.get(name)![0]!)).toEqual([7, -3]);
    // Bias: 0.3 / (0.1 / 3) = 9. Sum: 7 * 2 + -3 * -3 + 9 = 32.
    expect(Array.from(run.values.get(name)!.data)).toEqual([32]);
    expect(run.outputs[0]).toBeAllClose([32 / 30]);
  });

  it('requantises by one float32 product and one quotient, halves to even', () => {
    const model = tfl.sequential({
      layers: [
        layers.dense({ units: 1, inputShape: [1], useBias: false, weights: [tf.tensor2d([[1]])] }),
      ],
    });
    quantizeAware(model, { weights: 8, activations: { bits: 8 } });
    calibrate(model, Float32Array.of(0, 255), [1]);
    const graph = lower(model);
    graph.nodes[1]!.codes = {
      ...graph.nodes[1]!.codes,
      output: { bits: 8, scale: 254, zeroPoint: 0, low: 0, high: 1 },
    };
    // Weight: step 1/127, code 127. Inputs 127, 128, 255: real 127, 128, 255; by 254: 0.5, 0.504, 1.004.
    const { values } = runInteger(graph, [Float32Array.of(127, 128, 255, 700)]);
    expect(Array.from(values.get(graph.nodes[1]!.name)!.data)).toEqual([0, 1, 1, 1]);
  });

  it('says where float32 might not be exact', () => {
    const model = tfl.sequential({
      layers: [layers.dense({ units: 1, inputShape: [600], kernelInitializer: 'ones' })],
    });
    quantizeAware(model);
    calibrate(
      model,
      Float32Array.from({ length: 600 }, (_, i) => i / 600),
      [600],
    );
    const graph = lower(model);
    // 600 * 127 * 255 = 19.4 million, more than 2^24 = 16.8 million; with 500 it is 16.2 million.
    const ones = new Float32Array(600).fill(1);
    expect(runInteger(graph, [ones]).beyondFloat32).toEqual([graph.nodes[1]!.name]);
    expect(
      runInteger(graph, [ones.map((one, i) => (i % 100 === 0 ? 0 : one * 0.5))]).beyondFloat32,
    ).toEqual([]);
  });

  it('names what it cannot run', () => {
    const of = (...made: tfl.layers.Layer[]) => tfl.sequential({ layers: made });
    const x = new Float32Array(8);
    const plain = lower(of(layers.dense({ units: 1, inputShape: [8] })));
    expect(() => runInteger(plain, [x])).toThrow('has no codes');
    const uncalibrated = lower(of(quantizeAware(layers.dense({ units: 1, inputShape: [8] }))));
    expect(() => runInteger(uncalibrated, [x])).toThrow('train or calibrate');
    const float = of(
      quantizeAware(layers.dense({ units: 1, inputShape: [8] }), { weights: false }),
    );
    calibrate(
      float,
      x.map((_, i) => i),
      [8],
    );
    expect(() => runInteger(lower(float), [x])).toThrow('is not stored as affine codes');
    const grouped = of(
      quantizeAware(layers.dense({ units: 1, inputShape: [8] }), { weights: { groupSize: 4 } }),
    );
    calibrate(
      grouped,
      x.map((_, i) => i),
      [8],
    );
    expect(() => runInteger(lower(grouped), [x])).toThrow('without groups');
    const recurrent = lower(of(layers.lstm({ units: 1, inputShape: [4, 2] })));
    expect(() => runInteger(recurrent, [x])).toThrow('is a lstm');
    const first = { dataFormat: 'channelsFirst', inputShape: [2, 2, 2] };
    const flat = lower(of(layers.flatten(first as never)));
    expect(() => runInteger(flat, [x])).toThrow('has its channels first');
    const [a, b] = [tfl.input({ shape: [2, 1, 3] }), tfl.input({ shape: [1, 2, 3] })];
    const sum = layers.add().apply([a, b]) as tfl.SymbolicTensor;
    const wide = lower(tfl.model({ inputs: [a, b], outputs: sum }));
    const six = new Float32Array(6);
    expect(() => runInteger(wide, [six, six])).toThrow('broadcasts inputs');
    expect(() => runInteger(plain, [new Float32Array(9)])).toThrow('it takes 8 per example');
    expect(() => runInteger(plain, [x.fill(Number.NaN)])).toThrow('NaN in input');
    expect(() => runInteger(plain, [])).toThrow('0 inputs for a network with 1');
  });
});

it('refuses nested lists for inputs, and says how to make values of them', () => {
  const model = tfl.sequential({ layers: [layers.dense({ units: 2, inputShape: [3] })] });
  const call = () => runInteger(lower(model), [[[1, 2, 3]]] as unknown as Float32Array[]);
  expect(call).toThrow(/must be a Float32Array.* Float32Array\.from\(list\.flat\(9\)\)/);
});
