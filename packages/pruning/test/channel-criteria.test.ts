import { DataError, ShapeError, UnsupportedError } from '@thimble/base';
import { type ChannelCriterion, type ChannelEvidence, criteria } from '@thimble/pruning';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { activations, channelEvidence, contributions, kernel } from './evidence.ts';

const scores = (criterion: ChannelCriterion, evidence: ChannelEvidence) =>
  Array.from(criterion.score(evidence));

describe('geometricMedian', () => {
  it('adds up the distances to all other filters', () => {
    // Filters are columns: (0, 0), (3, 4), (0, 4). Distances 5, 4, 3.
    const kernels = [kernel('out', [0, 3, 0, 0, 4, 4], [2, 3])];
    expect(criteria.geometricMedian().score(channelEvidence(3, { kernels }))).toBeAllClose([
      9, 8, 7,
    ]);
  });

  it('takes the filters of all that make a group in a row, without biases and readers', () => {
    // Together (0, 0), (3, 4): half of each vector from either layer.
    const kernels = [
      kernel('out', [0, 3], [1, 2], { layer: 'a' }),
      kernel('out', [0, 4], [1, 2], { layer: 'b' }),
      kernel('out', [50, 0], [2], { weight: 'bias' }),
      kernel('in', [7, 8, 9, 10], [2, 2]),
      kernel('through', [7, 8], [2], { weight: 'gamma' }),
    ];
    expect(criteria.geometricMedian().score(channelEvidence(2, { kernels }))).toBeAllClose([5, 5]);
  });

  it('puts the columns of all gates of a unit into one filter', () => {
    // Two units with two gates: unit 0 has columns 0 and 2, unit 1 columns 1 and 3.
    const kernels = [
      kernel('out', [0, 3, 0, 4], [1, 4], {
        axes: { out: 1, in: 0, space: [], gates: 2 },
        channels: [0, 1, 0, 1],
      }),
    ];
    expect(criteria.geometricMedian().score(channelEvidence(2, { kernels }))).toBeAllClose([5, 5]);
  });

  it('leaves out channels of other groups', () => {
    const kernels = [kernel('out', [0, 9, 4], [1, 3], { channels: [0, -1, 1] })];
    expect(criteria.geometricMedian().score(channelEvidence(2, { kernels }))).toBeAllClose([4, 4]);
  });

  it('refuses channels that no kernel makes', () => {
    const refused = () => criteria.geometricMedian().score(channelEvidence(2));
    expect(refused).toThrow(UnsupportedError);
    expect(refused).toThrow('no kernel makes the channels of group');
  });
});

describe('batchNormScale', () => {
  const gamma = (values: number[], channels?: number[]) =>
    kernel('through', values, [values.length], { weight: 'gamma', ...(channels && { channels }) });

  it('is |gamma|, whatever else goes along the channels', () => {
    const kernels = [
      gamma([0.5, -2, 0]),
      kernel('through', [9, 9, 9], [3], { weight: 'beta' }),
      kernel('out', [9, 9, 9], [1, 3]),
    ];
    expect(scores(criteria.batchNormScale(), channelEvidence(3, { kernels }))).toEqual([0.5, 2, 0]);
  });

  it('takes the mean where several normalise a channel', () => {
    // Channel 0: 1, 3 and 2; channel 1: 5 and 1; one gamma is another group's.
    const kernels = [gamma([1, -5]), gamma([3, 1, 2, 8], [0, 1, 0, -1])];
    expect(scores(criteria.batchNormScale(), channelEvidence(2, { kernels }))).toEqual([2, 3]);
  });

  it('refuses a channel without batch normalisation', () => {
    const some = channelEvidence(2, { name: 'conv3', kernels: [gamma([1], [0])] });
    expect(() => criteria.batchNormScale().score(some)).toThrow(UnsupportedError);
    expect(() => criteria.batchNormScale().score(some)).toThrow(
      'channel 1 of conv3 goes through no',
    );
  });
});

