// A slimmable network large enough for its width to matter.
import * as tfl from '@tensorflow/tfjs-layers';
import { layers, withSeed } from 'thimble';

/** The widths that are measured. */
export const WIDTHS: readonly number[] = [0.25, 0.5, 0.75, 1];

/** Five convolutions of 96 and 192 channels with batch normalisation, and a dense layer, in 48 x 48 images. */
export function slimmableNetwork(): tfl.Sequential {
  const { flatten, maxPooling2d, reLU } = tfl.layers;
  const block = (filters: number, more: object = {}) => [
    layers.slimmableConv2d({
      filters,
      kernelSize: 3,
      padding: 'same',
      useBias: false,
      widths: WIDTHS,
      ...more,
    }),
    layers.slimmableBatchNormalization({ widths: WIDTHS }),
    reLU(),
  ];
  return withSeed(1, () =>
    tfl.sequential({
      layers: [
        ...block(96, { inputShape: [48, 48, 3] }),
        ...block(96),
        maxPooling2d({ poolSize: 2 }),
        ...block(192),
        ...block(192),
        maxPooling2d({ poolSize: 2 }),
        ...block(192),
        maxPooling2d({ poolSize: 2 }),
        flatten(),
        layers.slimmableDense({ units: 1024, activation: 'relu', widths: WIDTHS }),
        layers.slimmableDense({ units: 10, activation: 'softmax', widths: WIDTHS }),
      ],
    }),
  );
}
