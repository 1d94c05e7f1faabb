import { DataError, NoMatchError, ShapeError } from '@thimble/base';
import { type Graph, validateGraph } from '@thimble/graph';
import { describe, expect, it } from 'vitest';

function graph(): Graph {
  const node = { attributes: {}, weights: {}, inputs: [] };
  return {
    name: 'net',
    inputs: ['in'],
    outputs: [{ node: 'out', output: 0 }],
    nodes: [
      { ...node, name: 'in', op: 'input', layer: 'in', outputs: [[4]] },
      {
        ...node,
        name: 'out',
        op: 'dense',
        layer: 'out',
        inputs: [{ node: 'in', output: 0 }],
        outputs: [[2]],
        weights: { kernel: 'k' },
      },
    ],
    weights: {
      k: {
        encoding: { shape: [4, 2], values: { type: 'float', bits: 32 }, nonzero: 8 },
        data: new Float32Array(8),
      },
    },
  };
}

describe('validateGraph', () => {
  it('accepts a graph that hangs together', () => {
    expect(() => validateGraph(graph())).not.toThrow();
  });

  it.each<[string, new (message: string) => Error, string, (g: Graph) => void]>([
    [
      'a name used twice',
      DataError,
      'two nodes are named "in"',
      (g) => {
        g.nodes[1]!.name = 'in';
      },
    ],
    [
      'an input that comes later',
      NoMatchError,
      'node "out" takes an output of "in"',
      (g) => {
        g.nodes.reverse();
      },
    ],
    [
      'an output that a node lacks',
      NoMatchError,
      'takes output 1 of "in", which has 1',
      (g) => {
        g.nodes[1]!.inputs[0]!.output = 1;
      },
    ],
    [
      'a weight that does not exist',
      NoMatchError,
      'node "out": its kernel, weight "k"',
      (g) => {
        g.weights = {};
      },
    ],
    [
      'an input that is none',
      NoMatchError,
      'its input "out" is not an input node',
      (g) => {
        g.inputs = ['out'];
      },
    ],
    [
      'an output from nowhere',
      NoMatchError,
      'graph "net" takes an output of "gone"',
      (g) => {
        g.outputs[0]!.node = 'gone';
      },
    ],
    [
      'values of another size',
      ShapeError,
      'weight "k" of shape [4,2] has 3 values instead of 8',
      (g) => {
        g.weights.k!.data = new Float32Array(3);
      },
    ],
    [
      'a mask of another size',
      ShapeError,
      'has 2 mask entries instead of 8',
      (g) => {
        g.weights.k!.encoding.mask = new Uint8Array(2);
      },
    ],
    [
      'more nonzeros than entries',
      DataError,
      '9 of its 8 entries',
      (g) => {
        g.weights.k!.encoding.nonzero = 9;
      },
    ],
  ])('refuses %s', (_what, kind, message, damage) => {
    const damaged = graph();
    damage(damaged);
    expect(() => validateGraph(damaged)).toThrow(kind);
    expect(() => validateGraph(damaged)).toThrow(message);
  });
});