describe('apoz', () => {
  const zeros = [
    [0, 0.5, 1],
    [0.25, 0.5, 1],
  ];
  const evidence = channelEvidence(3, { activations: activations(zeros, { zeros }) });

  it('is the share that is not zero', () => {
    expect(criteria.apoz().score(evidence)).toBeAllClose([0.875, 0.5, 0]);
    expect(criteria.apoz().threshold).toBeUndefined();
  });

  it("lets go what has more zeros than mean + q * std, the paper's rule", () => {
    // Shares of zeros 0.1 (three times) and 0.9: mean 0.3, variance (3 * 0.04 + 0.36) / 4 = 0.12.
    const shares = [0.9, 0.9, 0.9, 0.1];
    const limit = (q: number) => criteria.apoz({ deviations: q }).threshold!(shares);
    expect(limit(1)).toBeCloseTo(1 - (0.3 + Math.sqrt(0.12)), 12);
    // 0.9 > 0.3 + 0.346 goes; with 2 deviations, 0.993, nothing does.
    expect(shares.map((share) => share < limit(1))).toEqual([false, false, false, true]);
    expect(shares.map((share) => share < limit(2))).toEqual([false, false, false, false]);
  });

  it('refuses negative deviations and missing activations', () => {
    expect(() => criteria.apoz({ deviations: -1 })).toThrow(
      'deviations must be a number at least 0',
    );
    const bare = () => criteria.apoz().score(channelEvidence(3, { name: 'conv1' }));
    expect(bare).toThrow(DataError);
    expect(bare).toThrow('criteria.apoz: there are no activations of the channels of conv1');
  });
});

it('meanActivation is the mean, signs kept', () => {
  const evidence = channelEvidence(2, {
    activations: activations([
      [1, -4],
      [3, 2],
      [5, 5],
    ]),
  });
  expect(criteria.meanActivation().score(evidence)).toBeAllClose([3, 1]);
});

describe('taylor', () => {
  const rows = [
    [1, -3],
    [-5, 5],
  ];
  const evidence = channelEvidence(2, { activations: activations(rows, { taylor: rows }) });

  it('takes absolute values before the mean over examples', () => {
    expect(criteria.taylor({ normalize: false }).score(evidence)).toBeAllClose([3, 4]);
  });

  it('divides by the L2 norm of the layer unless told otherwise', () => {
    expect(criteria.taylor().score(evidence)).toBeAllClose([0.6, 0.8]);
    expect(criteria.taylor().needs).toEqual(['activations', 'taylor']);
  });

  it('refuses missing gradients and a normalize that is no truth value', () => {
    const bare = channelEvidence(2, { activations: activations(rows) });
    expect(() => criteria.taylor().score(bare)).toThrow(DataError);
    const normalize = 'layer' as unknown as boolean;
    expect(() => criteria.taylor({ normalize })).toThrow('normalize must be true or false');
  });
});

