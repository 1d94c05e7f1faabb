// The options of `decompose`, checked.
import {
  checkInteger,
  checkOptions,
  checkRange,
  OptionError,
  type ProgressOption,
} from '@thimble/base';
import type { FitData, FitOptions, LayerTargets } from '@thimble/core';
import type { ConvRank, ConvScheme } from './chains.ts';

/** How kernels are decomposed. */
export type DecomposeMethod = 'svd' | 'nmf' | 'tucker2' | 'cp';

/** A share of what the whole network takes, above 0 and up to 1; one of the two. */
export interface DecomposeBudget {
  macs?: number;
  bytes?: number;
}

/** Options of {@link decompose}. */
export interface DecomposeOptions {
  /**
   * The layers: names, patterns, a list or a function. These are decomposed whatever it costs. Default: every
   * layer that the method can decompose and that gets smaller.
   */
  layer?: LayerTargets;
  /** Default 'svd'. */
  method?: DecomposeMethod;
  /**
   * For 'svd' and 'nmf', how the kernel of a convolution becomes a matrix: 'spatial' (default) rows by columns
   * of the window, 'channel' window and inputs by outputs.
   */
  scheme?: 'spatial' | 'channel';
  /**
   * For all layers alike: a number; for 'tucker2' also a pair, for input and output channels; or 'vbmf', for 'svd'
   * and 'tucker2': what variational Bayes tells apart from noise. For 'nmf' the rank of each of its two products.
   */
  rank?: ConvRank | 'vbmf';
  /**
   * The smallest ranks that keep this part of each kernel's squares, above 0 and up to 1 (for 'tucker2' of each
   * of its two unfoldings). Default 0.9, where neither rank nor budget is given.
   */
  energy?: number;
  /** What the whole network may take; ranks are chosen so that the layers lose least. */
  budget?: DecomposeBudget;
  /** Most iterations of 'nmf' and 'cp'. Default 200. */
  iterations?: number;
  /** Of the random starts of 'nmf' and 'cp', and of fine-tuning. Default 0. */
  seed?: number | string;
  /** Data to fine-tune the new model on. Without it, it is left as it is. */
  data?: FitData;
  /** How to fine-tune: options of `fit`. Needs data. */
  fit?: FitOptions;
  /** Default true. */
  progress?: ProgressOption;
  signal?: AbortSignal;
}

const KNOWN = [
  'layer',
  'method',
  'scheme',
  'rank',
  'energy',
  'budget',
  'iterations',
  'seed',
  'data',
  'fit',
  'progress',
  'signal',
] satisfies (keyof DecomposeOptions)[];

const OWNER = 'decompose';
const METHODS: readonly DecomposeMethod[] = ['svd', 'nmf', 'tucker2', 'cp'];

/** How ranks are found. */
export type RankRule =
  | { kind: 'rank'; rank: ConvRank }
  | { kind: 'vbmf' }
  | { kind: 'energy'; energy: number }
  | { kind: 'budget'; of: 'macs' | 'bytes'; share: number };

/** Options with their defaults. */
export interface ResolvedDecompose {
  method: DecomposeMethod;
  /** Of convolutions. */
  scheme: ConvScheme;
  rule: RankRule;
  iterations: number;
  seed: number | string;
}

export function resolveDecompose(options: DecomposeOptions): ResolvedDecompose {
  checkOptions(OWNER, options, KNOWN);
  const { method = 'svd', scheme = 'spatial', iterations = 200, seed = 0 } = options;
  if (!METHODS.includes(method)) {
    throw new OptionError(
      `${OWNER}: method must be one of ${METHODS.join(', ')}, not "${method}".`,
    );
  }
  if (scheme !== 'spatial' && scheme !== 'channel') {
    throw new OptionError(`${OWNER}: scheme must be spatial or channel, not "${String(scheme)}".`);
  }
  const matrix = method === 'svd' || method === 'nmf';
  if (options.scheme !== undefined && !matrix) {
    throw new OptionError(`${OWNER}: scheme is for svd and nmf; ${method} has its own.`);
  }
  checkInteger(OWNER, 'iterations', iterations, 1);
  if (options.fit !== undefined && options.data === undefined) {
    throw new OptionError(`${OWNER}: fit needs data to fine-tune on.`);
  }
  return {
    method,
    scheme: matrix ? scheme : method,
    rule: ruleOf(options, method),
    iterations,
    seed,
  };
}

function ruleOf({ rank, energy, budget }: DecomposeOptions, method: DecomposeMethod): RankRule {
  const given = Object.entries({ rank, energy, budget }).filter(([, value]) => value !== undefined);
  if (given.length > 1) {
    throw new OptionError(
      `${OWNER}: ${given.map(([name]) => name).join(' and ')} exclude each other; keep one of them.`,
    );
  }
  if (rank === 'vbmf') {
    if (method === 'svd' || method === 'tucker2') return { kind: 'vbmf' };
    throw new OptionError(`${OWNER}: rank 'vbmf' is for svd and tucker2, not ${method}.`);
  }
  if (rank !== undefined) {
    if (Array.isArray(rank) && (method !== 'tucker2' || rank.length !== 2)) {
      throw new OptionError(`${OWNER}: a pair of ranks is for tucker2; ${method} has one rank.`);
    }
    for (const each of [rank].flat()) checkInteger(OWNER, 'rank', each, 1);
    return { kind: 'rank', rank };
  }
  if (budget !== undefined) {
    checkOptions(`${OWNER} budget`, budget, ['macs', 'bytes']);
    const [of, ...more] = (['macs', 'bytes'] as const).filter((name) => budget[name] !== undefined);
    if (of === undefined || more.length > 0) {
      throw new OptionError(
        `${OWNER}: budget needs one of macs and bytes, a share of the network's.`,
      );
    }
    checkRange(OWNER, `budget.${of}`, budget[of]!, Number.EPSILON, 1);
    return { kind: 'budget', of, share: budget[of]! };
  }
  checkRange(OWNER, 'energy', energy ?? 0.9, Number.EPSILON, 1);
  return { kind: 'energy', energy: energy ?? 0.9 };
}
