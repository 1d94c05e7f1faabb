import '@tensorflow/tfjs-backend-cpu';
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { withSeed } from '@thimble/base';
import { lower } from '@thimble/core';
import { encode } from '@thimble/io';
import { decode } from '@thimble/runtime';
import { beforeAll, expect, test } from 'vitest';

beforeAll(async () => {
  await tf.setBackend('cpu');
});

function small(): tfl.Sequential {
  return withSeed(3, () =>
    tfl.sequential({
      name: 'small',
      layers: [
        tfl.layers.conv2d({ filters: 3, kernelSize: 3, inputShape: [6, 6, 1], activation: 'relu' }),
        tfl.layers.flatten(),
        tfl.layers.dense({ units: 4, activation: 'softmax', biasInitializer: 'randomNormal' }),
      ],
    }),
  );
}

test('a model comes back as the graph that it was lowered to', async () => {
  const model = small();
  const graph = lower(model);
  const file = await decode(await encode(model));
  expect({ ...file.graph, weights: {} }).toEqual({ ...graph, weights: {} });
  for (const [key, { data }] of Object.entries(graph.weights)) {
    expect(file.graph.weights[key]!.data).toEqual(data);
  }
});
