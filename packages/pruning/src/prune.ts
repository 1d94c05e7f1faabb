// `prune`: one round of pruning by any criterion, at any granularity.

import type { LayersModel } from '@tensorflow/tfjs-layers';
import { checkInteger, checkOptions, NoMatchError, OptionError } from '@thimble/base';
import type { LayerTargets } from '@thimble/core';
import { channelScores } from './channel-scores.ts';
import { magnitude } from './criteria/magnitude.ts';
import type { Criterion } from './criterion.ts';
import {
  checkEvidence,
  EVIDENCE_OPTIONS,
  type EvidenceOptions,
  maskedTarget,
  type Recorded,
  weightEvidence,
} from './evidence.ts';
import {
  checkGranularity,
  checkUnits,
  type Granularity,
  patternOf,
  removesOutputs,
} from './granularity.ts';
import { setMask } from './mask.ts';
import {
  chooseLayers,
  type GivenMasks,
  giveMasks,
  kernelShapes,
  type MaskedWeight,
} from './masked-weights.ts';
import { checkSparsity, namedRatios } from './sparsity.ts';
import { type Amount, masksOf, type ScoredWeight } from './unit-masks.ts';

/** What to prune, by what, and how much. */
export interface PruneRule {
  /** Default `criteria.magnitude()`. */
  criterion?: Criterion;
  /** Default 'block': what runs fastest once it is packed. 'element' keeps the most accuracy. */
  granularity?: Granularity;
  /** Whether scores compete within each weight or over all of them; default 'layer'. */
  scope?: 'layer' | 'global';
  /**
   * The layers; default all with a kernel. With granularity 'filter' or 'neuron' the layers that give the
   * model's outputs are left out, unless they are named.
   */
  targets?: LayerTargets;
}

/** Options of {@link prune}. */
export interface PruneOptions extends PruneRule, EvidenceOptions {
  /**
   * Fraction of the units that is gone afterwards, what was pruned before included; in [0, 1). Left out
   * where the criterion says itself what goes (`threshold`, `deviations`).
   */
  sparsity?: number;
  /** Other sparsities for some layers, by name; with scope 'layer'. */
  perLayer?: Readonly<Record<string, number>>;
  /**
   * Rounds to reach the sparsity in, each scored anew on what the one before has left; default 1. After
   * round r of R, `(1 - sparsity)^(r / R)` is left. With `criteria.snip()` this is iterative SNIP.
   */
  rounds?: number;
  /** The weights before training by 'layer/weight', for criteria that compare with them. */
  initial?: ReadonlyMap<string, Float32Array>;
}

/** What {@link prune} did. */
export interface PruneReport {
  /** Entries of the masked weights, and how many are kept. */
  total: number;
  kept: number;
  weights: { name: string; total: number; kept: number }[];
}

export const RULE_OPTIONS: readonly string[] = ['criterion', 'granularity', 'scope', 'targets'];

/**
 * Prunes a model: scores every unit, masks the lowest. Kernels without a mask get one. What is pruned
 * already stays pruned. The model is changed in place. When this throws, it is what it was.
 *
 * @throws {NoMatchError} for a target that matches no layer; {OptionError} for a sparsity outside [0, 1),
 *   a criterion that needs data without data, a channel criterion with a granularity that is none of
 *   channels; {UnsupportedError} where nothing would be left of a layer, or a kernel has no units of that
 *   granularity; {NonFiniteError} for NaN.
 * @example
 * await prune(model, { criterion: criteria.magnitude(), granularity: 'element', sparsity: 0.9 });
 * summarize(model).print();
 */
export async function prune(model: LayersModel, options: PruneOptions): Promise<PruneReport> {
  const { sparsity, perLayer, initial, rounds = 1, ...rest } = options;
  checkOptions('prune', rest, [...RULE_OPTIONS, ...EVIDENCE_OPTIONS]);
  const rule = resolveRule('prune', rest);
  checkInteger('prune', 'rounds', rounds, 1);
  checkAmount('prune', rule, options);
  checkEvidence('prune', model, rule.criterion, rest, initial ? ['initial'] : []);
  const { weights, takeBack } = targetsOf('prune', model, rule, perLayer);
  const recorded = initial ? { initial } : {};
  const before = weights.map(({ mask }) => mask.dataSync().slice());
  try {
    for (let round = 1; ; round++) {
      const amount = amountOf(rule, weights, sparsity, perLayer, round / rounds);
      const report = await pruneWeights('prune', model, weights, rule, amount, rest, recorded);
      if (round === rounds || amount.scope === 'threshold') return report;
    }
  } catch (error) {
    weights.forEach(({ weight }, i) => {
      setMask(weight, before[i]!);
    });
    takeBack();
    throw error;
  }
}

