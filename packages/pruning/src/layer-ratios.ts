// Sparsities for every layer, from a scan of how much each suffers.
import { checkOptions, checkRange, DataError, OptionError } from '@thimble/base';
import { type AllocateOptions, allocate, smallestReaching } from '@thimble/core';
import type { PrunedCost } from './pruned-cost.ts';
import type { Sensitivity, SensitivityRow } from './sensitivity.ts';

/** Options of {@link ratiosForBudget}: one of `params`, `macs`, `bytes`, for the whole model. */
export interface BudgetOptions extends AllocateOptions {
  /** Entries of weights that are left. */
  params?: number;
  /** Multiply-accumulates of these entries for one example. */
  macs?: number;
  /** Bytes of the weights, before entropy coding. */
  bytes?: number;
  /**
   * What a row is worth; the sum over the layers is made as large as possible. Default the score less that
   * of the whole model. `({ ratio }) => 1 - ratio` keeps the largest area, every layer counting the same.
   */
  value?: (row: SensitivityRow) => number;
}

/** What {@link ratiosForBudget} chose. */
export interface BudgetRatios {
  /** Sparsity by layer: `perLayer` of `prune`. */
  ratios: Record<string, number>;
  /** What the pruned model costs. */
  cost: PrunedCost;
  /** Sum of the values; with the default the expected change of the score, if layers suffered apart. */
  value: number;
  /** No choice within the budget is worth more. */
  bound: number;
  /** True when this choice is proven to be the best. */
  optimal: boolean;
}

const BUDGETS = ['params', 'macs', 'bytes'] as const;

/**
 * The sparsities of all layers with which the model keeps within a budget and loses the least, if what
 * the layers lose alone adds up: a multiple-choice knapsack over the rows of the scan, solved by `allocate`.
 *
 * Costs are counted with pruned entries left out, and the whole model counts, biases and layers that were
 * not scanned included. Entries that go in one layer because channels went in another (`removeChannels`)
 * are not counted as gone, so that the model may come out smaller than asked for, never larger.
 *
 * @throws {OptionError} unless exactly one budget is given, and for one below what the largest ratios cost
 *   (the message says how much that is).
 * @throws {DataError} for `macs` where those of a layer are not known.
 * @example
 * const scan = await sensitivity(model, { data: test, granularity: 'element', ratios: [0.5, 0.8, 0.95] });
 * const { ratios, cost } = ratiosForBudget(scan, { bytes: 8000 });
 * await prune(model, { granularity: 'element', perLayer: ratios });
 */
export function ratiosForBudget(scan: Sensitivity, options: BudgetOptions): BudgetRatios {
  checkOptions(OWNER, options, [...BUDGETS, 'value', 'method', 'limit']);
  const { value = ({ score }) => score - scan.score, method, limit } = options;
  const given = BUDGETS.filter((name) => options[name] !== undefined);
  const [unit] = given;
  if (unit === undefined || given.length > 1) {
    throw new OptionError(`${OWNER}: give exactly one of ${BUDGETS.join(', ')}.`);
  }
  const budget = options[unit]!;
  checkRange(OWNER, unit, budget, 0);
  const layers = [...rowsByLayer(scan)];
  const choices = layers.map(([, rows]) =>
    rows.map((row) => ({ cost: row.cost[unit], value: value(row) })),
  );
  checkKnown(layers, unit);
  const least = choices.reduce(
    (sum, costs) => sum + Math.min(...costs.map(({ cost }) => cost)),
    scan.rest[unit],
  );
  if (least > budget) {
    throw new OptionError(
      `${OWNER}: a budget of ${budget} ${unit} is out of reach: at the largest ratios of the scan the model ` +
        `takes ${Math.ceil(least)}. Raise the budget, scan larger ratios or more layers.`,
    );
  }
  const found = allocate(choices, budget - scan.rest[unit], {
    ...(method === undefined ? {} : { method }),
    ...(limit === undefined ? {} : { limit }),
  });
  const chosen = layers.map(([, rows], i) => rows[found.picks[i]!]!);
  const sum = (name: keyof PrunedCost) =>
    chosen.reduce((total, { cost }) => total + cost[name], scan.rest[name]);
  return {
    ratios: Object.fromEntries(chosen.map(({ layer, ratio }) => [layer, ratio])),
    cost: { params: sum('params'), macs: sum('macs'), bytes: sum('bytes') },
    value: found.value,
    bound: found.bound,
    optimal: found.optimal,
  };
}

const OWNER = 'ratiosForBudget';

function checkKnown(layers: [string, SensitivityRow[]][], unit: keyof PrunedCost): void {
  for (const [layer, rows] of layers) {
    if (rows.every(({ cost }) => Number.isFinite(cost[unit]))) continue;
    throw new DataError(
      `${OWNER}: the ${unit} of layer "${layer}" are not known: a size of its input is open. Give the model ` +
        'an inputShape without null, or set the budget in params or bytes.',
    );
  }
}

/**
 * For every layer the largest ratio of the scan with which the model, this layer alone pruned, still
 * reaches `score`; 0 where there is none. Layers do not suffer apart, so the model with all of them pruned
 * scores lower: a start for fine-tuning, as in Li et al. 2017.
 *
 * @param score in the unit of the scan, at most that of the whole model
 * @throws {OptionError} when the whole model does not reach it.
 * @example
 * const scan = await sensitivity(model, { data: test, ratios: [0.5, 0.9] });
 * ratiosForScore(scan, scan.score - 0.02);
 */
export function ratiosForScore(scan: Sensitivity, score: number): Record<string, number> {
  checkRange('ratiosForScore', 'score', score, Number.NEGATIVE_INFINITY);
  if (scan.score < score) {
    throw new OptionError(
      `ratiosForScore: the whole model scores ${scan.score}, less than ${score}. Lower the score.`,
    );
  }
  return Object.fromEntries(
    [...rowsByLayer(scan)].map(([layer, rows]) => {
      const most = smallestReaching(
        rows.map((row) => [-row.ratio, row.score] as const),
        score,
      );
      return [layer, Math.abs(most ?? 0)];
    }),
  );
}

function rowsByLayer({ rows }: Sensitivity): Map<string, SensitivityRow[]> {
  const layers = new Map<string, SensitivityRow[]>();
  for (const row of rows) {
    const own = layers.get(row.layer);
    if (own) own.push(row);
    else layers.set(row.layer, [row]);
  }
  return layers;
}
