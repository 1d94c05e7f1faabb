// Features: what layers inside teacher and student give for the same batch, and the callback that makes the
// student's like the teacher's. Each technique is a loss of two tensors; the rest is here, once.
import * as tf from '@tensorflow/tfjs-core';
import {
  type LayersModel,
  LayerVariable,
  type layers,
  type SymbolicTensor,
} from '@tensorflow/tfjs-layers';
import { checkOptions, OptionError, ShapeError, UnsupportedError } from '@thimble/base';
import {
  detached,
  matchLayers,
  type StateValue,
  type StepContext,
  ThimbleCallback,
  walkLayers,
  withLayerOutputs,
} from '@thimble/core';
import { checkScheduled, type Scheduled, valueAt } from './scheduled.ts';
import { checkInputs } from './teacher.ts';

type Layer = layers.Layer;

/** Options of all callbacks that compare layers of student and teacher. */
export interface FeatureOptions {
  /** A trained model with the student's inputs. It is not changed. */
  teacher: LayersModel;
  /** Pairs of layer names, `[of the student, of the teacher]`; layers inside nested models too. */
  pairs: readonly (readonly [student: string, teacher: string])[];
  /**
   * Weight of the term: a number, one of `schedules`, or 'learned': then the term L counts as
   * `exp(-s) L + s` with a number s that is trained along from 0, which makes the weight tend to 1 / L
   * (Kendall, Gal, Cipolla, "Multi-Task Learning Using Uncertainty to Weigh Losses", 2018).
   */
  weight?: Scheduled | 'learned';
  /** Weight of the loss so far: the labels', with what callbacks before this one made of it. Default 1. */
  taskWeight?: Scheduled;
}

export const FEATURE_OPTIONS: readonly (keyof FeatureOptions)[] = [
  'teacher',
  'pairs',
  'weight',
  'taskWeight',
];

/** A technique: its name, what of the teacher it wants, and its loss. */
export interface FeatureTechnique {
  owner: string;
  weight: number;
  /** Throws unless the shapes of single examples fit; the message names the remedy. */
  checkShapes?(student: Shape, teacher: Shape, names: string): void;
  loss(student: tf.Tensor, teacher: tf.Tensor): tf.Scalar;
}

/** Shape of one example's features. */
export type Shape = readonly (number | null)[];

/** Adds the losses of pairs of layers to the loss of training; see {@link attentionTransfer} and others. */
export class FeatureCallback extends ThimbleCallback {
  protected readonly technique: FeatureTechnique;
  protected readonly options: FeatureOptions;
  #student: Layer[] = [];
  #teacher: Layer[] = [];
  #features: { student: tf.Tensor; teacher: tf.Tensor }[] = [];
  #own: LayerVariable[] = [];
  #logWeight: LayerVariable | undefined;
  #charged = false;

  constructor(
    technique: FeatureTechnique,
    options: FeatureOptions,
    known: readonly string[] = FEATURE_OPTIONS,
  ) {
    super();
    const { owner } = technique;
    checkOptions(owner, options, known);
    if (!Array.isArray(options.pairs) || options.pairs.length === 0) {
      throw new OptionError(
        `${owner}: pairs must list layers as [name in the student, name in the teacher], at least once.`,
      );
    }
    const { weight = technique.weight, taskWeight = 1 } = options;
    if (weight !== 'learned') checkScheduled(owner, 'weight', weight);
    checkScheduled(owner, 'taskWeight', taskWeight);
    this.technique = technique;
    this.options = { ...options, weight, taskWeight };
  }

