// How much a network suffers when one of its layers is pruned, and the others are not.
import type { LayersModel } from '@tensorflow/tfjs-layers';
import {
  checkOptions,
  NonFiniteError,
  OptionError,
  type ProgressOption,
  startProgress,
  UnsupportedError,
} from '@thimble/base';
import { evaluate } from '@thimble/core';
import { checkEvidence, EVIDENCE_OPTIONS, type EvidenceOptions } from './evidence.ts';
import { setMask } from './mask.ts';
import type { MaskedWeight } from './masked-weights.ts';
import { type PruneRule, RULE_OPTIONS, resolveRule, scoreWeights, targetsOf } from './prune.ts';
import { costMeter, type PrunedCost } from './pruned-cost.ts';
import { checkSparsity } from './sparsity.ts';
import { masksOf, type ScoredWeight } from './unit-masks.ts';

/** Options of {@link sensitivity}. */
export interface SensitivityOptions extends Omit<PruneRule, 'scope'>, EvidenceOptions {
  /** Sparsities to try, each in (0, 1); default 0.1, 0.2 ... 0.9. */
  ratios?: readonly number[];
  /**
   * How good the model is, the higher the better; default its accuracy on `data`. For minus the loss:
   * `async (model) => -(await evaluate(model, data, { loss })).loss`.
   */
  score?: (model: LayersModel) => number | Promise<number>;
  /** Default true. */
  progress?: ProgressOption;
}

/** What one layer at one sparsity came to. */
export interface SensitivityRow {
  layer: string;
  /** Sparsity of the layer; 0 stands for the layer as it was. */
  ratio: number;
  /** Score of the model with this layer alone pruned. */
  score: number;
  /** What the kernels of the layer then cost. */
  cost: PrunedCost;
}

/** What {@link sensitivity} found; plain data, to keep as JSON. */
export interface Sensitivity {
  /** Score of the model as it was. */
  score: number;
  /** Layer by layer, each from ratio 0 up. */
  rows: SensitivityRow[];
  /** What could not be tried: nothing would be left of a small layer. */
  skipped: { layer: string; ratio: number; reason: string }[];
  /** What all else in the model costs: biases, and layers that were not scanned. */
  rest: PrunedCost;
}

const OWNER = 'sensitivity';
const RATIOS = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9];

/**
 * Prunes one layer at a time to several sparsities, without training, and scores the model each time. The
 * masks are those that `prune` would set; the kernels of a layer are pruned together. Takes
 * `layers * ratios + 1` evaluations of the model.
 *
 * The model ends as it was, also when this throws. What is pruned already stays so, a ratio counts it in.
 *
 * {@link ratiosForScore} and {@link ratiosForBudget} make sparsities for `prune` of the result.
 *
 * Papers: Han, Pool, Tran, Dally, "Learning both Weights and Connections for Efficient Neural Networks",
 * 2015, section 4; Li, Kadav, Durdanovic, Samet, Graf, "Pruning Filters for Efficient ConvNets", 2017,
 * section 3.2.
 *
 * @throws {OptionError} without data and score, for a ratio outside (0, 1), and for criteria that say
 *   themselves how much goes; {NoMatchError} for a target that matches no layer.
 * @throws {NonFiniteError} naming the layer and ratio whose score is NaN.
 * @example
 * const scan = await sensitivity(model, { data: test, ratios: [0.5, 0.9], granularity: 'element' });
 * console.table(scan.rows.map(({ layer, ratio, score }) => ({ layer, ratio, score })));
 * await prune(model, { granularity: 'element', perLayer: ratiosForScore(scan, scan.score - 0.01) });
 */
export async function sensitivity(
  model: LayersModel,
  options: SensitivityOptions,
): Promise<Sensitivity> {
  const ratios = checkSensitivity(options);
  const rule = resolveRule(OWNER, options);
  if (rule.criterion.threshold) {
    throw new OptionError(
      `${OWNER}: the criterion ${rule.criterion.name} says itself how much goes; take one that ranks.`,
    );
  }
  checkEvidence(OWNER, model, rule.criterion, options, []);
  const { weights, takeBack } = targetsOf(OWNER, model, rule);
  try {
    return await scan(model, weights, rule, ratios, options);
  } finally {
    takeBack();
  }
}