describe('lda', () => {
  // Channel 0: classes {1, 3} and {5, 7}: means 2 and 6 around 4: B = 4; W = 1.
  // Channel 1: classes {0, 2} and {0, 2}: B = 0. Channel 2: {1, 1} and {2, 2}: W = 0. Channel 3: constant.
  const rows = [
    [1, 0, 1, 5],
    [3, 2, 1, 5],
    [5, 0, 2, 5],
    [7, 2, 2, 5],
  ];

  it('is the variance between classes over that within them', () => {
    const evidence = channelEvidence(4, {
      activations: activations(rows, { labels: [3, 3, 9, 9] }),
    });
    expect(scores(criteria.lda(), evidence)).toEqual([4, 0, Number.MAX_VALUE, 0]);
  });

  it('sees no variance in what is constant but for rounding', () => {
    // Six times a sixth of 0.1 is not 0.1.
    const labels = [0, 1, 2, 3, 4, 5];
    const constant = activations(
      labels.map(() => [0.1]),
      { labels },
    );
    expect(scores(criteria.lda(), channelEvidence(1, { activations: constant }))).toEqual([0]);
  });

  it('weighs classes by their size', () => {
    // {0, 2, 4} and {6}: means 2 and 6 around 3: B = (3 * 1 + 9) / 4 = 3; W = (4 + 0 + 4 + 0) / 4 = 2.
    const labels = [0, 0, 0, 1];
    const evidence = channelEvidence(1, {
      activations: activations([[0], [2], [4], [6]], { labels }),
    });
    expect(scores(criteria.lda(), evidence)[0]).toBeCloseTo(1.5, 12);
  });

  it('does not change when responses are scaled or shifted', () => {
    const row = fc.record({
      label: fc.integer({ min: 0, max: 2 }),
      x: fc.integer({ min: -9, max: 9 }),
    });
    const examples = fc
      .array(row, { minLength: 2, maxLength: 20 })
      .filter((rows) => new Set(rows.map(({ label }) => label)).size > 1);
    fc.assert(
      fc.property(examples, (rows) => {
        const labels = rows.map(({ label }) => label);
        const both = activations(
          rows.map(({ x }) => [x, 4 * x - 8]),
          { labels },
        );
        const [a, b] = scores(criteria.lda(), channelEvidence(2, { activations: both }));
        expect([b!]).toBeAllClose([a!], 1e-9);
      }),
      { seed: 5 },
    );
  });

  it('needs two classes', () => {
    const one = channelEvidence(1, { activations: activations([[1], [2]], { labels: [4, 4] }) });
    expect(() => criteria.lda().score(one)).toThrow(
      'criteria.lda: the examples are all of one class',
    );
  });
});

describe('informationGain', () => {
  const gain = (responses: number[], labels: number[]) =>
    scores(
      criteria.informationGain(),
      channelEvidence(1, {
        activations: activations(
          responses.map((r) => [r]),
          { labels },
        ),
      }),
    )[0];
  /** Entropy of a coin in bits. */
  const coin = (p: number) => -p * Math.log2(p) - (1 - p) * Math.log2(1 - p);

  it('is one bit where the median parts two classes', () => {
    expect(gain([1, 2, 3, 4], [0, 0, 1, 1])).toBeCloseTo(1, 12);
  });

  it('is nothing where it tells nothing, or the channel is dead', () => {
    expect(gain([1, 4, 2, 3], [0, 0, 1, 1])).toBeCloseTo(0, 12);
    expect(gain([0, 0, 0, 0], [0, 1, 0, 1])).toBe(0);
  });

  it('is what a table of counts gives', () => {
    // Above the median: classes 0, 1, 1, below: 0, 0, 1. H = 1 bit; after: both halves H(1/3).
    expect(gain([9, 8, 7, 1, 2, 3], [0, 1, 1, 0, 0, 1])).toBeCloseTo(1 - coin(1 / 3), 12);
  });

  it('parts a channel that is mostly 0 into 0 and not 0', () => {
    // Not 0 once, in class 1. H(2/5) before; after: 4/5 of the examples with 1 of 4 in class 1.
    expect(gain([0, 0, 0, 0, 3], [0, 0, 0, 1, 1])).toBeCloseTo(coin(2 / 5) - 0.8 * coin(1 / 4), 12);
  });

  it('is symmetric in the names of classes', () => {
    expect(gain([9, 8, 7, 1, 2, 3], [7, 2, 2, 7, 7, 2])).toBeCloseTo(1 - coin(1 / 3), 12);
  });

  it('needs two classes', () => {
    expect(() => gain([1, 2], [1, 1])).toThrow(DataError);
  });
});

