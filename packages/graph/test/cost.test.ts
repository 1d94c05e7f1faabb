import type { Encoding } from '@thimble/base';
import { cost, type Graph, type GraphNode } from '@thimble/graph';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

const float = (...shape: number[]): Encoding => ({
  shape,
  values: { type: 'float', bits: 32 },
  nonzero: shape.reduce((size, n) => size * n, 1),
});

/** A chain of nodes; each has an op, an output shape, and encodings of its weights by role. */
type Step = [op: string, shape: number[], weights?: Record<string, Encoding>, layer?: string];

function chain(input: number[], steps: Step[]): Graph {
  const nodes: GraphNode[] = [
    {
      name: 'in',
      op: 'input',
      layer: 'in',
      inputs: [],
      outputs: [input],
      attributes: {},
      weights: {},
    },
  ];
  const weights: Graph['weights'] = {};
  steps.forEach(([op, shape, own = {}, shared], i) => {
    const layer = shared ?? `${op}${i}`;
    for (const [role, encoding] of Object.entries(own)) weights[`${layer}/${role}`] = { encoding };
    nodes.push({
      name: `node${i}`,
      op,
      layer,
      inputs: [{ node: nodes.at(-1)!.name, output: 0 }],
      outputs: [shape],
      attributes: {},
      weights: Object.fromEntries(Object.keys(own).map((role) => [role, `${layer}/${role}`])),
    });
  });
  const outputs = [{ node: nodes.at(-1)!.name, output: 0 }];
  return { name: 'chain', nodes, weights, inputs: ['in'], outputs };
}

