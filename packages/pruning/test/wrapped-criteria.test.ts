import { OptionError, UnsupportedError } from '@thimble/base';
import {
  type ChannelCriterion,
  criteria,
  type Granularity,
  type MaskedWeight,
  type WeightCriterion,
} from '@thimble/pruning';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { masksOf } from '../src/unit-masks.ts';
import { activations, channelEvidence, weightEvidence } from './evidence.ts';

/** The mask that a criterion and a sparsity give one weight. */
function maskBy(
  criterion: WeightCriterion,
  evidence: ReturnType<typeof weightEvidence>,
  sparsity: number,
  granularity: Granularity = 'element',
): Uint8Array {
  const { shape, axes, kept } = evidence;
  const target = { name: 'layer/kernel', weight: { variable: { shape }, axes } };
  const scores = criterion.score(evidence);
  const reduction = criterion.reduction ?? 'mean';
  const scored = { target: target as unknown as MaskedWeight, scores, kept, reduction };
  return masksOf('test', [scored], granularity, { scope: 'layer', sparsities: [sparsity] })[0]!;
}

describe('normalized', () => {
  it('divides by the L2 norm', () => {
    const { name, score, needs } = criteria.normalized(criteria.magnitude());
    expect(score(weightEvidence([3, -4]))).toBeAllClose([0.6, 0.8]);
    expect(name).toBe('normalized(magnitude)');
    expect(needs).toEqual([]);
  });

  it('makes the roots of squares have norm 1', () => {
    const { score, reduction } = criteria.normalized(criteria.magnitude({ norm: 'l2' }));
    expect(score(weightEvidence([3, -4]))).toBeAllClose([0.36, 0.64]);
    expect(reduction).toBe('norm');
  });

  it('looks at what is kept, and leaves infinite scores and zeros alone', () => {
    const inner = (scores: number[]): WeightCriterion => ({
      ...criteria.magnitude(),
      score: () => scores,
    });
    const kept = [1, 1, 1, 0];
    const scores = [3, Number.POSITIVE_INFINITY, 4, 100];
    const { score } = criteria.normalized(inner(scores));
    expect(Array.from(score(weightEvidence([1, 1, 1, 1], { kept })))).toEqual([
      0.6,
      Number.POSITIVE_INFINITY,
      0.8,
      20,
    ]);
    expect(criteria.normalized(inner([0, 0])).score(weightEvidence([1, 1]))).toBeAllClose([0, 0]);
  });

  it('takes criteria of channels', () => {
    const criterion: ChannelCriterion = criteria.normalized(criteria.meanActivation());
    const evidence = channelEvidence(2, {
      activations: activations([
        [3, 8],
        [9, 8],
      ]),
    });
    expect(criterion.score(evidence)).toBeAllClose([0.6, 0.8]);
    expect(criterion.level).toBe('channel');
  });

  it('refuses a criterion with a threshold, and what is none', () => {
    expect(() => criteria.normalized(criteria.threshold({ value: 1 }))).toThrow(OptionError);
    expect(() => criteria.normalized(criteria.threshold({ value: 1 }))).toThrow(
      'the criterion threshold says itself how much goes',
    );
    expect(() => criteria.normalized(undefined as unknown as WeightCriterion)).toThrow(
      'must be one of criteria',
    );
  });

  it('keeps what a criterion has besides its scores, of classes too', () => {
    class Own {
      readonly name = 'own';
      readonly level = 'weight' as const;
      readonly needs = ['history'] as const;
      readonly examples = 7;
      score() {
        return [2];
      }
      accumulate(running: never) {
        return running;
      }
    }
    const wrapped: WeightCriterion = criteria.normalized(new Own() as WeightCriterion);
    expect(wrapped).toMatchObject({ level: 'weight', needs: ['history'], examples: 7 });
    expect(wrapped.score(weightEvidence([1]))).toBeAllClose([1]);
    const running = {} as never;
    expect(wrapped.accumulate!(running, running, running)).toBe(running);
  });
});