/** Fills in the defaults of a rule and checks it. */
export function resolveRule(
  owner: string,
  options: PruneRule,
): Required<Omit<PruneRule, 'targets'>> & PruneRule {
  const { criterion = magnitude(), granularity = 'block', scope = 'layer', targets } = options;
  checkGranularity(owner, granularity);
  if (scope !== 'layer' && scope !== 'global') {
    throw new OptionError(`${owner}: scope must be layer or global, not "${String(scope)}".`);
  }
  if (typeof criterion?.score !== 'function') {
    throw new OptionError(
      `${owner}: criterion must be one of criteria, for example criteria.magnitude().`,
    );
  }
  if (criterion.level === 'channel' && !removesOutputs(granularity) && granularity !== 'channel') {
    throw new OptionError(
      `${owner}: the criterion ${criterion.name} scores whole channels; use granularity 'filter', ` +
        `'neuron' or 'channel' with it, not ${JSON.stringify(granularity)}.`,
    );
  }
  if (criterion.threshold && (scope === 'global' || patternOf(granularity))) {
    throw new OptionError(
      `${owner}: the criterion ${criterion.name} says for each weight how much goes; scope 'global' and ` +
        "patterns such as '2:4' do not go with it.",
    );
  }
  return { criterion, granularity, scope, ...(targets === undefined ? {} : { targets }) };
}

function checkAmount(owner: string, { criterion, scope }: PruneRule, options: PruneOptions): void {
  const { sparsity, perLayer } = options;
  const given = namedRatios('sparsity', sparsity, perLayer);
  for (const [name, value] of given) checkSparsity(owner, value, name);
  if (criterion!.threshold) {
    if (given.length === 0) return;
    throw new OptionError(
      `${owner}: the criterion ${criterion!.name} says itself how much goes; leave sparsity out.`,
    );
  }
  if (given.length === 0) throw new OptionError(`${owner}: give the option sparsity, in [0, 1).`);
  if (perLayer && scope === 'global') {
    throw new OptionError(`${owner}: perLayer goes with scope 'layer', not 'global'.`);
  }
}

/** The masked weights that a rule is about. Nothing is masked unless all of it is possible. */
export function targetsOf(
  owner: string,
  model: LayersModel,
  { targets, granularity }: PruneRule,
  perLayer: Readonly<Record<string, number>> = {},
): GivenMasks {
  const chosen = chooseLayers(owner, model, targets, removesOutputs(granularity!));
  const names = chosen.map(({ name }) => name);
  for (const name of Object.keys(perLayer)) {
    if (!names.includes(name)) {
      throw new NoMatchError(
        `${owner}: perLayer names "${name}", which is none of the layers: ${names.join(', ')}.`,
      );
    }
  }
  for (const layer of chosen) {
    for (const [name, shape] of kernelShapes(layer)) {
      checkUnits(granularity!, shape, `${layer.name}/${name}`);
    }
  }
  return giveMasks(model, chosen);
}

function amountOf(
  { criterion, scope }: PruneRule,
  weights: readonly MaskedWeight[],
  sparsity: number | undefined,
  perLayer: Readonly<Record<string, number>> | undefined,
  share: number,
): Amount {
  if (criterion!.threshold) return { scope: 'threshold' };
  /** What is gone after this share of the rounds; the sparsity itself, to the bit, after all of them. */
  const due = (final: number) => (share === 1 ? final : 1 - (1 - final) ** share);
  if (scope === 'global') return { scope, sparsity: due(sparsity!) };
  const sparsities = weights.map(({ weight }) =>
    due(perLayer?.[weight.layer.name] ?? sparsity ?? 0),
  );
  return { scope: 'layer', sparsities };
}

/** Scores the weights and sets their masks. */
export async function pruneWeights(
  owner: string,
  model: LayersModel,
  weights: readonly MaskedWeight[],
  rule: PruneRule,
  amount: Amount,
  options: EvidenceOptions,
  recorded: Recorded = {},
): Promise<PruneReport> {
  const scored = await scoreWeights(owner, model, weights, rule, options, recorded);
  const masks = masksOf(owner, scored, rule.granularity!, amount);
  masks.forEach((mask, i) => {
    setMask(weights[i]!.weight, mask);
  });
  return reportOf(weights, masks);
}

/** The scores of all entries of the weights, in the order of the weights. */
export async function scoreWeights(
  owner: string,
  model: LayersModel,
  weights: readonly MaskedWeight[],
  rule: PruneRule,
  options: EvidenceOptions,
  recorded: Recorded = {},
): Promise<ScoredWeight[]> {
  const criterion = rule.criterion!;
  if (criterion.level === 'channel') {
    return channelScores(owner, model, weights, criterion, rule.granularity!, options);
  }
  const targets = weights.map(maskedTarget);
  const evidence = await weightEvidence(owner, model, targets, criterion, options, recorded);
  return evidence.map((each, i) => ({
    target: weights[i]!,
    scores: criterion.score(each),
    kept: each.kept,
    reduction: criterion.reduction ?? 'mean',
    ...(criterion.threshold ? { threshold: criterion.threshold(each) } : {}),
  }));
}

function reportOf(weights: readonly MaskedWeight[], masks: readonly Uint8Array[]): PruneReport {
  const rows = weights.map(({ name }, i) => ({
    name,
    total: masks[i]!.length,
    kept: masks[i]!.reduce((sum, keep) => sum + keep, 0),
  }));
  const sum = (key: 'total' | 'kept') => rows.reduce((all, row) => all + row[key], 0);
  return { total: sum('total'), kept: sum('kept'), weights: rows };
}
