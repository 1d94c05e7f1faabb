// Batch normalisation for networks that are narrowed.
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { ShapeError, UnsupportedError } from '@thimble/base';
import {
  type Active,
  type Cuts,
  head,
  type Inside,
  only,
  Slim,
  type SlimConfig,
  withoutSlim,
} from './slimmable.ts';
import type { SlimmableOptions } from './slimmable-layers.ts';
import { channelsAt, isList } from './slimmable-widths.ts';

/** Arguments of {@link slimmableBatchNormalization}: those of `tf.layers.batchNormalization`, and `widths`. */
export type SlimmableBatchNormalizationArgs = NonNullable<
  Parameters<typeof tfl.layers.batchNormalization>[0]
> &
  SlimmableOptions;

/**
 * Batch normalisation with statistics for each width: a network that shares them fails, because the mean and
 * the variance of a channel depend on how many channels it is made of.
 *
 * - `widths` a list: scale, shift, moving mean and variance are private to each width (switchable batch
 *   normalisation, section 3.3 of the first paper)
 * - `widths` a range: scale and shift are shared, the first channels taken; the statistics are those of width
 *   1, and of whatever widths `calibrateWidths` is called for after training (the second paper, section 3.3).
 *   In training every width normalises with its own batch. Prediction at a width without statistics throws
 *
 * Stands behind a slimmable layer, on the last axis, before any flatten. `setWidth` sets the width.
 *
 * Papers: Yu, Yang, Xu, Yang, Huang, "Slimmable Neural Networks", 2018; Yu, Huang, "Universally Slimmable
 * Networks and Improved Training Techniques", 2019.
 *
 * @throws {OptionError} for widths outside (0, 1], or without 1; {UnsupportedError} for another axis.
 * @example
 * const layer = slimmableBatchNormalization({ widths: [0.25, 0.5, 0.75, 1], momentum: 0.9 });
 */
export function slimmableBatchNormalization(
  args: SlimmableBatchNormalizationArgs,
): tfl.layers.Layer {
  return new ThimbleSlimmableBatchNormalization(args);
}

type Kwargs = { [key: string]: unknown };
type Config = tf.serialization.ConfigDict;
type Variable = tfl.LayerVariable;

interface Normalization extends Inside {
  axis: number;
  gamma?: Variable;
  beta?: Variable;
  movingMean: Variable;
  movingVariance: Variable;
}

/** What belongs to one width. */
type Private = Pick<Normalization, 'gamma' | 'beta' | 'movingMean' | 'movingVariance'>;

const BatchNormalization = tfl.layers.batchNormalization({ name: 'sample' }).constructor as new (
  args: object,
) => Normalization;

/** The layer, for `calibrateWidths`. */
export class ThimbleSlimmableBatchNormalization extends BatchNormalization {
  static className = 'ThimbleSlimmableBatchNormalization';
  readonly slim: Slim;
  /** Of a range: widths below 1 with statistics of their own, and their channels. */
  readonly calibrated: { width: number; channels: number }[];
  #channels = 0;
  /** Ends the names of the weights that are being made. */
  #suffix = '';
  readonly #privates = new Map<number, Private>();

  constructor(args: SlimmableBatchNormalizationArgs & SlimConfig) {
    super(args);
    if (this.axis !== -1) {
      throw new UnsupportedError(
        `Layer "${this.name}": slimmable batch normalisation takes the last axis (-1), not ${this.axis}.`,
      );
    }
    this.slim = new Slim(this, args);
    const { calibrated = [] } = args as { calibrated?: { width: number; channels: number }[] };
    this.calibrated = calibrated.map((each) => ({ ...each }));
  }

  static plainForm(config: Config): { className: string; config: Config } {
    const { calibrated, ...plain } = withoutSlim(config);
    return { className: 'BatchNormalization', config: plain };
  }

