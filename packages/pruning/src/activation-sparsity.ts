// Activation sparsity: a price on the size of what layers give.
import * as tf from '@tensorflow/tfjs-core';
import type { LayersModel, layers } from '@tensorflow/tfjs-layers';
import { checkOptions, checkRange, NoMatchError, UnsupportedError } from '@thimble/base';
import {
  type LayerTargets,
  matchLayers,
  type StepContext,
  ThimbleCallback,
  walkLayers,
  withLayerOutputs,
} from '@thimble/core';
import { l1Norm } from './l1.ts';

/** Options of {@link activationSparsity}. */
export interface ActivationSparsityOptions {
  /** Weight of the penalty in the loss, at least 0. */
  strength: number;
  /** Whose outputs; default all layers that end in a ReLU. */
  layers?: LayerTargets;
}

/** The callback that {@link activationSparsity} makes. */
export class ActivationSparsity extends ThimbleCallback {
  readonly #strength: number;
  readonly #targets: LayerTargets | undefined;
  #layers: layers.Layer[] = [];
  #means: tf.Scalar[] = [];
  #charged = false;

  constructor(options: ActivationSparsityOptions) {
    super();
    checkOptions('activationSparsity', options, ['strength', 'layers']);
    checkRange('activationSparsity', 'strength', options.strength, 0);
    this.#strength = options.strength;
    this.#targets = options.layers;
  }

  override setModel(model: LayersModel): void {
    super.setModel(model);
    if (!this.insideFit) {
      throw new UnsupportedError(
        "activationSparsity: tfjs's own fit has no place for a callback in the loss. Use Thimble's fit.",
      );
    }
    this.#layers = findLayers(model, this.#targets);
  }

  /** Takes the mean size of each layer's output on the way. */
  override forward(run: () => tf.Tensor[]): tf.Tensor[] {
    // Kept: the model's own tidy ends before the loss is put together.
    const note = (_layer: layers.Layer, output: tf.Tensor) => {
      this.#means.push(tf.keep(tf.div(l1Norm(output), output.size)));
      return undefined;
    };
    try {
      return withLayerOutputs(this.#layers, note, run);
    } catch (error) {
      this.#release();
      throw error;
    }
  }

  override loss(loss: tf.Scalar): tf.Scalar {
    const sum = this.#means.reduce((total, mean) => tf.add(total, mean), tf.scalar(0));
    this.#charged = this.#means.length > 0;
    this.#release();
    return tf.add(loss, tf.mul(this.#strength, sum));
  }

  /** A step of one's own that leaves out the hooks above would train without the penalty. */
  override gradients(gradients: tf.Tensor[], _context: StepContext): tf.Tensor[] {
    if (!this.#charged) {
      throw new UnsupportedError(
        'activationSparsity: the step given to fit does not call the hooks forward and loss. Build it ' +
          'on supervisedStep, or leave it out.',
      );
    }
    this.#charged = false;
    return gradients;
  }

  #release(): void {
    tf.dispose(this.#means);
    this.#means = [];
  }
}

/**
 * A callback that makes outputs of layers small, so that behind a ReLU more of them are zero and whoever
 * skips zeros has less to do:
 *
 * `loss + strength * sum over the layers of mean |output|`
 *
 * with the mean over the examples of the batch and all positions and units. Every use of a shared layer
 * counts. Backward: the gradient of each output grows by `strength * sign(output) / size`, with
 * sign(0) = 0. The loss in the logs contains the penalty. Works in Thimble's `fit` alone.
 *
 * Paper: Georgiadis, "Accelerating Convolutional Neural Networks via Activation Map Compression", 2019,
 * which sums over the units where this takes the mean.
 *
 * @throws {NoMatchError} when training begins, for a rule that matches no layer, or a model without ReLU.
 * @throws {UnsupportedError} in tfjs's own fit, and with a step that does not call the hooks.
 * @example
 * await fit(model, train, { epochs: 2, callbacks: [activationSparsity({ strength: 0.01 })] });
 */
export function activationSparsity(options: ActivationSparsityOptions): ActivationSparsity {
  return new ActivationSparsity(options);
}

function findLayers(model: LayersModel, targets: LayerTargets | undefined): layers.Layer[] {
  const all = walkLayers(model).filter(
    (layer) => !('layers' in layer) && classNameOf(layer) !== 'InputLayer',
  );
  if (targets !== undefined) return matchLayers('activationSparsity', all, targets, 'Layers');
  const found = all.filter(endsInRelu);
  if (found.length === 0) {
    throw new NoMatchError(
      `activationSparsity: no layer of model "${model.name}" ends in a ReLU. Name others in the option ` +
        `layers: ${all.map(({ name }) => name).join(', ')}.`,
    );
  }
  return found;
}

/** Not getClassName(), which says something else once the layer has been parametrized. */
function classNameOf(layer: layers.Layer): string {
  return (layer.constructor as unknown as { className: string }).className;
}

function endsInRelu(layer: layers.Layer): boolean {
  const { activation } = layer as { activation?: { getClassName?(): string } | null };
  return classNameOf(layer) === 'ReLU' || /^relu6?$/.test(activation?.getClassName?.() ?? '');
}
