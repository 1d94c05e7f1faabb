// Staged unfreezing: the head first, then the layers below it, from top to bottom.
import type * as tf from '@tensorflow/tfjs-core';
import type { LayersModel, layers } from '@tensorflow/tfjs-layers';
import { checkInteger, checkOptions, OptionError, UnsupportedError } from '@thimble/base';
import {
  type LayerTargets,
  matchLayers,
  stackedCells,
  ThimbleCallback,
  walkLayers,
} from '@thimble/core';

const OWNER = 'stagedUnfreezing';

type Layer = layers.Layer;

/** Options of {@link stagedUnfreezing}. */
export interface StagedUnfreezingOptions {
  /** Epochs of each stage, at least 1; default 1. */
  every?: number;
  /**
   * Which layers each stage unfreezes, the first stage first: names and patterns. Layers that no stage names stay
   * frozen. Default: one layer with weights at each stage, from the last to the first.
   */
  stages?: readonly LayerTargets[];
}

/** The callback that {@link stagedUnfreezing} makes. */
export class StagedUnfreezing extends ThimbleCallback {
  readonly #every: number;
  readonly #stages: readonly LayerTargets[] | undefined;
  #groups: Layer[][] = [];
  #before = new Map<Layer, boolean>();

  constructor(options: StagedUnfreezingOptions = {}) {
    super();
    checkOptions(OWNER, options, ['every', 'stages']);
    const { every = 1, stages } = options;
    checkInteger(OWNER, 'every', every, 1);
    if (stages?.length === 0) {
      throw new OptionError(`${OWNER}: stages is empty. Leave it out for one layer at each stage.`);
    }
    this.#every = every;
    this.#stages = stages;
  }

  override setModel(model: LayersModel): void {
    super.setModel(model);
    if (!this.insideFit) {
      throw new UnsupportedError(
        `${OWNER}: tfjs's own fit chooses the weights to train once, when the model is compiled. Use Thimble's fit.`,
      );
    }
    const all = walkLayers(model).filter((layer) => !('layers' in layer));
    const weighted = all.filter((layer) => layer.weights.length > 0);
    const cells = all.flatMap((layer) => stackedCells(layer) ?? []);
    const groups = this.#stages
      ? this.#stages.map((targets) => matchLayers(OWNER, weighted, targets, 'Layers with weights'))
      : weighted.filter((layer) => !cells.includes(layer)).map((layer) => [layer]);
    if (!this.#stages) groups.reverse();
    // A wrapper or recurrent layer that is free is so with all inside it.
    this.#groups = groups.map((group) => group.flatMap(walkLayers));
    this.#before = new Map(walkLayers(model).map((layer) => [layer, layer.trainable]));
    this.#freezeTo(0);
  }

  override async onEpochBegin(epoch: number): Promise<void> {
    this.#freezeTo(epoch);
  }

  /** Batch normalisation in frozen layers keeps its statistics: tfjs would go on moving them. */
  override forward(run: () => tf.Tensor[]): tf.Tensor[] {
    const still = [...this.#before.keys()].filter(
      (layer) => !layer.trainable && layer.getConfig().movingMeanInitializer !== undefined,
    );
    const calls = still.map((layer) => layer.call);
    still.forEach((layer, i) => {
      layer.call = (inputs, kwargs) =>
        calls[i]!.call(layer, inputs, { ...kwargs, training: false });
    });
    try {
      return run();
    } finally {
      still.forEach((layer, i) => {
        layer.call = calls[i]!;
      });
    }
  }

  /** Every layer is as trainable as it was before. */
  override leave(): void {
    for (const [layer, trainable] of this.#before) layer.trainable = trainable;
    this.#before = new Map();
  }

  #freezeTo(epoch: number): void {
    const free = new Set(this.#groups.slice(0, Math.floor(epoch / this.#every) + 1).flat());
    for (const layer of this.#before.keys()) {
      // Models, wrappers and recurrent layers pass it on to all inside them, so they stay open for those that are free.
      const passes = 'layers' in layer || 'layer' in layer || 'forwardLayer' in layer;
      const open = passes || stackedCells(layer) !== undefined;
      layer.trainable = open || free.has(layer);
    }
  }
}

/**
 * A callback for `fit` that trains a network's last layer first and unfreezes more below it, a stage every so many
 * epochs. Frozen layers work in inference mode where that differs in what they keep: the statistics of a frozen batch
 * normalisation do not move. When training is over, however it ends, every layer is as trainable as it was before.
 *
 * The optimizer's moments of a layer begin when it is unfrozen. A resumed run goes on in the same stage.
 *
 * Paper: Howard and Ruder, "Universal Language Model Fine-tuning for Text Classification", 2018, section 3.3.
 *
 * @throws {NoMatchError} for a target that matches no layer with weights; {UnsupportedError} in tfjs's own fit.
 * @example
 * await fit(model, train, { epochs: 3, callbacks: [stagedUnfreezing({ every: 1 })] });
 */
export function stagedUnfreezing(options: StagedUnfreezingOptions = {}): StagedUnfreezing {
  return new StagedUnfreezing(options);
}
