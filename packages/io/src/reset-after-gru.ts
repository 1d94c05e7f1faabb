// The GRU that Keras makes by default, which TensorFlow.js does not have.
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { checkInteger } from '@thimble/base';

/** Arguments of the layer: those of `tf.layers.gru`. */
export type ResetAfterGruArgs = Omit<tfl.GRULayerArgs, 'resetAfter' | 'implementation'>;

type Activation = (x: tf.Tensor) => tf.Tensor;
type Config = tf.serialization.ConfigDict;

/** The activation of a name, taken from a layer: TensorFlow.js does not export it. */
function activationOf(name: unknown, fallback: string): { name: string; apply: Activation } {
  const known = (name ?? fallback) as string;
  const layer = tfl.layers.activation({ activation: known as 'relu' });
  return { name: known, apply: (x) => layer.apply(x) as tf.Tensor };
}

class ResetAfterGruCell extends tfl.layers.Layer {
  static className: string = 'ThimbleResetAfterGruCell';
  readonly stateSize: number;
  readonly units: number;
  readonly #activation: { name: string; apply: Activation };
  readonly #gate: { name: string; apply: Activation };
  readonly #useBias: boolean;
  kernel?: tfl.LayerVariable;
  recurrentKernel?: tfl.LayerVariable;
  bias?: tfl.LayerVariable;

  constructor(args: ResetAfterGruArgs) {
    super({ trainable: args.trainable ?? true });
    checkInteger('resetAfterGru', 'units', args.units, 1);
    this.units = args.units;
    this.stateSize = args.units;
    this.#activation = activationOf(args.activation, 'tanh');
    this.#gate = activationOf(args.recurrentActivation, 'sigmoid');
    this.#useBias = args.useBias ?? true;
  }

  override build(inputShape: tfl.Shape | tfl.Shape[]): void {
    const shape = (Array.isArray(inputShape[0]) ? inputShape[0] : inputShape) as number[];
    const width = 3 * this.units;
    const glorot = tfl.initializers.glorotUniform({});
    this.kernel = this.addWeight('kernel', [shape.at(-1)!, width], 'float32', glorot);
    this.recurrentKernel = this.addWeight(
      'recurrent_kernel',
      [this.units, width],
      'float32',
      glorot,
    );
    if (this.#useBias) {
      this.bias = this.addWeight('bias', [2, width], 'float32', tfl.initializers.zeros());
    }
    this.built = true;
  }

  override call(inputs: tf.Tensor | tf.Tensor[]): tf.Tensor[] {
    const [x, h] = inputs as [tf.Tensor2D, tf.Tensor2D];
    let fromInput: tf.Tensor = tf.matMul(x, this.kernel!.read() as tf.Tensor2D);
    let fromState: tf.Tensor = tf.matMul(h, this.recurrentKernel!.read() as tf.Tensor2D);
    if (this.bias) {
      const [input, state] = tf.split(this.bias.read(), 2, 0);
      fromInput = tf.add(fromInput, input!);
      fromState = tf.add(fromState, state!);
    }
    const [xz, xr, xh] = tf.split(fromInput, 3, 1) as [tf.Tensor, tf.Tensor, tf.Tensor];
    const [hz, hr, hh] = tf.split(fromState, 3, 1) as [tf.Tensor, tf.Tensor, tf.Tensor];
    const z = this.#gate.apply(tf.add(xz, hz));
    const r = this.#gate.apply(tf.add(xr, hr));
    const candidate = this.#activation.apply(tf.add(xh, tf.mul(r, hh)));
    const next = tf.add(tf.mul(z, h), tf.mul(tf.sub(1, z), candidate));
    return [next, next];
  }

  override getConfig(): Config {
    return {
      ...super.getConfig(),
      units: this.units,
      activation: this.#activation.name,
      recurrentActivation: this.#gate.name,
      useBias: this.#useBias,
    };
  }
}

class ResetAfterGru extends tfl.RNN {
  static override className: string = 'ThimbleResetAfterGru';

  constructor(args: ResetAfterGruArgs) {
    super({ ...args, cell: new ResetAfterGruCell(args) } as unknown as tfl.RNNLayerArgs);
  }

  static override fromConfig<T extends tf.serialization.Serializable>(
    layerClass: tf.serialization.SerializableConstructor<T>,
    config: Config,
  ): T {
    return new layerClass(config);
  }
}
tf.serialization.registerClass(ResetAfterGruCell);
tf.serialization.registerClass(ResetAfterGru);

/**
 * A GRU whose reset gate acts after the product with the recurrent kernel, as Keras's GRU does unless it is told
 * otherwise (`reset_after: true`, the form of cuDNN); that of TensorFlow.js resets the state before it.
 *
 * `z, r = gate(x W + b_0 + h U + b_1)` by their parts, `h' = act(x W_h + b_0h + r (h U_h + b_1h))`,
 * `h <- z h + (1 - z) h'`
 *
 * The bias has shape [2, 3 units]: b_0 for the input, b_1 for the state; gates lie in the order z, r, h.
 * Arguments are those of `tf.layers.gru` without dropout, regularisers and constraints;
 * `recurrentActivation` is 'sigmoid' by default, as in Keras.
 *
 * Paper: Cho et al., "Learning Phrase Representations using RNN Encoder-Decoder", 2014 (first version).
 *
 * @throws {OptionError} unless `units` is a whole number from 1 on.
 * @example
 * const layer = resetAfterGru({ units: 16, returnSequences: true, inputShape: [10, 4] });
 */
export function resetAfterGru(args: ResetAfterGruArgs): tfl.layers.Layer {
  return new ResetAfterGru(args);
}