async function scan(
  model: LayersModel,
  weights: readonly MaskedWeight[],
  rule: ReturnType<typeof resolveRule>,
  ratios: readonly number[],
  options: SensitivityOptions,
): Promise<Sensitivity> {
  const { signal } = options;
  const scored = await scoreWeights(OWNER, model, weights, rule, options);
  const masksAt = (chosen: readonly ScoredWeight[], ratio: number) =>
    masksOf(OWNER, chosen, rule.granularity, {
      scope: 'layer',
      sparsities: chosen.map(() => ratio),
    });
  const layers = [...new Set(weights.map(({ weight }) => weight.layer.name))];
  const meter = costMeter(model, weights);
  const reporter = startProgress(
    options.progress ?? true,
    'scanning',
    layers.length * ratios.length + 1,
  );
  let done = 0;
  const scoreOf = async (layer: string, ratio: number): Promise<number> => {
    signal?.throwIfAborted();
    const score = await (options.score?.(model) ?? accuracyOf(model, options));
    if (!Number.isFinite(score)) {
      const where = ratio === 0 ? 'the model as it is' : `layer "${layer}" at ratio ${ratio}`;
      throw new NonFiniteError(`${OWNER}: the score of ${where} is ${score}.`);
    }
    reporter.update(++done, { layer, ratio, score });
    return score;
  };
  try {
    const score = await scoreOf('', 0);
    const rows: SensitivityRow[] = [];
    const skipped: Sensitivity['skipped'] = [];
    for (const layer of layers) {
      const own = scored.filter(({ target }) => target.weight.layer.name === layer);
      const targets = own.map(({ target }) => target);
      rows.push({ layer, ratio: 0, score, cost: meter.of(targets) });
      for (const ratio of ratios) {
        let masks: Uint8Array[];
        try {
          masks = masksAt(own, ratio);
        } catch (error) {
          if (!(error instanceof UnsupportedError)) throw error;
          skipped.push({ layer, ratio, reason: error.message });
          reporter.update(++done, { layer, ratio });
          continue;
        }
        rows.push(
          await withMasks(own, masks, async () => {
            const cost = meter.of(targets);
            return { layer, ratio, score: await scoreOf(layer, ratio), cost };
          }),
        );
      }
    }
    return { score, rows, skipped, rest: meter.rest };
  } finally {
    reporter.stop();
  }
}

/** Runs `body` with these masks, and puts the old ones back. */
async function withMasks<T>(
  weights: readonly ScoredWeight[],
  masks: readonly Uint8Array[],
  body: () => Promise<T>,
): Promise<T> {
  const set = (target: MaskedWeight, mask: Uint8Array) => setMask(target.weight, mask);
  try {
    weights.forEach(({ target }, i) => {
      set(target, masks[i]!);
    });
    return await body();
  } finally {
    for (const { target, kept } of weights) set(target, kept);
  }
}

async function accuracyOf(model: LayersModel, options: SensitivityOptions): Promise<number> {
  const { data, batchSize = 100, signal } = options;
  const metrics = ['accuracy'];
  const { accuracy } = await evaluate(model, data!, {
    metrics,
    batchSize,
    progress: false,
    ...(signal ? { signal } : {}),
  });
  if (accuracy === undefined) {
    throw new OptionError(
      `${OWNER}: a model with several outputs has no one accuracy; give the option score.`,
    );
  }
  return accuracy;
}

/** The ratios in ascending order. */
function checkSensitivity(options: SensitivityOptions): number[] {
  checkOptions(OWNER, options, [
    ...RULE_OPTIONS.filter((name) => name !== 'scope'),
    ...EVIDENCE_OPTIONS,
    'ratios',
    'score',
    'progress',
  ]);
  const { ratios = RATIOS, score, data } = options;
  if (!score && data === undefined) {
    throw new OptionError(`${OWNER}: give data, to measure the accuracy on, or the option score.`);
  }
  for (const ratio of ratios) {
    checkSparsity(OWNER, ratio, 'ratios');
    if (ratio === 0) throw new OptionError(`${OWNER}: ratio 0 is always there; leave it out.`);
  }
  return [...new Set(ratios)].sort((a, b) => a - b);
}
