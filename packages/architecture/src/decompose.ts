// A trained model with layers decomposed into chains of smaller ones.
import * as tf from '@tensorflow/tfjs-core';
import type { LayersModel } from '@tensorflow/tfjs-layers';
import { NoMatchError, OptionError, startProgress, UnsupportedError } from '@thimble/base';
import {
  allocate,
  finalize,
  fit,
  kernelLayers,
  matchLayers,
  type NewLayer,
  replaceLayers,
  summarize,
} from '@thimble/core';
import { type ConvRank, checkRank, rankPair } from './chains.ts';
import {
  type DecomposeOptions,
  type RankRule,
  type ResolvedDecompose,
  resolveDecompose,
} from './decompose-options.ts';
import { Factoring } from './factoring.ts';

/** What became of one layer. */
export interface DecomposedLayer {
  name: string;
  rank: ConvRank;
  /** `|| W - product || / || W ||`, before fine-tuning. */
  error: number;
  /** Parameters of the kernel before and of the kernels after. */
  params: [before: number, after: number];
  /** Multiply-accumulates; NaN where sizes are open. */
  macs: [before: number, after: number];
}

/** What {@link decompose} did. */
export interface DecomposeReport {
  layers: DecomposedLayer[];
  /** Layers with kernels that stayed as they were. */
  kept: { name: string; reason: string }[];
}

/**
 * A plain, smaller model in which layers are chains of plain layers whose product is close to the kernel:
 *
 * | method    | layers        | what comes out                                                                          |
 * | --------- | ------------- | --------------------------------------------------------------------------------------- |
 * | 'svd'     | dense, conv2d | truncated singular values: the closest of a rank, error `sqrt(sum of dropped s^2)`       |
 * | 'nmf'     | dense, conv2d | the difference of two products without negative entries: 2 rank wide inside             |
 * | 'tucker2' | conv2d        | 1 x 1, k x k, 1 x 1: HOSVD, then the two bases improved in turn                          |
 * | 'cp'      | conv2d        | 1 x 1, k x 1 and 1 x k on each channel, 1 x 1: alternating least squares                 |
 *
 * Ranks are given, found by energy or by variational Bayes, or chosen together so that the whole network takes no
 * more than a share of its multiply-accumulates or bytes while the layers lose the least: the sum of their relative
 * squared errors is minimised, exactly up to the grid of ranks that is tried ('nmf' and 'cp': 8 ranks per layer,
 * each fitted for 20 iterations). Transforms are baked first, as by
 * `finalize`; the model given stays as it was. With `data` the new model is fine-tuned by `fit`. Regularizers and
 * constraints of kernels are left out. {@link decomposeReport} tells ranks, errors and costs.
 *
 * Papers: Denton et al., 2014 (SVD); Jaderberg et al., 2014 (spatial); Cichocki and Phan, 2009 (NMF); De Lathauwer, De
 * Moor, Vandewalle, "A Multilinear Singular Value Decomposition", 2000, and Kim et al., 2016 (Tucker-2, VBMF);
 * Lebedev et al., 2015 (CP).
 *
 * @throws {NoMatchError} for a layer that does not exist, and where no layer would get smaller; {OptionError} for
 *   ranks above the limit of a layer, options that exclude each other, or a budget that cannot be met;
 *   {UnsupportedError} for a named layer that the method cannot decompose.
 * @example
 * const smaller = await decompose(model, { energy: 0.8 });
 * decomposeReport(smaller).layers; // ranks, errors, costs
 * const tuned = await decompose(model, {
 *   budget: { macs: 0.5 },
 *   data: train,
 *   fit: { epochs: 1, loss: 'categoricalCrossentropy' },
 * });
 */