describe('connected', () => {
  const infinite = (scores: ArrayLike<number>) =>
    Array.from(scores).flatMap((score, i) => (score === Number.POSITIVE_INFINITY ? [i] : []));
  const criterion = criteria.connected(criteria.magnitude());

  it('protects the best way into each output and out of each input', () => {
    // Rows are inputs. Outputs: 9 and 8; inputs: 9, 8 and 3.
    const evidence = weightEvidence([1, 8, 9, 2, 2, 3], { shape: [3, 2] });
    expect(infinite(criterion.score(evidence))).toEqual([1, 2, 5]);
    expect(Array.from(criterion.score(evidence)).filter(Number.isFinite)).toEqual([1, 2, 2]);
  });

  it('lets the inputs of the network go', () => {
    const evidence = weightEvidence([1, 8, 9, 2, 2, 3], { shape: [3, 2], layer: 'first' });
    const { score } = criteria.connected(criteria.magnitude(), { firstLayers: ['first'] });
    expect(infinite(score(evidence))).toEqual([1, 2]);
    expect(infinite(score(weightEvidence([1, 8, 9, 2, 2, 3], { shape: [3, 2] })))).toHaveLength(3);
  });

  it('passes over what is pruned already', () => {
    const evidence = weightEvidence([0, 8, 0, 2], { shape: [2, 2], kept: [0, 1, 0, 1] });
    expect(infinite(criterion.score(evidence))).toEqual([1, 3]);
  });

  it('protects each pair of channel and multiplier of a depthwise kernel', () => {
    // [2 positions, 1, 2 channels, 2 multipliers]
    const evidence = weightEvidence([1, 6, 7, 8, 5, 2, 3, 4], {
      shape: [2, 1, 2, 2],
      axes: { in: 2, out: 2, space: [0, 1] },
    });
    expect(infinite(criterion.score(evidence))).toEqual([1, 2, 3, 4]);
  });

  it('does nothing to a vector', () => {
    const evidence = weightEvidence([1, 2], { shape: [2], axes: { in: -1, out: 0 } });
    expect(criterion.score(evidence)).toBeAllClose([1, 2]);
  });

  it('leaves a way in and a way out of each unit at any sparsity that has room for it', () => {
    const cases = fc.record({
      rows: fc.integer({ min: 1, max: 7 }),
      columns: fc.integer({ min: 1, max: 7 }),
      share: fc.integer({ min: 0, max: 100 }).map((percent) => percent / 100),
      values: fc.array(fc.integer({ min: -3, max: 3 }), { minLength: 49, maxLength: 49 }),
    });
    fc.assert(
      fc.property(cases, ({ rows, columns, share, values }) => {
        const n = rows * columns;
        const room = Math.max(0, n - rows - columns) / n;
        const evidence = weightEvidence(values.slice(0, n), { shape: [rows, columns] });
        const mask = maskBy(criterion, evidence, share * room);
        const at = (row: number, column: number) => mask[row * columns + column]!;
        const indices = (length: number) => Array.from({ length }, (_, i) => i);
        expect(indices(rows).every((r) => indices(columns).some((c) => at(r, c)))).toBe(true);
        expect(indices(columns).every((c) => indices(rows).some((r) => at(r, c)))).toBe(true);
      }),
      { seed: 7 },
    );
  });

  it('has no way with a sparsity that leaves no room', () => {
    const evidence = weightEvidence([1, 8, 9, 2, 2, 3], { shape: [3, 2] });
    expect(maskBy(criterion, evidence, 0.5)).toEqual(Uint8Array.of(0, 1, 1, 0, 0, 1));
    const tooMuch = () => maskBy(criterion, evidence, 0.7);
    expect(tooMuch).toThrow(UnsupportedError);
    expect(tooMuch).toThrow('layer/kernel would lose entry 1, which must stay');
    // Three protected entries in one group of four, of which two must go.
    const row = weightEvidence([3, 0, 0, 4, 0, 0, 5, 0, 0, 1, 2, 6], { shape: [4, 3] });
    expect(() => maskBy(criterion, row, 0.5, '2:4')).toThrow(UnsupportedError);
  });

  it('keeps a threshold, and the protected stay above it', () => {
    const limited = criteria.connected(criteria.threshold({ value: 10 }));
    expect(limited.threshold!(weightEvidence([1]))).toBe(10);
    expect(infinite(limited.score(weightEvidence([1, 2], { shape: [1, 2] })))).toEqual([0, 1]);
  });

  it('refuses criteria of channels and a name that is no list', () => {
    const channels = criteria.apoz() as unknown as WeightCriterion;
    expect(() => criteria.connected(channels)).toThrow('apoz scores whole channels');
    const firstLayers = 'first' as unknown as string[];
    expect(() => criteria.connected(criteria.magnitude(), { firstLayers })).toThrow(OptionError);
  });
});

describe('costAware', () => {
  const costs = { layer: 20, a: 1, b: 2 };

  it('takes strength * cost off each score', () => {
    const { score, name } = criteria.costAware(criteria.magnitude(), { costs, strength: 0.1 });
    expect(score(weightEvidence([3, -4]))).toBeAllClose([1, 2]);
    expect(name).toBe('costAware(magnitude)');
  });

  it('has the strength 0.001 of the paper by default', () => {
    const { score } = criteria.costAware(criteria.magnitude(), { costs });
    expect(score(weightEvidence([3]))).toBeAllClose([2.98], 1e-12);
  });

  it('adds up the costs of all that make a group', () => {
    const criterion = criteria.costAware(criteria.meanActivation(), { costs, strength: 1 });
    const evidence = channelEvidence(2, { name: 'a+b', activations: activations([[5, 7]]) });
    expect(criterion.score(evidence)).toBeAllClose([2, 4]);
  });

  it('refuses a layer without a cost, sums over units and thresholds', () => {
    const { score } = criteria.costAware(criteria.magnitude(), { costs });
    expect(() => score(weightEvidence([1], { layer: 'other' }))).toThrow(
      'costs has none for the layer "other"',
    );
    expect(() => criteria.costAware(criteria.magnitude({ norm: 'l1' }), { costs })).toThrow(
      'adds up the entries of a unit',
    );
    expect(() => criteria.costAware(criteria.deviations({ q: 1 }), { costs })).toThrow(OptionError);
    expect(() => criteria.costAware(criteria.magnitude(), { costs: { a: -1 } })).toThrow(
      'the cost of "a" must be a number at least 0',
    );
  });
});