  override build(inputShape: tfl.Shape): void {
    const { widths } = this.slim;
    const channels = inputShape.at(-1);
    if (typeof channels === 'number') this.#channels = channels;
    super.build(inputShape); // of width 1; it throws where the channels are not known
    this.#privates.set(1, this.#private());
    if (isList(widths)) {
      for (const width of widths.slice(0, -1)) {
        const narrow = [...inputShape.slice(0, -1), channelsAt(this.#channels, width)];
        this.#suffix = `_${width}`;
        super.build(narrow);
        this.#privates.set(width, this.#private());
      }
    } else {
      for (const each of this.calibrated) this.#addStatistics(each.width, each.channels, '');
    }
    this.#suffix = '';
    this.inputSpec = [{ ndim: inputShape.length }];
    Object.assign(this, this.#privates.get(1));
    const { width, active } = this.slim;
    if (active) this.activate(width, active);
  }

  #private(): Private {
    const { gamma, beta, movingMean, movingVariance } = this;
    return { ...(gamma && { gamma }), ...(beta && { beta }), movingMean, movingVariance };
  }

  protected override addWeight(name: string, ...rest: unknown[]): Variable {
    return super.addWeight(name + this.#suffix, ...(rest as [shape: tfl.Shape]));
  }

  /** True where predictions at a width have statistics to go by. */
  hasStatistics(width: number, { outputs }: Active): boolean {
    return this.#privates.get(width)?.movingMean.shape[0] === outputs;
  }

  /** Throws for what {@link activate} cannot do. */
  checkActive(width: number, active: Active): void {
    const { widths } = this.slim;
    if (active.positions > 1) {
      throw new UnsupportedError(
        `Layer "${this.name}" gets a flattened map of features: put slimmable batch normalisation before ` +
          'the flatten layer.',
      );
    }
    if (isList(widths) && !this.hasStatistics(width, active)) {
      throw new ShapeError(
        `Layer "${this.name}" has ${channelsAt(this.#channels, width)} channels at width ${width}, but gets ` +
          `${active.outputs}: choose channels that all widths divide.`,
      );
    }
    const known = this.#privates.get(isList(widths) ? this.slim.width : 1);
    if (isList(widths) && (known?.gamma !== this.gamma || known?.beta !== this.beta)) {
      throw new UnsupportedError(
        `Layer "${this.name}": scale and shift are private to each width, and cannot be switched while ` +
          'transforms are on them. Give a range of widths, for which they are shared.',
      );
    }
  }

  /** Makes a width the present one. */
  activate(width: number, active: Active): void {
    const { slim } = this;
    slim.set(width, active);
    const own = this.#privates.get(width);
    if (isList(slim.widths)) Object.assign(this, own);
    else if (own && this.hasStatistics(width, active)) {
      this.movingMean = own.movingMean;
      this.movingVariance = own.movingVariance;
    } else {
      this.movingMean = this.movingVariance = noStatistics(active.outputs);
    }
  }

  /** Makes room for the statistics of the present width, if there is none. */
  addStatistics(): void {
    const { width, active } = this.slim;
    if (isList(this.slim.widths) || !active || this.hasStatistics(width, active)) return;
    const [, scope] = /^(.*\/)?[^/]*$/.exec(this.#privates.get(1)!.movingMean.originalName)!;
    this.#addStatistics(width, active.outputs, scope ?? '');
    this.calibrated.push({ width, channels: active.outputs });
    this.activate(width, active);
  }

  #addStatistics(width: number, channels: number, scope: string): void {
    // Layers of loaded models start all weights from 0.
    const owner = this as unknown as { fastWeightInitDuringBuild: boolean };
    const { fastWeightInitDuringBuild } = owner;
    owner.fastWeightInitDuringBuild = false;
    const make = (name: string, fill: number) =>
      this.addWeight(
        scope + name,
        [channels],
        'float32',
        { apply: () => tf.fill([channels], fill) },
        null,
        false,
      );
    this.#suffix = `_${width}`;
    this.#privates.set(width, {
      movingMean: make('moving_mean', 0),
      movingVariance: make('moving_variance', 1),
    });
    this.#suffix = '';
    owner.fastWeightInitDuringBuild = fastWeightInitDuringBuild;
  }

  override call(inputs: tf.Tensor | tf.Tensor[], kwargs: Kwargs): tf.Tensor | tf.Tensor[] {
    const { slim } = this;
    const { width, active } = slim;
    const training = kwargs.training === true;
    slim.check(only(inputs), this.#channels);
    if (!training && active && !this.hasStatistics(width, active)) {
      throw new UnsupportedError(
        `Layer "${this.name}" has no statistics for width ${width}: call calibrateWidths(model, data, ` +
          `{ widths: [${width}] }) after training.`,
      );
    }
    return slim.narrowed(this.cuts, training, () => super.call(inputs, kwargs));
  }

  /** Private weights are as wide as they should be. */
  get cuts(): Cuts {
    const { active, widths } = this.slim;
    if (!active || isList(widths)) return {};
    return { gamma: head(active.outputs), beta: head(active.outputs) };
  }

  plainWeights(): Record<string, tf.Tensor> {
    const { cuts } = this;
    const { width, active } = this.slim;
    const whole = this.#privates.get(1)!;
    const own = active && !this.hasStatistics(width, active) ? whole : (this as Private);
    const cut = head(active?.outputs ?? this.#channels);
    const parts: Record<string, tf.Tensor> = {
      // Where there are no statistics, those of width 1: they are to be recalibrated.
      moving_mean: cut(own.movingMean.read()),
      moving_variance: cut(own.movingVariance.read()),
    };
    for (const role of ['gamma', 'beta'] as const) {
      const value = this[role]?.read();
      if (value) parts[role] = cuts[role]?.(value) ?? value;
    }
    return parts;
  }

  override getConfig(): Config {
    const { slim, calibrated } = this;
    return {
      ...super.getConfig(),
      ...slim.config,
      calibrated: calibrated.map((each) => ({ ...each })),
    };
  }

  override dispose(): ReturnType<tfl.layers.Layer['dispose']> {
    this.slim.forget();
    return super.dispose();
  }
}

tf.serialization.registerClass(ThimbleSlimmableBatchNormalization as never);

/** Stands for the statistics of a width that has none: training writes them in vain. */
function noStatistics(channels: number): Variable {
  const weight = { read: () => tf.zeros([channels]), write: () => {} };
  return weight as unknown as Variable;
}
