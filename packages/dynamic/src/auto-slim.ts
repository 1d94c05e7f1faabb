// Widths of its own for every layer, within a budget.
import type { LayersModel } from '@tensorflow/tfjs-layers';
import {
  checkInteger,
  checkOptions,
  checkRange,
  NonFiniteError,
  OptionError,
  startProgress,
} from '@thimble/base';
import {
  evaluate,
  type FitData,
  finalize,
  type ObjectiveOptions,
  type PassOptions,
  recalibrateBatchNorm,
  summarize,
} from '@thimble/core';
import { atOtherWidth } from './extract-width.ts';
import { applySettings } from './set-width.ts';
import { ThimbleSlimmableBatchNormalization } from './slimmable-batch-normalization.ts';
import { settingsFor, slimmableLayers, type WidthGroup, widthGroups } from './slimmable-flow.ts';
import { channelsAt, isList } from './slimmable-widths.ts';

/** Options of {@link autoSlim}. */
export interface AutoSlimOptions extends PassOptions {
  /** Multiply-accumulates for one example, as `summarize` counts them: a budget or several. */
  macs: number | readonly number[];
  /** Examples for the statistics of batch normalisation, such as the training data. */
  data: FitData;
  /** Examples on which the loss of each candidate is measured; neither training nor test data. */
  validationData: FitData;
  /** Default: that of `model.compile`. */
  loss?: ObjectiveOptions['loss'];
  /** Into how many equal parts the channels of a layer are divided that has a range of widths; default 10. */
  parts?: number;
  /** Take the first so many examples of `data`; default 1000. */
  limit?: number;
}

/** A network that {@link autoSlim} found. */
export interface SlimmedModel {
  /** A plain tfjs-layers model, its batch normalisation recalibrated; not compiled, to be trained on. */
  model: LayersModel;
  /** The width of each layer by its name, as `extractWidth` takes them; the last ones, which stay whole, left out. */
  widths: Record<string, number>;
  /** The channels that are left at these widths. */
  channels: Record<string, number>;
  macs: number;
  /** On the validation data. */
  loss: number;
}

/**
 * Finds widths for every layer on its own: starting from the whole network, the layer that can best spare a
 * part of its channels is narrowed by it, again and again, until the network is within the budget. A trained
 * slimmable network stands for all of its narrower ones, so none is trained in between.
 *
 * - each step tries every layer, with the statistics of batch normalisation made anew, and takes the one with
 *   the least `(loss - loss before) / (MACs before - MACs)`. The paper compares the accuracy alone, for parts
 *   of about equal cost; here a part of a small layer need not compete with one of a large layer
 * - layers whose outputs are added are narrowed together
 *
 * Several budgets are met in one go, and the models come in the order of the budgets. The model given stays as
 * it is. Train the result on, or `copyModel(result.model, { seed })` from the start as the paper does. The
 * slimmable network is best trained with `slimmableTraining({ layerwise: true })`.
 *
 * Paper: Yu, Huang, "AutoSlim: Towards One-Shot Architecture Search for Channel Numbers", 2019, section 3.
 *
 * @throws {OptionError} for a budget below the narrowest network's, with what that takes, and without a loss;
 *   {NoMatchError} without slimmable layers; {NonFiniteError} where no layer has a finite loss.
 * @example
 * const widths = { min: 0.25 };
 * const model = tfl.sequential({ layers: [
 *   tfl.layers.flatten({ inputShape: [28, 28, 1] }),
 *   slimmableDense({ units: 16, widths, activation: 'relu' }),
 *   slimmableDense({ units: 16, widths, activation: 'relu' }),
 *   slimmableDense({ units: 10, widths, activation: 'softmax' }),
 * ] });
 * const [small] = await autoSlim(model, {
 *   macs: 10_000, data: train, validationData: test, loss: 'categoricalCrossentropy', parts: 4,
 * });
 * console.log(small.channels, small.macs);
 */
export async function autoSlim(
  model: LayersModel,
  options: AutoSlimOptions,
): Promise<SlimmedModel[]> {
  const { budgets, search } = resolve(model, options);
  const narrowest = await search.candidate(search.narrowest());
  narrowest.model.dispose();
  const least = Math.min(...budgets);
  if (least < narrowest.macs) {
    throw new OptionError(
      `${OWNER}: a budget is ${least} multiply-accumulates, but the narrowest network takes ` +
        `${narrowest.macs}. Raise it, or let the layers have smaller widths.`,
    );
  }
  let widths = search.whole();
  let present = await search.measured(widths);
  const found = new Map<number, SlimmedModel>();
  const whole = present.macs;
  const progress = startProgress(options.progress ?? true, 'slimming', Math.max(whole - least, 1));
  try {
    for (const budget of [...new Set(budgets)].sort((a, b) => b - a)) {
      while (present.macs > budget) {
        const next = await search.step(widths, present);
        if (![...found.values()].includes(present)) present.model.dispose();
        ({ widths, slimmed: present } = next);
        progress.update(Math.min(whole - present.macs, whole - least), { loss: present.loss });
      }
      found.set(budget, present);
    }
  } catch (error) {
    for (const { model: made } of new Set([present, ...found.values()])) made.dispose();
    throw error;
  } finally {
    progress.stop();
  }
  // Two budgets may have been met by one step: each has a model of its own.
  const given = new Set<SlimmedModel>();
  const results: SlimmedModel[] = [];
  for (const budget of budgets) {
    const slimmed = found.get(budget)!;
    results.push(
      given.has(slimmed) ? { ...slimmed, model: await finalize(slimmed.model) } : slimmed,
    );
    given.add(slimmed);
  }
  return results;
}

