// Figures of another toolkit for ranks under a budget.
import * as tfl from '@tensorflow/tfjs-layers';
import { decompose } from '@thimble/architecture';
import { useCpu } from '@thimble/testing';
import { expect, it } from 'vitest';

useCpu();

// golden/cases.json lowrank-001: quic/aimet, test_spatial_svd.py. Its kernels are [out, in, rows, columns].
it.each([
  { size: 28, channels: 1, filters: 32, rank: 2 },
  { size: 14, channels: 32, filters: 64, rank: 53 },
])('spatial SVD of 5x5, $channels to $filters, at half the MACs', async (layer) => {
  const { size, channels, filters, rank } = layer;
  const dense = tfl.sequential({
    layers: [
      tfl.layers.conv2d({
        filters,
        kernelSize: 5,
        padding: 'same',
        useBias: false,
        inputShape: [size, size, channels],
      }),
    ],
  });
  const model = await decompose(dense, { budget: { macs: 0.5 }, progress: false });
  const shapes = model.getWeights().map(({ shape }) => shape);
  expect(shapes).toEqual([
    [5, 1, channels, rank],
    [1, 5, rank, filters],
  ]);
});
