// Resizing, cropping, turning.
import * as tf from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { type Case, define, type Example } from '../case.ts';
import { fixed, floats, ints, one, seed, upTo } from '../data.ts';

const image = fc.record({ batch: upTo(3), height: upTo(7), width: upTo(7), depth: upTo(4), seed });
type Image = { batch: number; height: number; width: number; depth: number; seed: number };
const shapeOf = (c: Image): number[] => [c.batch, c.height, c.width, c.depth];
const resized = fc.record({
  image,
  size: fc.tuple(upTo(11), upTo(11)),
  mode: one('plain', 'corners', 'halves'),
});

function resize(name: 'resizeBilinear' | 'resizeNearestNeighbor'): Case {
  return define(
    name,
    resized,
    ({ image, size, mode }) => ({
      inputs: [floats(shapeOf(image), image.seed)],
      run: (x: tf.Tensor4D) => tf.image[name](x, size, mode === 'corners', mode === 'halves'),
    }),
    { gradient: 'slopes' },
  );
}

type Crop = typeof crops extends fc.Arbitrary<infer T> ? T : never;
const crops = fc.record({
  image,
  boxes: fc.array(fc.tuple(...[0, 1, 2, 3].map(() => fc.integer({ min: -2, max: 6 }))), {
    minLength: 1,
    maxLength: 3,
  }),
  size: fc.tuple(upTo(4), upTo(4)),
  method: one('bilinear' as const, 'nearest' as const),
  outside: one(0, 0.5),
});

function crop({ image, boxes, size, method, outside }: Crop): Example {
  return {
    inputs: [
      floats(shapeOf(image), image.seed),
      {
        // Off by a little: at .5 exactly, nearest depends on the last bit.
        ...fixed(floats([boxes.length, 4], 0)),
        data: boxes.flat().map((v, i) => v / 4 + 0.013 * (i + 1)),
      },
      ints([boxes.length], image.seed, 0, image.batch),
    ],
    run: (x: tf.Tensor4D, boxes: tf.Tensor2D, which: tf.Tensor1D) =>
      tf.image.cropAndResize(x, boxes, which, size, method, outside),
  };
}

function rotation(name: string, fill: fc.Arbitrary<number>, wrong?: string): Case {
  return define(
    name,
    fc.record({ image, angle: one(0.3, 1.6, -2), fill }),
    (c) => ({
      inputs: [fixed(floats(shapeOf(c.image), c.image.seed))],
      run: (x: tf.Tensor4D) => tf.image.rotateWithOffset(x, c.angle, c.fill, [0.4, 0.6]),
    }),
    { wrong },
  );
}

export const imageCases: readonly Case[] = [
  resize('resizeBilinear'),
  resize('resizeNearestNeighbor'),
  define(
    'cropAndResize',
    crops.filter(({ method, size }) => method === 'bilinear' || !size.includes(1)),
    crop,
    { gradient: 'slopes', tolerance: 1e-4 },
  ),
  define(
    'cropAndResize, the nearest pixel for a crop of one',
    crops.map((c) => ({ ...c, size: [1, 1] as [number, number], method: 'nearest' as const })),
    crop,
    { gradient: 'none', wrong: 'stock takes the pixel below' },
  ),
  define('flipLeftRight, grayscale to colour and back', image, (c) => ({
    inputs: [fixed(floats(shapeOf(c), c.seed)), fixed(floats(shapeOf({ ...c, depth: 1 }), c.seed))],
    run: (x: tf.Tensor4D, gray: tf.Tensor4D) => [
      tf.image.flipLeftRight(x),
      tf.image.grayscaleToRGB(gray),
      tf.image.rgbToGrayscale(tf.image.grayscaleToRGB(gray)),
    ],
  })),
  rotation('rotateWithOffset', one(0)),
  rotation('rotateWithOffset, filled with a fraction', one(0.5), 'stock cuts off the fraction'),
  define(
    'transform',
    fc.record({
      image,
      shift: one(0.21, -0.7, 2.3),
    }),
    (c) => {
      const run = (x: tf.Tensor4D) =>
        tf.image.transform(
          x,
          tf.tensor2d([[1.1, 0.1, c.shift, -0.1, 0.9, c.shift, 0, 0]]),
          'bilinear',
          'constant', // in the other modes cpu and wasm round differently
          0.5,
        );
      return {
        inputs: [fixed(floats(shapeOf(c.image), c.image.seed))],
        run,
        // cpu is right for the first image of a batch only.
        onCpu: (x: tf.Tensor4D) =>
          tf.concat(tf.unstack(x).map((image) => run(tf.expandDims(image, 0)))),
      };
    },
    { tolerance: 1e-4 },
  ),
];