const OWNER = 'autoSlim';

/** The width of every group. */
type WidthsOf = ReadonlyMap<WidthGroup, number>;

function resolve(model: LayersModel, options: AutoSlimOptions) {
  const known = ['macs', 'data', 'validationData', 'loss', 'parts', 'limit'];
  checkOptions(OWNER, options, [...known, 'batchSize', 'progress', 'signal']);
  const { macs, parts = 10, limit = 1000 } = options;
  const loss = options.loss ?? (model as { loss?: ObjectiveOptions['loss'] }).loss;
  if (loss === undefined) {
    throw new OptionError(
      `${OWNER}: no loss. Give the option loss, for example 'categoricalCrossentropy', or compile the model.`,
    );
  }
  checkInteger(OWNER, 'parts', parts, 2);
  checkInteger(OWNER, 'limit', limit, 1);
  const budgets = [macs].flat() as number[];
  if (budgets.length === 0) throw new OptionError(`${OWNER}: macs has no budget in it.`);
  for (const budget of budgets) checkRange(OWNER, 'macs', budget, 0);
  return { budgets, search: new Search(model, { ...options, loss, parts, limit }) };
}

class Search {
  readonly #model: LayersModel;
  readonly #options: AutoSlimOptions & { parts: number; limit: number };
  readonly #groups: readonly WidthGroup[];
  readonly #normalized: boolean;

  constructor(model: LayersModel, options: AutoSlimOptions & { parts: number; limit: number }) {
    this.#model = model;
    this.#options = options;
    this.#groups = widthGroups(OWNER, model);
    this.#normalized = slimmableLayers(OWNER, model).some(
      (layer) => layer instanceof ThimbleSlimmableBatchNormalization,
    );
  }

  whole(): WidthsOf {
    return new Map(this.#groups.map((group) => [group, 1]));
  }

  narrowest(): WidthsOf {
    const widths = new Map<WidthGroup, number>();
    for (const group of this.#groups) {
      let width = 1;
      for (let next = this.#below(group, width); next; next = this.#below(group, width))
        width = next;
      widths.set(group, width);
    }
    return widths;
  }

  /** The next smaller width; undefined where there is none. */
  #below({ layers, channels }: WidthGroup, width: number): number | undefined {
    const { widths } = layers[0]!.slim;
    if (isList(widths)) return widths.filter((each) => each < width).at(-1);
    const { parts } = this.#options;
    for (let part = Math.round(width * parts) - 1; part / parts >= widths.min; part--) {
      if (channelsAt(channels, part / parts) < channelsAt(channels, width)) return part / parts;
    }
    return undefined;
  }

  /** The plain model of some widths, and what it takes. */
  async candidate(widths: WidthsOf): Promise<Omit<SlimmedModel, 'loss'>> {
    const settings = settingsFor(OWNER, this.#model, (group) => widths.get(group)!);
    // `finalize` has read all of the model before it gives its promise.
    const model = await atOtherWidth(
      this.#model,
      () => applySettings(settings),
      () => finalize(this.#model),
    );
    const made = this.#groups.flatMap(({ layers }) => layers);
    const own = settings.filter(({ layer }) => made.includes(layer));
    return {
      model,
      widths: Object.fromEntries(own.map(({ layer, width }) => [layer.name, width])),
      channels: Object.fromEntries(own.map(({ layer, active }) => [layer.name, active.outputs])),
      macs: summarize(model).total.macs,
    };
  }

  /** A candidate with its loss. */
  async measured(widths: WidthsOf): Promise<SlimmedModel> {
    const { data, validationData, loss, limit, batchSize = 100, signal } = this.#options;
    const pass = { batchSize, progress: false, ...(signal && { signal }) } as const;
    const candidate = await this.candidate(widths);
    try {
      if (this.#normalized) await recalibrateBatchNorm(candidate.model, data, { limit, ...pass });
      const result = await evaluate(candidate.model, validationData, { ...pass, loss: loss! });
      return { ...candidate, loss: result.loss! };
    } catch (error) {
      candidate.model.dispose();
      throw error;
    }
  }

  /** Narrows the group that can best spare a part. */
  async step(
    widths: WidthsOf,
    present: SlimmedModel,
  ): Promise<{ widths: WidthsOf; slimmed: SlimmedModel }> {
    let best: { widths: WidthsOf; slimmed: SlimmedModel; harm: number } | undefined;
    for (const group of this.#groups) {
      const below = this.#below(group, widths.get(group)!);
      if (below === undefined) continue;
      const changed = new Map(widths).set(group, below);
      const slimmed = await this.measured(changed);
      const harm = (slimmed.loss - present.loss) / (present.macs - slimmed.macs);
      if (Number.isFinite(harm) && (!best || harm < best.harm)) {
        best?.slimmed.model.dispose();
        best = { widths: changed, slimmed, harm };
      } else slimmed.model.dispose();
    }
    if (best) return best;
    throw new NonFiniteError(`${OWNER}: every candidate has a loss that is NaN or infinite.`);
  }
}
