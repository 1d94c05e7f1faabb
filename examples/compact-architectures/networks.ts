// One small network whose two large convolutions are made in many ways, and the ways to decompose it.
import * as tfl from '@tensorflow/tfjs-layers';
import { type DecomposeOptions, layers, summarize, withSeed } from 'thimble';

const { activation, batchNormalization, conv2d, dense, globalAveragePooling2d, maxPooling2d } =
  tfl.layers;

/** The layers that stand for a convolution of 3 x 3 with batch normalization and ReLU. */
type Slot = (name: string, filters: number) => tfl.layers.Layer[];

const he = { kernelInitializer: 'heNormal' } as const;
const same = { padding: 'same', useBias: false, ...he } as const;
const norm = { batchNormalization: true, momentum: 0.9 } as const;
/** A short memory: with tfjs's 0.99 the statistics would be stale after few steps. */
const after = (name: string): tfl.layers.Layer[] => [
  batchNormalization({ name: `${name}-norm`, momentum: 0.9 }),
  activation({ name: `${name}-relu`, activation: 'relu' }),
];
const kernel = { kernelSize: 3, ...same } as const;
const pool = { size: 3, strides: 2 };

const plain: Slot = (name, filters) => [conv2d({ name, filters, ...kernel }), ...after(name)];
const lowRank =
  (scheme: 'spatial' | 'tucker2' | 'cp', share: number): Slot =>
  (name, filters) => [
    layers.lowRankConv2d({ name, filters, ...kernel, scheme, rank: filters * share }),
    ...after(name),
  ];
const perforated =
  (mask: 'uniform' | 'grid' | 'poolingStructure'): Slot =>
  (name, filters) => [
    layers.perforatedConv2d({ name, filters, ...kernel, keep: 0.4, mask, pool }),
    ...after(name),
  ];

/** Every compact architecture, in the place of the plain convolutions. */
export const ARCHITECTURES: Readonly<Record<string, Slot>> = {
  'depthwise separable (MobileNet)': (name, filters) => [
    layers.depthwiseSeparableConv2d({ name, filters, padding: 'same', ...norm, ...he }),
  ],
  'inverted residual (MobileNet v2)': (name, filters) => [
    layers.invertedResidual({ name, filters, expansion: 3, ...norm, ...he }),
  ],
  'fire (SqueezeNet)': (name, filters) => [
    layers.fire({
      ...{ name, squeeze: filters / 4, expand1x1: filters / 2, expand3x3: filters / 2 },
      ...norm,
      ...he,
    }),
  ],
  'groups of channels, shuffled (ShuffleNet)': (name, filters) => [
    layers.groupConv2d({ name, filters, ...kernel, groups: 4, shuffle: true }),
    ...after(name),
  ],
  'versatile filters': (name, filters) => [
    layers.versatileConv2d({ name, filters, ...kernel }),
    ...after(name),
  ],
  'low rank, spatial': lowRank('spatial', 1 / 2),
  'low rank, Tucker-2': lowRank('tucker2', 1 / 2),
  'low rank, CP': lowRank('cp', 1),
  'perforated, uniform': perforated('uniform'),
  'perforated, grid': perforated('grid'),
  'perforated, pooling structure': perforated('poolingStructure'),
  'perforated, impact': perforated('uniform'),
};

/** Every decomposition of the trained plain network, at half the multiply-accumulates. */
export const DECOMPOSITIONS: Readonly<Record<string, DecomposeOptions>> = Object.fromEntries(
  Object.entries({
    'SVD, spatial': { method: 'svd' },
    'SVD, channels': { method: 'svd', scheme: 'channel' },
    NMF: { method: 'nmf' },
    'Tucker-2': { method: 'tucker2' },
    CP: { method: 'cp', iterations: 50 },
  } as const).map(([name, options]) => [
    `decomposed by ${name}`,
    { ...options, budget: { macs: 0.5 } },
  ]),
);

/** 28 x 28 -> 16 of 5 x 5, stride 2 -> 32 of 3 x 3 -> pooling -> 64 of 3 x 3 -> mean -> 10. */
export function network(slot: Slot, seed: number, width = 1): tfl.Sequential {
  const scaled = (filters: number) => Math.max(1, Math.round(filters * width));
  return withSeed(seed, () =>
    tfl.sequential({
      layers: [
        conv2d({
          ...{ name: 'stem', filters: scaled(16), kernelSize: 5, strides: 2 },
          ...same,
          inputShape: [28, 28, 1],
        }),
        ...after('stem'),
        ...slot('body1', scaled(32)),
        maxPooling2d({ poolSize: pool.size, strides: pool.strides }),
        ...slot('body2', scaled(64)),
        globalAveragePooling2d({}),
        dense({ name: 'output', units: 10, activation: 'softmax' }),
      ],
    }),
  );
}

/** The plain network, narrower by a factor. */
export function plainNetwork(seed: number, width = 1): tfl.Sequential {
  return network(plain, seed, width);
}

/** The width at which the plain network comes closest to so many multiply-accumulates. */
export function widthOf(macs: number): number {
  let best = 1;
  let least = Number.POSITIVE_INFINITY;
  // 64 filters at full width: these are all the widths there are.
  for (let filters = 2; filters <= 64; filters++) {
    const model = plainNetwork(0, filters / 64);
    const distance = Math.abs(summarize(model).total.macs - macs);
    model.dispose();
    if (distance < least) [best, least] = [filters / 64, distance];
  }
  return best;
}
