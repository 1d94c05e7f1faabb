import { type Encoding, ShapeError } from '@thimble/base';
import { describe, expect, it } from 'vitest';
import { type Graph, type GraphNode, plainGraph } from '../src/index.ts';

const numbers = (length: number) => Float32Array.from({ length }, (_, i) => i + 1);

/** A layer behind an input of shape `from`. */
function graphOf(
  op: string,
  from: number[],
  to: number[],
  attributes: GraphNode['attributes'],
  weights: Record<string, number[]>,
  values: Encoding['values'] = { type: 'float', bits: 32 },
): Graph {
  const keys = Object.keys(weights);
  const source = (node: string) => [{ node, output: 0 }];
  return {
    name: 'net',
    inputs: ['x'],
    nodes: [
      {
        name: 'x',
        op: 'input',
        layer: 'x',
        inputs: [],
        outputs: [from],
        attributes: {},
        weights: {},
      },
      {
        ...{ name: 'y', op, layer: 'y', inputs: source('x'), outputs: [to], attributes },
        weights: Object.fromEntries(keys.map((role) => [role, `y/${role}`])),
      },
      {
        ...{
          name: 'z',
          op: 'flatten',
          layer: 'z',
          inputs: source('y'),
          attributes: {},
          weights: {},
        },
        outputs: [[to.reduce((n, size) => n * size, 1)]],
      },
    ],
    weights: Object.fromEntries(
      keys.map((role) => {
        const shape = weights[role]!;
        const data = numbers(shape.reduce((n, size) => n * size, 1));
        const own = role === 'bias' ? ({ type: 'float', bits: 32 } as const) : values;
        return [`y/${role}`, { encoding: { shape, values: own, nonzero: data.length }, data }];
      }),
    ),
    outputs: source('z'),
  };
}

function plainOf(graph: Graph) {
  const plain = plainGraph(graph);
  const [, node, behind] = plain.nodes as [GraphNode, GraphNode, GraphNode];
  const weight = (role: string) => plain.weights[node.weights[role]!]!;
  return { node, behind, weight };
}

const active = (inputs: number, outputs: number, positions = 1) => ({ inputs, outputs, positions });

describe('plainGraph', () => {
  it('leaves a plain network as it is', () => {
    const graph = graphOf('dense', [4], [2], {}, { kernel: [4, 2] });
    expect(plainGraph(graph)).toBe(graph);
  });

  it('takes of a dense layer the rows of the channels at work at every position', () => {
    const attributes = { units: 3, widths: [0.5, 1], width: 0.5, active: active(1, 2, 2) };
    const graph = graphOf('slimmableDense', [4], [3], attributes, { kernel: [4, 3], bias: [3] });
    const { node, behind, weight } = plainOf(graph);
    expect(node).toMatchObject({ op: 'dense', attributes: { units: 2 }, outputs: [[2]] });
    expect(node.attributes).not.toHaveProperty('widths');
    // Rows 0 and 2 of [[1, 2, 3], [4, 5, 6], [7, 8, 9], [10, 11, 12]], two columns.
    expect([...weight('kernel').data!]).toEqual([1, 2, 7, 8]);
    expect([...weight('bias').data!]).toEqual([1, 2]);
    expect(behind.outputs).toEqual([[2]]);
  });

  it('takes the steps of the filters at work', () => {
    const values = {
      ...({ type: 'affine', bits: 8, axis: 3 } as const),
      ...{ scale: Float32Array.of(1, 2, 4), zeroPoint: Int32Array.of(5, 6, 7) },
    };
    const attributes = { filters: 3, width: 0.5, active: active(1, 2) };
    const weights = { kernel: [1, 1, 2, 3] };
    const graph = graphOf('slimmableConv2d', [5, 5, 2], [5, 5, 3], attributes, weights, values);
    const { behind, weight } = plainOf(graph);
    const { data, encoding } = weight('kernel');
    expect([...data!]).toEqual([1, 2]);
    expect(encoding.shape).toEqual([1, 1, 1, 2]);
    expect(encoding.values).toEqual({
      ...values,
      scale: Float32Array.of(1, 2),
      zeroPoint: Int32Array.of(5, 6),
    });
    expect(behind.outputs).toEqual([[50]]);
  });

  it('makes every filter of a versatile convolution from its primary one', () => {
    // One primary filter of 3 x 3 over 1 of 2 channels: 2 crops times 2 windows.
    const attributes = { filters: 4, spatial: true, channelDelta: 1, channelStride: 1 };
    const weights = { kernel: [3, 3, 1, 1] };
    const graph = graphOf('versatileConv2d', [5, 5, 2], [3, 3, 4], attributes, weights);
    const { node, weight } = plainOf(graph);
    const { data, encoding } = weight('kernel');
    expect(node.op).toBe('conv2d');
    expect(encoding).toMatchObject({ shape: [3, 3, 2, 4], nonzero: 9 + 9 + 1 + 1 });
    const filter = (n: number, channel: number) =>
      Array.from({ length: 9 }, (_, tap) => data![(tap * 2 + channel) * 4 + n]);
    const none = new Array(9).fill(0);
    const whole = [1, 2, 3, 4, 5, 6, 7, 8, 9];
    const centre = [0, 0, 0, 0, 5, 0, 0, 0, 0];
    expect([filter(0, 0), filter(0, 1)]).toEqual([whole, none]);
    expect([filter(1, 0), filter(1, 1)]).toEqual([none, whole]);
    expect([filter(2, 0), filter(2, 1)]).toEqual([centre, none]);
    expect([filter(3, 0), filter(3, 1)]).toEqual([none, centre]);
  });

  it.each([
    ['slimmableConv2d', { filters: 3, active: active(9, 2) }],
    ['slimmableConv2d', { filters: 3, active: active(2, 1e9) }],
    ['versatileConv2d', { filters: 1e9, spatial: true, channelDelta: 0, channelStride: 1 }],
  ])('refuses a %s of more than there is', (op, attributes) => {
    const graph = graphOf(op, [5, 5, 2], [5, 5, 3], attributes, { kernel: [1, 1, 2, 3] });
    expect(() => plainGraph(graph)).toThrow(ShapeError);
  });

  it('names batch normalisation without statistics for its width', () => {
    const attributes = { width: 0.5, active: active(2, 2) };
    const weights = { gamma: [4], moving_mean: [4], moving_variance: [4] };
    const graph = graphOf('slimmableBatchNormalization', [4], [4], attributes, weights);
    expect(() => plainGraph(graph)).toThrow(
      'layer "y" has no statistics for width 0.5: call calibrateWidths',
    );
  });
});
