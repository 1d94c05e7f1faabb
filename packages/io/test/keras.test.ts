// Models that Keras 3.15 saved: keras/make.py.
import { readFile } from 'node:fs/promises';
import * as tf from '@tensorflow/tfjs-core';
import { FileFormatError, UnsupportedError } from '@thimble/base';
import { encode, load, loadKeras } from '@thimble/io';
import { useCpu } from '@thimble/testing';
import { describe, expect, it } from 'vitest';
import { type Json, layerOfKeras } from '../src/keras-layer.ts';

useCpu();

const at = (name: string) => new URL(`keras/${name}`, import.meta.url);

interface Case {
  inputs: { shape: number[]; data: number[] }[];
  outputs: number[][];
}

describe.each(['sequential', 'functional', 'recurrent', 'bidirectional_gru', 'axes'])(
  '%s',
  (name) => {
    it.each(['keras', 'h5'])('gives what Keras gives, from .%s', async (format) => {
      const { inputs, outputs } = JSON.parse(await readFile(at(`${name}.json`), 'utf8')) as Case;
      const bytes = await readFile(at(`${name}.${format}`));
      const first = await loadKeras(bytes);
      const given = inputs.map(({ shape, data }) => tf.tensor(data, shape));
      // As it is, and by way of a .thimble file.
      for (const model of [first, await load(await encode(first))]) {
        const found = [model.predict(given)].flat();
        expect(found).toHaveLength(outputs.length);
        for (const [i, output] of found.entries()) {
          output.dataSync().forEach((value, k) => {
            expect(Math.abs(value - outputs[i]![k]!)).toBeLessThan(1e-5);
          });
        }
      }
    });
  },
);

it('names a layer that TensorFlow.js has not', async () => {
  const bytes = await readFile(at('unsupported.keras'));
  const before = tf.memory().numTensors;
  await expect(loadKeras(bytes)).rejects.toThrow(UnsupportedError);
  await expect(loadKeras(bytes)).rejects.toThrow('"groups", a GroupNormalization');
  expect(tf.memory().numTensors).toBe(before);
});

it('names a layer that TensorFlow.js would compute otherwise', () => {
  const refused = (class_name: string, config: Record<string, Json>) =>
    expect(() => layerOfKeras({ class_name, config: { name: 'own', ...config } }, 4));
  refused('DepthwiseConv2D', { kernel_size: 3, dilation_rate: [2, 2] }).toThrow('a dilation rate');
  refused('UpSampling2D', { size: [2, 2], interpolation: 'bilinear' }).toThrow('"own"');
  refused('Conv1D', { filters: 1, kernel_size: 2, padding: 'causal' }).toThrow('causal padding');
  refused('Softmax', { axis: 1 }).toThrow('along axis 1');
  // What is registered under a name need not be a layer.
  refused('Zeros', {}).toThrow(UnsupportedError);
});

it('refuses files that are cut off or something else', async () => {
  for (const format of ['keras', 'h5']) {
    const bytes = await readFile(at(`sequential.${format}`));
    await expect(loadKeras(bytes.subarray(0, 9000))).rejects.toThrow(FileFormatError);
  }
  await expect(loadKeras(new TextEncoder().encode('model'))).rejects.toThrow(FileFormatError);
  await expect(loadKeras('file://none.keras')).rejects.toThrow(FileFormatError);
});