describe('cost', () => {
  // IntelLabs/distiller, tests/test_model_summary.py: MobileNet-V1 at 224, MACs per layer.
  it('agrees with distiller on MobileNet-V1', () => {
    const pairs: [size: number, from: number, to: number][] = [
      [112, 32, 64],
      [56, 64, 128],
      [56, 128, 128],
      [28, 128, 256],
      [28, 256, 256],
      [14, 256, 512],
      ...Array.from({ length: 5 }, (): [number, number, number] => [14, 512, 512]),
      [7, 512, 1024],
      [7, 1024, 1024],
    ];
    const steps: Step[] = [['conv2d', [112, 112, 32], { kernel: float(3, 3, 3, 32) }]];
    for (const [size, from, to] of pairs) {
      steps.push([
        'depthwiseConv2d',
        [size, size, from],
        { depthwiseKernel: float(3, 3, from, 1) },
      ]);
      steps.push(['conv2d', [size, size, to], { kernel: float(1, 1, from, to) }]);
    }
    steps.push(
      ['globalAveragePooling2d', [1024]],
      ['dense', [1000], { kernel: float(1024, 1000) }],
    );
    const { nodes, total } = cost(chain([224, 224, 3], steps));
    const macs = nodes.map((node) => node.macs).filter((count) => count > 0);
    // biome-ignore format: a table
    expect(macs).toEqual([
      10838016, 3612672, 25690112, 1806336, 25690112, 3612672, 51380224, 903168, 25690112,
      1806336, 51380224, 451584, 25690112, 903168, 51380224, 903168, 51380224, 903168, 51380224,
      903168, 51380224, 903168, 51380224, 225792, 25690112, 451584, 51380224, 1024000,
    ]);
    expect(total.macs).toBe(macs.reduce((sum, n) => sum + n));
  });

  // microsoft/nni v2.9, test/algo/compression/v1/test_compression_utils.py: 1x1 conv 3->5, then one
  // 1x1 conv 5->5 applied five times, on 2x2.
  it('counts a shared layer once to store and once per application to run', () => {
    const shared = { kernel: float(1, 1, 5, 5), bias: float(5) };
    const { total, layers } = cost(
      chain(
        [2, 2, 3],
        [
          ['conv2d', [2, 2, 5], { kernel: float(1, 1, 3, 5), bias: float(5) }],
          ...Array.from({ length: 5 }, (): Step => ['conv2d', [2, 2, 5], shared, 'shared']),
        ],
      ),
    );
    expect(total).toMatchObject({ macs: 560, params: 50 });
    expect(layers.map(({ name, macs }) => [name, macs])).toEqual([
      ['conv2d0', 60],
      ['shared', 500],
    ]);
  });

  // PaddlePaddle/PaddleSlim, tests/test_flops.py: six 3x3 'same' convs, 3->8 then 8->8, on 16x16.
  it('agrees with PaddleSlim on a stack of convolutions', () => {
    const steps = [3, 8, 8, 8, 8, 8].map(
      (from): Step => ['conv2d', [16, 16, 8], { kernel: float(3, 3, from, 8) }],
    );
    expect(cost(chain([16, 16, 3], steps)).total.macs).toBe(792576);
  });

  // quic/aimet, test_cost_calculator.py: weights and MACs of four layers.
  it.each<[string, Step, number[], number, number]>([
    [
      'conv 5x5 1->32',
      ['conv2d', [28, 28, 32], { kernel: float(5, 5, 1, 32) }],
      [28, 28, 1],
      800,
      627200,
    ],
    [
      'conv 5x5 32->64',
      ['conv2d', [14, 14, 64], { kernel: float(5, 5, 32, 64) }],
      [14, 14, 32],
      51200,
      10035200,
    ],
    [
      'depthwise 5x5 32',
      ['depthwiseConv2d', [14, 14, 32], { depthwiseKernel: float(5, 5, 32, 1) }],
      [14, 14, 32],
      800,
      156800,
    ],
    [
      'dense 10->15 over 10x10',
      ['dense', [10, 10, 15], { kernel: float(10, 15) }],
      [10, 10, 10],
      150,
      15000,
    ],
  ])('agrees with AIMET on a %s', (_name, step, input, params, macs) => {
    expect(cost(chain(input, [step])).total).toMatchObject({ params, macs });
  });

  it.each<[string, Step, number[], number]>([
    // 6x6 outputs, each input position of 3x3 times 2x2x4x5
    [
      'transposed convolution',
      ['conv2dTranspose', [6, 6, 4], { kernel: float(2, 2, 4, 5) }],
      [3, 3, 5],
      9 * 80,
    ],
    // 4x4 positions times (3x3x2 + 2x7)
    [
      'separable convolution',
      [
        'separableConv2d',
        [4, 4, 7],
        { depthwiseKernel: float(3, 3, 2, 1), pointwiseKernel: float(1, 1, 2, 7) },
      ],
      [6, 6, 2],
      16 * 32,
    ],
    // 10 steps times (3 + 4) x 4 units x 4 gates
    [
      'LSTM',
      ['lstm', [4], { kernel: float(3, 16), recurrentKernel: float(4, 16), bias: float(16) }],
      [10, 3],
      10 * 7 * 16,
    ],
    // 5 steps times 4x4 positions times (2x2x1x8 + 2x2x2x8)
    [
      'convolutional LSTM',
      ['convLstm2d', [4, 4, 2], { kernel: float(2, 2, 1, 8), recurrentKernel: float(2, 2, 2, 8) }],
      [5, 5, 5, 1],
      5 * 16 * 96,
    ],
    ['embedding', ['embedding', [7, 3], { embeddings: float(100, 3) }], [7], 0],
    [
      'batch normalisation',
      ['batchNormalization', [8], { gamma: float(8), beta: float(8) }],
      [8],
      0,
    ],
  ])('counts the MACs of a %s', (_name, step, input, macs) => {
    expect(cost(chain(input, [step])).total.macs).toBe(macs);
  });

  it('says what it cannot count', () => {
    const graph = chain(
      [4],
      [
        ['dense', [2], { kernel: float(4, 2) }],
        ['mystery', [3], { matrix: float(2, 3) }],
      ],
    );
    const { total, uncounted, layers } = cost(graph);
    expect(uncounted).toEqual(['mystery1']);
    expect(layers[1]!.macs).toBeNaN();
    expect(total.macs).toBe(8);
    graph.nodes[0]!.outputs = [[null, 4]];
    graph.nodes[1]!.outputs = [[null, 2]];
    expect(cost(graph).uncounted).toEqual(['dense0', 'mystery1']);
  });

  // google/qkeras, test_forgiving_factor.py: a 3x3 kernel 1->32 at 1 bit with 32 biases at 4 bits is
  // 416 bits. It leaves scales out; here each code adds its own 32-bit scale.
  it('counts bits as qkeras does, and scales beside them', () => {
    const binary: Encoding = {
      shape: [3, 3, 1, 32],
      values: { type: 'binary', bits: 1, scale: Float32Array.of(1), axis: null },
      nonzero: 288,
    };
    const bias: Encoding = {
      shape: [32],
      values: {
        type: 'affine',
        bits: 4,
        scale: Float32Array.of(1),
        zeroPoint: new Int32Array(),
        axis: null,
      },
      nonzero: 32,
    };
    const { total } = cost(chain([9], [['dense', [1], { kernel: binary, bias }]]));
    expect(total.bits).toBe(416 + 2 * 32);
    expect(total.bytes).toBe(60);
  });

  it('takes the bitmap form where that is smaller', () => {
    const mask = Uint8Array.from({ length: 64 }, (_, i) => (i < 8 ? 1 : 0));
    const sparse = { ...float(64), mask, nonzero: 8 };
    expect(cost(chain([1], [['dense', [64], { kernel: sparse }]])).total).toEqual({
      params: 64,
      nonzero: 8,
      macs: 64,
      bits: 64 + 8 * 32,
      bytes: 40,
    });
  });

  it('adds up, for every network of dense layers', () => {
    const widths = fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 2, maxLength: 6 });
    fc.assert(
      fc.property(widths, ([first, ...rest]) => {
        let from = first!;
        const steps = rest.map((to): Step => {
          const step: Step = ['dense', [to], { kernel: float(from, to), bias: float(to) }];
          from = to;
          return step;
        });
        const { nodes, layers, total } = cost(chain([first!], steps));
        for (const key of ['params', 'nonzero', 'macs', 'bits'] as const) {
          const sum = (rows: { [K in typeof key]: number }[]) =>
            rows.reduce((s, row) => s + row[key], 0);
          expect(sum(nodes)).toBe(total[key]);
          expect(sum(layers)).toBe(total[key]);
        }
        expect(total.bytes).toBe(Math.ceil(total.bits / 8));
      }),
      { seed: 42 },
    );
  });
});