  override setModel(model: LayersModel): void {
    super.setModel(model);
    const { owner, checkShapes } = this.technique;
    const { teacher, pairs, weight } = this.options;
    if (!this.insideFit) {
      throw new UnsupportedError(
        `${owner}: tfjs's own fit has no place for a callback in the loss. Use Thimble's fit.`,
      );
    }
    checkInputs([teacher], model);
    this.#student = pairs.map(([name]) => layerOf(owner, model, name));
    this.#teacher = pairs.map(([, name]) => layerOf(owner, teacher, name));
    this.#student.forEach((layer, i) => {
      const other = this.#teacher[i]!;
      const names = `the student's "${layer.name}" [${shapeOf(layer)}], the teacher's "${other.name}" [${shapeOf(other)}]`;
      checkShapes?.(shapeOf(layer), shapeOf(other), names);
    });
    this.leave();
    this.#own = this.ownWeights(this.#student.map(shapeOf), this.#teacher.map(shapeOf));
    if (weight === 'learned') {
      const zero = tf.scalar(0);
      this.#logWeight = new LayerVariable(zero, 'float32', 'logWeight');
      zero.dispose();
      this.#own.push(this.#logWeight);
    }
  }

  /** Weights that the technique trains along. */
  protected ownWeights(_student: Shape[], _teacher: Shape[]): LayerVariable[] {
    return [];
  }

  /** The loss of one pair. */
  protected lossOf(student: tf.Tensor, teacher: tf.Tensor, _pair: number): tf.Scalar {
    return this.technique.loss(student, teacher);
  }

  override weights(): LayerVariable[] {
    return this.#own;
  }

  /** Takes the features of both on the way. */
  override forward(run: () => tf.Tensor[], { batch }: StepContext): tf.Tensor[] {
    const { teacher } = this.options;
    const targets = detached(() =>
      watched(this.#teacher, () => {
        teacher.apply(batch.xs, { training: false });
      }),
    );
    let outputs: tf.Tensor[] = [];
    const ours = watched(this.#student, () => {
      outputs = run();
    });
    this.#features = targets.map((target, i) => ({ student: ours[i]!, teacher: target }));
    return outputs;
  }

  override loss(loss: tf.Scalar, _outputs: tf.Tensor[], context: StepContext): tf.Scalar {
    const { weight, taskWeight } = this.options;
    const features = this.#features;
    this.#features = [];
    if (features.length === 0) return loss;
    const terms = features.map(({ student, teacher }, i) => this.lossOf(student, teacher, i));
    const term = tf.addN(terms) as tf.Scalar;
    const task = tf.mul(loss, this.#at('taskWeight', taskWeight as Scheduled, context));
    this.#charged = true;
    if (!this.#logWeight) {
      return tf.add(task, tf.mul(term, this.#at('weight', weight as Scheduled, context)));
    }
    const s = this.#logWeight.read();
    return tf.add(task, tf.add(tf.mul(tf.exp(tf.neg(s)), term), s));
  }

  /** A step of one's own that leaves out the hooks above would train without the term. */
  override gradients(gradients: tf.Tensor[]): tf.Tensor[] {
    const { owner } = this.technique;
    if (!this.#charged) {
      throw new UnsupportedError(
        `${owner}: the step given to fit does not call the hooks forward and loss. Build it on ` +
          'supervisedStep, or leave it out.',
      );
    }
    this.#charged = false;
    return gradients;
  }

  override async state(): Promise<StateValue> {
    return Promise.all(
      this.#own.map(async (weight) => Float32Array.from(await weight.read().data())),
    );
  }

  override restore(state: StateValue): void {
    this.#own.forEach((weight, i) => {
      const values = (state as Float32Array[])[i]!;
      const tensor = tf.tensor(values, weight.shape as number[]);
      weight.write(tensor);
      tensor.dispose();
    });
  }

  override leave(): void {
    for (const weight of this.#own) weight.dispose();
    this.#own = [];
    this.#logWeight = undefined;
    this.#features = [];
  }

  #at(name: string, value: Scheduled, context: StepContext): number {
    const now = valueAt(value, context, this.params);
    checkScheduled(this.technique.owner, name, now);
    return now;
  }
}

/** What the layers give while `body` runs, each at its first call. */
function watched(layers: readonly Layer[], body: () => void): tf.Tensor[] {
  const seen = new Map<Layer, tf.Tensor>();
  // Kept: a model's own tidy ends before the others are there.
  const note = (layer: Layer, output: tf.Tensor): undefined => {
    if (!seen.has(layer)) seen.set(layer, tf.keep(tf.clone(output)));
  };
  const distinct = [...new Set(layers)];
  try {
    withLayerOutputs(distinct, note, body);
    return layers.map((layer) => tf.clone(seen.get(layer)!));
  } finally {
    tf.dispose([...seen.values()]);
  }
}

function layerOf(owner: string, model: LayersModel, name: string): Layer {
  const candidates = walkLayers(model).filter(({ inboundNodes }) => inboundNodes.length > 0);
  return matchLayers(owner, candidates, name, `Layers of "${model.name}"`)[0]!;
}

function shapeOf(layer: Layer): Shape {
  const [, ...shape] = (layer.getOutputAt(0) as SymbolicTensor).shape;
  return shape;
}

/** Refuses features that are not `[height, width, channels]` of the same height and width. */
export function checkMaps(owner: string, student: Shape, teacher: Shape, names: string): void {
  const maps = student.length === 3 && teacher.length === 3;
  if (maps && student[0] === teacher[0] && student[1] === teacher[1]) return;
  throw new ShapeError(
    `${owner}: ${names}. Both must be [height, width, channels] of the same height and width: choose ` +
      'layers after as many poolings or strides.',
  );
}