export async function decompose(
  model: LayersModel,
  options: DecomposeOptions = {},
): Promise<LayersModel> {
  const resolved = resolveDecompose(options);
  const { progress = true, signal } = options;
  const plain = await finalize(model);
  const chains = new Map<Factoring['layer'], readonly NewLayer[]>();
  const report: DecomposeReport = { layers: [], kept: [] };
  let smaller: LayersModel;
  try {
    const candidates = candidatesOf(plain, resolved, options, report);
    const reporter = startProgress(progress, OWNER, candidates.length);
    try {
      const step = async (done: number): Promise<void> => {
        reporter.update(done);
        await new Promise((resolve) => setTimeout(resolve, 0)); // lets a signal arrive
        signal?.throwIfAborted();
      };
      const ranks = await ranksOf(plain, candidates, resolved.rule, step);
      for (const [i, candidate] of candidates.entries()) {
        const rank = ranks[i];
        await step(i);
        if (rank === undefined) continue;
        replace(candidate, rank, options.layer !== undefined, chains, report);
      }
      reporter.update(candidates.length);
    } finally {
      reporter.stop();
    }
    const changed = new Set(report.layers.map(({ name }) => name));
    for (const { layer } of candidates) {
      const { name } = layer;
      const told = report.kept.some((each) => each.name === name);
      if (!changed.has(name) && !told) report.kept.push({ name, reason: 'it fits as it is' });
    }
    if (chains.size === 0 && resolved.rule.kind !== 'budget') throw nothingSmaller(plain, report);
    smaller = replaceLayers(plain, chains);
  } finally {
    for (const each of chains.values()) tf.dispose(each.flatMap(({ weights }) => [...weights]));
    plain.dispose();
  }
  reports.set(smaller, report);
  if (options.data !== undefined) {
    const shared = { seed: resolved.seed, progress, ...(signal ? { signal } : {}) };
    await fit(smaller, options.data, { ...shared, ...options.fit });
  }
  return smaller;
}

/** What a model made by {@link decompose} is made of. */
export function decomposeReport(model: LayersModel): DecomposeReport {
  const report = reports.get(model);
  if (!report) {
    throw new UnsupportedError(`decomposeReport: model "${model.name}" was not made by decompose.`);
  }
  return report;
}

const OWNER = 'decompose';
const reports = new WeakMap<LayersModel, DecomposeReport>();

/** The layers to decompose; those that cannot be go into the report, or are errors where they were named. */
function candidatesOf(
  plain: LayersModel,
  options: ResolvedDecompose,
  { layer: targets }: DecomposeOptions,
  report: DecomposeReport,
): Factoring[] {
  const all = kernelLayers(OWNER, plain);
  const chosen = matchLayers(OWNER, all, targets);
  const found: Factoring[] = [];
  for (const layer of all) {
    const { name } = layer;
    if (!chosen.includes(layer)) {
      report.kept.push({ name, reason: 'it was not asked for' });
      continue;
    }
    const reason = whyNot(layer, options);
    if (reason === undefined) found.push(new Factoring(layer, options));
    else if (targets !== undefined) throw new UnsupportedError(`${OWNER}: "${name}": ${reason}.`);
    else report.kept.push({ name, reason });
  }
  return found;
}

function whyNot(layer: Factoring['layer'], { method }: ResolvedDecompose): string | undefined {
  const className = layer.getClassName();
  const forConvolutions = method === 'tucker2' || method === 'cp';
  if (className === 'Dense' && !forConvolutions) {
    return layer.inboundNodes.length > 0 ? undefined : 'it is inside a wrapper';
  }
  if (className !== 'Conv2D') {
    return `${method} is for ${forConvolutions ? '' : 'dense and '}conv2d layers, not ${className}`;
  }
  if (layer.inboundNodes.length === 0) return 'it is inside a wrapper';
  const { dataFormat, dilationRate } = layer.getConfig();
  if (dataFormat === 'channelsFirst') return 'its channels come first';
  const dilated = [dilationRate].flat().some((rate) => (rate as number) > 1);
  return method === 'cp' && dilated ? 'depthwise convolutions have no dilation' : undefined;
}

/** The rank of each layer; undefined where it stays. */
async function ranksOf(
  plain: LayersModel,
  candidates: readonly Factoring[],
  rule: RankRule,
  step: (done: number) => Promise<void>,
): Promise<(ConvRank | undefined)[]> {
  if (rule.kind === 'budget') return sharedOut(plain, candidates, rule, step);
  const ranks: (ConvRank | undefined)[] = [];
  for (const candidate of candidates) {
    await step(0);
    if (rule.kind === 'rank') ranks.push(rule.rank);
    else if (rule.kind === 'vbmf') ranks.push(candidate.vbmfRank());
    else ranks.push(candidate.rankForEnergy(rule.energy));
  }
  return ranks;
}