describe('thinet', () => {
  const positions = (rows: number[][]) =>
    scores(
      criteria.thinet(),
      channelEvidence(rows[0]!.length, { contributions: contributions(rows) }),
    );

  it('removes those first whose absence changes least', () => {
    expect(positions([[3, 1, 2]])).toEqual([2, 0, 1]);
  });

  it('sees that two channels cancel out', () => {
    // Alone 3 is the least; with it gone, 4 - 3 would leave 1, 5 and -5 together nothing.
    // Energies: {3}: 9. Then {3, -3.5}: 0.25, {3, 5}: 64, {3, -5}: 4. Then with -3.5: 5: 20.25, -5: 30.25.
    expect(positions([[5, 3, -5, -3.5]])).toEqual([2, 0, 3, 1]);
  });

  it('lets the first of equal ones go first', () => {
    expect(
      positions([
        [1, 0, 0],
        [0, 1, 0],
        [0, 0, 1],
      ]),
    ).toEqual([0, 1, 2]);
  });

  it('is the greedy search over samples', () => {
    const table = fc
      .tuple(fc.integer({ min: 1, max: 6 }), fc.integer({ min: 1, max: 5 }))
      .chain(([channels, samples]) =>
        fc.array(
          fc.array(fc.integer({ min: -9, max: 9 }), { minLength: channels, maxLength: channels }),
          { minLength: samples, maxLength: samples },
        ),
      );
    fc.assert(
      fc.property(table, (rows) => {
        const removed: number[] = [];
        const energy = (set: number[]) =>
          rows.reduce((sum, row) => sum + set.reduce((part, j) => part + row[j]!, 0) ** 2, 0);
        const expected = rows[0]!.map(() => 0);
        for (let position = 0; position < expected.length; position++) {
          const left = expected.map((_, j) => j).filter((j) => !removed.includes(j));
          const next = left.reduce((best, j) =>
            energy([...removed, j]) < energy([...removed, best]) ? j : best,
          );
          expected[next] = position;
          removed.push(next);
        }
        expect(positions(rows)).toEqual(expected);
      }),
      { seed: 11 },
    );
  });

  it('refuses channels that nothing reads', () => {
    const bare = () => criteria.thinet().score(channelEvidence(2, { name: 'last' }));
    expect(bare).toThrow('no contributions of the channels of last');
  });
});

describe('lasso', () => {
  const entrances = (rows: number[][], answers?: number[], steps = 2000) =>
    scores(
      criteria.lasso({ steps }),
      channelEvidence(rows[0]!.length, { contributions: contributions(rows, answers) }),
    );
  /** Two steps of 2000 apart: factors of 1.0046 on the scale of penalties. */
  const CLOSE = 0.01;

  it('lets orthogonal channels vanish at |X_j . Y|', () => {
    // X_j . Y = energies 9, 1, 4; over the largest.
    const found = entrances([
      [3, 0, 0],
      [0, 1, 0],
      [0, 0, 2],
    ]);
    expect(found).toBeAllClose([1, 1 / 9, 4 / 9], CLOSE);
  });

  it('lets the second of two correlated channels come in where theory says', () => {
    // X_0 = (1, 0), X_1 = (0.6, 0.8), Y = (2, 1): X . Y = 2 and 2. Take Y = (2, 0.5): 2 and 1.6.
    // With unit norms and correlation rho = 0.6 the second comes in at (1.6 - rho * 2) / (1 - rho) = 1.
    expect(
      entrances(
        [
          [1, 0.6],
          [0, 0.8],
        ],
        [2, 0.5],
      ),
    ).toBeAllClose([1, 0.5], CLOSE);
  });

  it('never needs a copy of a channel, nor one that does nothing', () => {
    const [first, copy, nothing, other] = entrances([
      [2, 2, 0, 0],
      [0, 0, 0, 1],
    ]);
    expect(first).toBeCloseTo(1, 5);
    expect([copy, nothing]).toEqual([0, 0]);
    expect(other).toBeGreaterThan(0);
  });

  it('ranks channels that come in at the same step by what they contribute', () => {
    const [a, b, c] = entrances(
      [
        [3, 0, 0],
        [0, 1.1, 0],
        [0, 0, 1],
      ],
      undefined,
      2,
    );
    expect(a).toBeGreaterThan(b!);
    expect(b).toBeGreaterThan(c!);
    expect(c).toBeGreaterThan(0);
  });

  it('agrees with the minimum found by trying all signs', () => {
    const entry = fc.integer({ min: -4, max: 4 });
    const row = fc.tuple(entry, entry, entry);
    const tables = fc.array(fc.tuple(row, entry), { minLength: 4, maxLength: 6 });
    fc.assert(
      fc.property(tables, (table) => {
        const rows = table.map(([row]) => row);
        const answers = table.map(([, answer]) => answer);
        const { gram, correlations } = contributions(rows, answers);
        const first = Math.max(...correlations.map(Math.abs));
        fc.pre(first > 0 && determinant(gram) > 1);
        const found = entrances(rows, answers);
        const grid = Array.from({ length: 300 }, (_, i) => 0.98 ** (i / 2 + 0.5));
        const paths = grid.map((share) => bruteLasso(gram, correlations, share * first));
        for (let j = 0; j < 3; j++) {
          const at = paths.findIndex((b) => b[j] !== 0);
          if (at < 0) expect(found[j]).toBeLessThan(grid.at(-1)!);
          else expect(found[j]! / grid[at]!).toBeCloseTo(1, 1);
          if (at > 0) expect(found[j]!).toBeLessThanOrEqual(grid[at - 1]! * 1.005);
          if (at >= 0) expect(found[j]!).toBeGreaterThanOrEqual(grid[at]! * 0.995);
        }
      }),
      { seed: 13, numRuns: 25 },
    );
  });

  it('scores 0 where nothing is contributed', () => {
    expect(entrances([[0, 0]])).toEqual([0, 0]);
  });
});

