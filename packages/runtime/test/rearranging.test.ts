// Layers that put values in another order, alone and in a row.
import * as tfl from '@tensorflow/tfjs-layers';
import { useCpu } from '@thimble/testing';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { pack } from '../src/index.ts';
import { expected, inputsFor, lower, packed } from './networks.ts';

useCpu();
const { layers } = tfl;
type Shape = number[];
type Step = (shape: Shape, a: number, b: number) => tfl.layers.Layer;

const upTo = (max: number) => fc.integer({ min: 0, max });

/** By name: a layer for a value of three axes. Numbers are 0 to 2. */
const STEPS: Record<string, Step> = {
  permute: (_, a, b) =>
    layers.permute({
      dims: [
        [2, 1, 3],
        [3, 1, 2],
        [1, 3, 2],
      ][(a + b) % 3]!,
    }),
  crop: ([height, width], a, b) =>
    layers.cropping2D({
      cropping: [
        [Math.min(a, height! - 1), 0],
        [0, Math.min(b, width! - 1)],
      ],
    }),
  cropChannels: ([, width, channels], a, b) =>
    layers.cropping2D({
      cropping: [
        [0, Math.min(a, width! - 1)],
        [Math.min(b, channels! - 1), 0],
      ],
      dataFormat: 'channelsFirst',
    }),
  pad: (_, a, b) =>
    layers.zeroPadding2d({
      padding: [
        [a, b],
        [b, 1],
      ],
    }),
  padChannels: (_, a, b) =>
    layers.zeroPadding2d({
      padding: [
        [0, a],
        [b, 1],
      ],
      dataFormat: 'channelsFirst',
    }),
  enlarge: (_, a, b) => layers.upSampling2d({ size: [1 + a, 1 + b] }),
  turnShape: ([height, width, channels]) =>
    layers.reshape({ targetShape: [channels!, height!, width!] }),
  joinAndSplit: ([height, width, channels]) =>
    layers.reshape({ targetShape: [1, height! * width!, channels!] }),
  rectify: () => layers.reLU({}),
  average: () => layers.averagePooling2d({ poolSize: 2, strides: 1, padding: 'same' }),
};

test('chains of them equal those of tfjs', () =>
  fc.assert(
    fc.asyncProperty(
      fc.tuple(upTo(4), upTo(4), upTo(4)),
      fc.array(fc.tuple(fc.constantFrom(...Object.keys(STEPS)), upTo(2), upTo(2)), {
        minLength: 1,
        maxLength: 5,
      }),
      fc.boolean(),
      async ([a, b, c], steps, flat) => {
        const input = tfl.input({ shape: [a + 1, b + 1, c + 1] });
        let x = input;
        for (const [name, first, second] of steps) {
          const layer = STEPS[name]!(x.shape.slice(1) as Shape, first, second);
          x = layer.apply(x) as tfl.SymbolicTensor;
        }
        if (flat) x = layers.flatten().apply(x) as tfl.SymbolicTensor;
        const model = tfl.model({ inputs: input, outputs: x });
        const inputs = inputsFor(model, 2, a + 5 * b);
        const [got] = await packed(lower(model), inputs);
        expect(got).toBeAllClose(expected(model, inputs, 2)[0]!, 1e-6);
        model.dispose();
      },
    ),
    { seed: 20_240_611, numRuns: 150 },
  ));

test('a value that two read in different orders', async () => {
  const input = tfl.input({ shape: [4, 4, 6] });
  const conv = layers.conv2d({ filters: 6, kernelSize: 3, padding: 'same' }).apply(input);
  const turned = layers.permute({ dims: [2, 1, 3] }).apply(conv) as tfl.SymbolicTensor;
  const outputs = [
    layers.flatten().apply(turned),
    layers.reLU().apply(turned),
    layers.repeatVector({ n: 2 }).apply(layers.globalMaxPooling2d({}).apply(conv)),
    conv,
  ] as tfl.SymbolicTensor[];
  const model = tfl.model({ inputs: input, outputs });
  const inputs = inputsFor(model, 2, 3);
  const got = await packed(lower(model), inputs);
  for (const [i, output] of expected(model, inputs, 2).entries()) {
    expect(got[i]).toBeAllClose(output, 1e-5);
  }
});

test('a shuffle of channels copies whole planes: three layers, one operation', async () => {
  const model = tfl.sequential({
    layers: [
      layers.conv2d({ filters: 6, kernelSize: 3, padding: 'same', inputShape: [5, 5, 2] }),
      layers.reshape({ targetShape: [5, 5, 2, 3] }),
      layers.permute({ dims: [1, 2, 4, 3] }),
      layers.reshape({ targetShape: [5, 5, 6], name: 'shuffle' }),
      layers.conv2d({ filters: 2, kernelSize: 1 }),
    ],
  });
  const net = await pack(lower(model));
  const kernels = net.explain().layers.map(({ kernel }) => kernel);
  expect(kernels).toEqual(['reshape', 'pairs', 'rearrange', 'pairs']);
  net.dispose();
});

test('bilinear interpolation is refused', async () => {
  const model = tfl.sequential({
    layers: [
      layers.upSampling2d({ size: [2, 2], interpolation: 'bilinear', inputShape: [2, 2, 1] }),
    ],
  });
  await expect(pack(lower(model))).rejects.toThrow('cannot run upSampling2d with bilinear');
});
