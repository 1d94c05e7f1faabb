import { DataError, NoMatchError, OptionError, ShapeError, UnsupportedError } from '@thimble/base';
import { type EieOptions, type Graph, simulateEie } from '@thimble/graph';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

/** A graph of one dense layer with a kernel [inputs, outputs]. */
function graphOf(kernel: number[][], op = 'dense', withValues = true): Graph {
  const [inputs, outputs] = [kernel.length, kernel[0]!.length];
  const data = Float32Array.from(kernel.flat());
  return {
    name: 'tiny',
    inputs: ['x'],
    nodes: [
      {
        name: 'x',
        op: 'input',
        layer: 'x',
        inputs: [],
        outputs: [[inputs]],
        attributes: {},
        weights: {},
      },
      {
        name: 'fc',
        op,
        layer: 'fc',
        inputs: [{ node: 'x', output: 0 }],
        outputs: [[outputs]],
        attributes: {},
        weights: { kernel: 'fc/kernel' },
      },
    ],
    weights: {
      'fc/kernel': {
        encoding: {
          shape: [inputs, outputs],
          values: { type: 'float', bits: 32 },
          nonzero: data.filter((w) => w !== 0).length,
        },
        ...(withValues ? { data } : {}),
      },
    },
    outputs: [{ node: 'fc', output: 0 }],
  };
}

const simulate = (kernel: number[][], fc: number[], options: EieOptions) =>
  simulateEie(graphOf(kernel), { fc: Float32Array.from(fc) }, options)[0]!;

/** A column whose element k of two has so many entries: its outputs are k, k + 2, k + 4 ... */
const column = (first: number, second: number) =>
  Array.from({ length: 10 }, (_, i) =>
    Math.floor(i / 2) < (i % 2 === 0 ? first : second) ? 1 : 0,
  );

describe('simulateEie', () => {
  it('counts work, cycles and balance as worked out by hand', () => {
    const kernel = [
      [1, 2, 3, 4],
      [5, 0, 0, 0],
      [0, 0, 0, 0],
      [0, 6, 0, 7],
    ];
    // Element 0 multiplies in cycles 0, 1 (first input) and 2 (second); element 1 in 0 and 1.
    expect(simulate(kernel, [1, 2, 5, 0], { processingElements: 2 })).toEqual({
      layer: 'fc',
      macs: 16,
      done: 5,
      fillers: 0,
      cycles: 3,
      busy: 5 / 6,
      imbalance: 3 / 2.5,
    });
  });

  it('waits for room in front of the slowest element', () => {
    const kernel = [column(3, 0), column(0, 3), column(0, 3), column(5, 0)];
    const cycles = (fifoDepth: number) =>
      simulate(kernel, [1, 1, 1, 1], { processingElements: 2, fifoDepth }).cycles;
    // Sent at 0, 1, 2, 3: element 0 works in 0-3 and 3-8.
    expect(cycles(8)).toBe(8);
    // One place: the third is sent at 3, when element 0 takes up the second; element 1 takes up the third at 4,
    // so the fourth is sent at 4 and element 0 works on it in 4-9.
    expect(cycles(1)).toBe(9);
  });

  it('takes a filler for every 16 zeros of a gap', () => {
    const row = Array.from({ length: 60 }, (_, i) => ([0, 16, 33, 59].includes(i) ? 1 : 0));
    // Gaps of 15, 16 and 25 zeros.
    const one = simulate([row], [1], { processingElements: 1 });
    expect([one.done, one.fillers, one.cycles]).toEqual([4, 2, 6]);
    expect(simulate([row], [1], { processingElements: 1, indexBits: 5 }).fillers).toBe(0);
  });

  it('takes a cycle to send what meets no weight, and none without activations', () => {
    const none = simulate(
      [
        [0, 0],
        [0, 0],
      ],
      [1, 1],
      { processingElements: 2 },
    ); // prettier-ignore
    expect([none.cycles, none.done, none.busy]).toEqual([2, 0, 0]);
    expect(simulate([[1, 1]], [0], { processingElements: 2 }).cycles).toBe(0);
  });

  it('keeps one element busy without a break, and never beats an even spread', () => {
    const sparse = fc.integer({ min: 0, max: 1 });
    const layer = fc
      .tuple(fc.integer({ min: 1, max: 6 }), fc.integer({ min: 1, max: 12 }))
      .chain(([inputs, outputs]) =>
        fc.record({
          kernel: fc.array(fc.array(sparse, { minLength: outputs, maxLength: outputs }), {
            minLength: inputs,
            maxLength: inputs,
          }),
          x: fc.array(sparse, { minLength: inputs, maxLength: inputs }),
          elements: fc.integer({ min: 1, max: 5 }),
          fifoDepth: fc.integer({ min: 1, max: 4 }),
        }),
      );
    fc.assert(
      fc.property(layer, ({ kernel, x, elements, fifoDepth }) => {
        const met = kernel.reduce((n, row, j) => n + x[j]! * row.reduce((sum, w) => sum + w, 0), 0);
        const many = simulate(kernel, x, { processingElements: elements, fifoDepth });
        expect(many.done).toBe(met);
        expect(many.cycles).toBeGreaterThanOrEqual(met / elements);
        expect(many.cycles).toBeGreaterThanOrEqual(x.filter((v) => v !== 0).length);
        // Every column begins with a weight: nothing to wait for.
        const full = kernel.map((row) => [1, ...row]);
        const one = simulate(full, x, { processingElements: 1, fifoDepth });
        expect(one.cycles).toBe(one.done);
        expect(one.done === 0 ? 1 : one.busy).toBe(1);
      }),
      { seed: 7, numRuns: 200 },
    );
  });

  it('adds up examples', () => {
    const kernel = [
      [1, 0],
      [1, 1],
    ]; // prettier-ignore
    const options = { processingElements: 2 };
    const both = simulate(kernel, [1, 0, 1, 1], options);
    const each = [
      [1, 0],
      [1, 1],
    ].map((x) => simulate(kernel, x, options)); // prettier-ignore
    expect(both.cycles).toBe(each[0]!.cycles + each[1]!.cycles);
    expect(both.done).toBe(4);
    expect(both.macs).toBe(8);
  });

  it('names what is wrong', () => {
    const graph = graphOf([[1, 2]]);
    const x = Float32Array.of(1);
    expect(() => simulateEie(graph, { other: x })).toThrow(NoMatchError);
    expect(() => simulateEie(graph, { other: x })).toThrow(/"other".*Dense layers: fc/);
    expect(() => simulateEie(graphOf([[1, 2]], 'conv2d'), { fc: x })).toThrow(UnsupportedError);
    expect(() => simulateEie(graphOf([[1, 2]], 'dense', false), { fc: x })).toThrow(/no values/);
    expect(() => simulateEie(graphOf([[1], [2]]), { fc: x })).toThrow(ShapeError);
    expect(() => simulateEie(graph, { fc: Float32Array.of(Number.NaN) })).toThrow(DataError);
    expect(() => simulateEie(graph, { fc: x }, { fifoDepth: 0 })).toThrow(OptionError);
  });
});