function determinant(g: ArrayLike<number>): number {
  const [a, b, c, , d, e, , , f] = Array.from(g) as [
    number,
    number,
    number,
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  return a * (d * f - e * e) - b * (b * f - e * c) + c * (b * e - d * c);
}

/** The minimum of `1/2 b'Gb - c'b + penalty |b|_1` in three variables, by the conditions for each pattern of signs. */
function bruteLasso(g: ArrayLike<number>, c: ArrayLike<number>, penalty: number): number[] {
  for (let pattern = 0; pattern < 27; pattern++) {
    const signs = [0, 1, 2].map((j) => (Math.floor(pattern / 3 ** j) % 3) - 1);
    const active = [0, 1, 2].filter((j) => signs[j] !== 0);
    const matrix = active.map((i) => active.map((j) => g[i * 3 + j]!));
    const part = solve(
      matrix,
      active.map((j) => c[j]! - penalty * signs[j]!),
    );
    const b = [0, 0, 0];
    active.forEach((j, i) => {
      b[j] = part[i]!;
    });
    const rest = (j: number) =>
      c[j]! - [0, 1, 2].reduce((sum, k) => sum + g[j * 3 + k]! * b[k]!, 0);
    const good = [0, 1, 2].every((j) =>
      signs[j] === 0 ? Math.abs(rest(j)) <= penalty + 1e-9 : b[j]! * signs[j]! > 0,
    );
    if (good) return b;
  }
  throw new Error('no pattern of signs fits');
}

/** Gaussian elimination without pivoting, for positive definite matrices. */
function solve(matrix: number[][], right: number[]): number[] {
  const n = right.length;
  const rows = matrix.map((row, i) => [...row, right[i]!]);
  for (let i = 0; i < n; i++) {
    for (let k = i + 1; k < n; k++) {
      const factor = rows[k]![i]! / rows[i]![i]!;
      for (let j = i; j <= n; j++) rows[k]![j]! -= factor * rows[i]![j]!;
    }
  }
  const x = new Array<number>(n).fill(0);
  for (let i = n - 1; i >= 0; i--) {
    let sum = rows[i]![n]!;
    for (let j = i + 1; j < n; j++) sum -= rows[i]![j]! * x[j]!;
    x[i] = sum / rows[i]![i]!;
  }
  return x;
}

describe('nisp', () => {
  /** Groups by name that know which layer makes which. */
  function network(groups: Record<string, { size: number; kernels: ReturnType<typeof kernel>[] }>) {
    const evidence: Record<string, ChannelEvidence> = {};
    const makers: Record<string, string> = {};
    for (const [name, { size, kernels }] of Object.entries(groups)) {
      evidence[name] = channelEvidence(size, {
        name,
        kernels,
        madeBy: (layer) => evidence[makers[layer]!],
      });
      for (const { role, layer } of kernels) if (role === 'out') makers[layer] = name;
    }
    return evidence as Record<string, ChannelEvidence>;
  }

  // d1: 2 -> 2 channels, d2: 2 -> 3 channels, out: 3 -> 2 outputs, not in a group.
  const w2 = [1, -2, 3, 0, 4, -1]; // [2, 3]
  const w3 = [1, 1, -2, 0, 0, 5]; // [3, 2]
  const dense = () =>
    network({
      d1: {
        size: 2,
        kernels: [
          kernel('out', [9, 9, 9, 9], [2, 2], { layer: 'd1' }),
          kernel('in', w2, [2, 3], { layer: 'd2' }),
        ],
      },
      d2: {
        size: 3,
        kernels: [
          kernel('out', w2, [2, 3], { layer: 'd2' }),
          kernel('in', w3, [3, 2], { layer: 'out' }),
        ],
      },
    });

  it('goes back through absolute weights', () => {
    const { d1, d2 } = dense();
    const criterion = criteria.nisp();
    // |W3| 1 = (2, 2, 5); |W2| (2, 2, 5) = (2 + 4 + 15, 8 + 5).
    expect(criterion.score(d2!)).toBeAllClose([2, 2, 5]);
    expect(criterion.score(d1!)).toBeAllClose([21, 13]);
  });

  it('gives the same whichever group is asked first', () => {
    const { d1, d2 } = dense();
    const criterion = criteria.nisp();
    expect(criterion.score(d1!)).toBeAllClose([21, 13]);
    expect(criterion.score(d2!)).toBeAllClose([2, 2, 5]);
    expect(criterion.score(d1!)).toBeAllClose([21, 13]);
  });

  it('starts from a ranker of the final responses', () => {
    const asked: [string, number][] = [];
    const ranker = (layer: string, outputs: number) => {
      asked.push([layer, outputs]);
      return [10, 1];
    };
    expect(criteria.nisp({ ranker }).score(dense().d2!)).toBeAllClose([11, 20, 5]);
    expect(asked).toEqual([['out', 2]]);
    const wrong = criteria.nisp({ ranker: () => [1] });
    expect(() => wrong.score(dense().d2!)).toThrow(ShapeError);
    expect(() => wrong.score(dense().d2!)).toThrow('1 scores for the 2 outputs of "out"');
  });

  it('adds up the window of a convolution and the flattened positions of a dense layer', () => {
    const groups = network({
      c1: {
        size: 2,
        kernels: [
          kernel('out', [1, 1], [1, 1, 1, 2], { layer: 'c1' }),
          // [2, 1, 2 in, 1 out]
          kernel('in', [1, 2, -3, 4], [2, 1, 2, 1], { layer: 'c2' }),
        ],
      },
      c2: {
        size: 1,
        kernels: [
          kernel('out', [1, 2, -3, 4], [2, 1, 2, 1], { layer: 'c2' }),
          // Two positions of the one channel, two outputs.
          kernel('in', [1, -1, 2, 1], [2, 2], { layer: 'head', channels: [0, 0] }),
        ],
      },
    });
    expect(criteria.nisp().score(groups.c2!)).toBeAllClose([5]);
    expect(criteria.nisp().score(groups.c1!)).toBeAllClose([4 * 5, 6 * 5]);
  });

  it('adds up all that reads a group', () => {
    const { both } = network({
      both: {
        size: 1,
        kernels: [
          kernel('out', [1], [1, 1], { layer: 'd' }),
          kernel('in', [2], [1, 1], { layer: 'a' }),
          kernel('in', [-3], [1, 1], { layer: 'b' }),
        ],
      },
    });
    expect(criteria.nisp().score(both!)).toBeAllClose([5]);
  });

  it('takes channels that nothing reads as final responses', () => {
    const { last } = network({
      last: { size: 2, kernels: [kernel('out', [1, 2], [1, 2], { layer: 'last' })] },
    });
    expect(criteria.nisp().score(last!)).toBeAllClose([1, 1]);
    expect(criteria.nisp({ ranker: () => [3, 4] }).score(last!)).toBeAllClose([3, 4]);
  });

  it('passes a recurrent kernel by', () => {
    const axes = { out: 1, in: 0, space: [], gates: 2 };
    const gates = { layer: 'rnn', axes, channels: [0, 1, 0, 1] };
    const own = kernel('out', [1, 2, 3, 4, 5, 6, 7, 8], [2, 4], gates);
    const units = (read: ReturnType<typeof kernel>[]) => [
      own,
      kernel('in', [1, 2, 3, 4, 5, 6, 7, 8], [2, 4], { layer: 'rnn', axes }),
      ...read,
    ];
    const head = kernel('in', [3, -1], [2, 1], { layer: 'head' });
    const { read } = network({ read: { size: 2, kernels: units([head]) } });
    expect(criteria.nisp().score(read!)).toBeAllClose([3, 1]);
    const { unread } = network({ unread: { size: 2, kernels: units([]) } });
    expect(criteria.nisp().score(unread!)).toBeAllClose([1, 1]);
    // What feeds it counts both gates of each unit: |w| [1, 2, 3, 4] . (3, 1, 3, 1) = 3 + 2 + 9 + 4.
    const { first } = network({
      first: {
        size: 1,
        kernels: [
          kernel('out', [1], [1, 1], { layer: 'first' }),
          kernel('in', [1, -2, 3, -4], [1, 4], { layer: 'rnn', axes }),
        ],
      },
      rnn: { size: 2, kernels: [{ ...own, layer: 'rnn' }, head] },
    });
    expect(criteria.nisp().score(first!)).toBeAllClose([18]);
  });

  it('counts paths that pass no group twice, whichever group is asked first', () => {
    // A residual block: stream -> b -> stream; the stream is read by the head.
    const residual = () =>
      network({
        stream: {
          size: 1,
          kernels: [
            kernel('out', [1], [1, 1], { layer: 'stem' }),
            kernel('out', [5], [1, 1], { layer: 'b2' }),
            kernel('in', [7], [1, 1], { layer: 'b1' }),
            kernel('in', [2], [1, 1], { layer: 'head' }),
          ],
        },
        b: {
          size: 1,
          kernels: [
            kernel('out', [7], [1, 1], { layer: 'b1' }),
            kernel('in', [5], [1, 1], { layer: 'b2' }),
            kernel('in', [3], [1, 1], { layer: 'side' }),
          ],
        },
      });
    // stream: 2 + 7 * 3 (b without the way back); b: 3 + 5 * 2.
    for (const order of [
      ['stream', 'b'],
      ['b', 'stream'],
    ] as const) {
      const groups = residual();
      const criterion = criteria.nisp();
      const found = Object.fromEntries(
        order.map((name) => [name, scores(criterion, groups[name]!)]),
      );
      expect(found).toEqual({ stream: [23], b: [13] });
    }
  });

  it('looks at each group once', () => {
    // A ladder in which every group is read by two layers that make the next: 2^40 paths.
    const groups: Parameters<typeof network>[0] = {};
    for (let i = 0; i < 40; i++) {
      groups[`g${i}`] = {
        size: 1,
        kernels: [
          kernel('out', [1], [1, 1], { layer: `a${i}` }),
          kernel('out', [1], [1, 1], { layer: `b${i}` }),
          kernel('in', [1], [1, 1], { layer: `a${i + 1}` }),
          kernel('in', [1], [1, 1], { layer: `b${i + 1}` }),
        ],
      };
    }
    const { g0 } = network(groups);
    const started = performance.now();
    expect(criteria.nisp().score(g0!)).toBeAllClose([2 ** 40]);
    expect(performance.now() - started).toBeLessThan(500);
  });
});