/** Adds the chain of one layer; leaves out what was not asked for by name and gets no smaller. */
function replace(
  candidate: Factoring,
  rank: ConvRank,
  named: boolean,
  chains: Map<Factoring['layer'], readonly NewLayer[]>,
  report: DecomposeReport,
): void {
  const { layer, scheme, shape } = candidate;
  const { name } = layer;
  const [before, after] = [candidate.cost(), candidate.cost(rank)];
  if (!named) {
    const most = candidate.largest;
    const reason = rankPair(rank).some((each, i) => each > most[i]!)
      ? `its ranks end at ${[...new Set(most)].join(' and ')}`
      : after.params >= before.params
        ? `at rank ${rank} it would take ${after.params} weights instead of ${before.params}`
        : undefined;
    if (reason !== undefined) {
      report.kept.push({ name, reason });
      return;
    }
  }
  checkRank(`${OWNER}: "${name}"`, scheme, rank, shape);
  const { layers, lost } = candidate.chain(rank);
  chains.set(layer, layers);
  report.layers.push({
    name,
    rank,
    error: Math.sqrt(lost),
    params: [before.params, after.params],
    macs: [before.macs, after.macs],
  });
}

function nothingSmaller(plain: LayersModel, { kept }: DecomposeReport): NoMatchError {
  const reasons = kept.map(({ name, reason }) => `${name}: ${reason}`).join('; ');
  return new NoMatchError(
    `${OWNER}: no layer of "${plain.name}" would get smaller (${reasons}). Lower the rank or the energy.`,
  );
}

/** Ranks that fit into a budget and lose least. */
async function sharedOut(
  plain: LayersModel,
  candidates: readonly Factoring[],
  { of, share }: Extract<RankRule, { kind: 'budget' }>,
  step: (done: number) => Promise<void>,
): Promise<(ConvRank | undefined)[]> {
  const { total, uncounted } = summarize(plain);
  if (of === 'macs' && uncounted.length > 0) {
    throw new UnsupportedError(
      `${OWNER}: the multiply-accumulates of ${uncounted.join(', ')} are not known; take a budget of bytes.`,
    );
  }
  const costOf = (candidate: Factoring, rank?: ConvRank) =>
    of === 'macs' ? candidate.cost(rank).macs : 4 * candidate.cost(rank).params;
  const fixed = candidates.reduce((rest, candidate) => rest - costOf(candidate), total[of]);
  const ways: { rank: ConvRank | undefined; cost: number; value: number }[][] = [];
  for (const candidate of candidates) {
    await step(0);
    const whole = costOf(candidate);
    const isCheaper = (rank: ConvRank) => costOf(candidate, rank) < whole;
    const cheaper = grid(candidate, isCheaper)
      .map((rank) => ({ rank, cost: costOf(candidate, rank) }))
      .map(({ rank, cost }) => ({ rank, cost, value: -candidate.roughlyLost(rank) }));
    ways.push([{ rank: undefined, cost: whole, value: 0 }, ...cheaper]);
  }
  const least = ways.reduce((sum, each) => sum + Math.min(...each.map(({ cost }) => cost)), fixed);
  if (least > share * total[of]) {
    const smallest = Math.ceil((1000 * least) / total[of]) / 1000;
    throw new OptionError(
      `${OWNER}: budget.${of} ${share} cannot be met; at rank 1 the network takes ${smallest} of its ${of}. ` +
        'Raise it, or name more layers.',
    );
  }
  const { picks } = allocate(ways, share * total[of] - fixed);
  return picks.map((pick, i) => ways[i]![pick]!.rank);
}

/** Ranks to choose from, of those that are cheaper than the layer: all where that is cheap to know, else few. */
function grid(candidate: Factoring, isCheaper: (rank: ConvRank) => boolean): ConvRank[] {
  const [first, second] = candidate.largest;
  if (candidate.scheme === 'tucker2') {
    const others = spaced(second, 16);
    const pairs = spaced(first, 16).flatMap((a) => others.map((b): ConvRank => [a, b]));
    return pairs.filter(isCheaper);
  }
  let most = first;
  while (most > 0 && !isCheaper(most)) most--;
  return spaced(most, candidate.fits ? 8 : 512);
}

/** Up to `count` whole numbers from 1 to `most`, closer together at the small end. */
function spaced(most: number, count: number): number[] {
  if (most <= count) return Array.from({ length: most }, (_, i) => i + 1);
  return [
    ...new Set(Array.from({ length: count }, (_, i) => Math.round(most ** (i / (count - 1))))),
  ];
}
