// The call of a layer whose activations are quantised.
import * as tf from '@tensorflow/tfjs-core';
import type { layers } from '@tensorflow/tfjs-layers';
import { checkOptions, OptionError } from '@thimble/base';
import {
  type CallTransform,
  callLinks,
  decorateCall,
  registerCallTransform,
  walkLayers,
} from '@thimble/core';
import {
  type ActivationQuantizer,
  activationQuantizerFromConfig,
  Numbers,
  QUANTIZE,
} from './activation.ts';
import { type Coded, valuesOf } from './codes.ts';
import { hasFusedNorm } from './fuse-batch-norm.ts';
import { runOnCodes } from './on-codes.ts';
import { checkModel } from './targets.ts';

/** Which activations of a layer to quantise. */
export interface QuantizedActivations {
  /** What the layer gets; where it gets several tensors, each has a range of its own. */
  input?: ActivationQuantizer;
  /** What the layer gives, after its activation function; of several outputs the first. */
  output?: ActivationQuantizer;
}

/** The state of quantised activations at one layer. */
export interface QuantizedCallState {
  layer: layers.Layer;
  /** The stage: one number. */
  stage: Numbers;
  inputs: unknown[];
  output: unknown;
}

const CLASS_NAME = 'ThimbleQuantizedCall';

/**
 * Quantises the activations of a layer: what it gets, what it gives, or both. The state (ranges, steps,
 * stage) is part of the layer's weights. Weights that are quantised too, by `fakeQuant` or a learned step as
 * the last link of the kernel's chain, are multiplied with the activations code by code, as integers do it:
 *
 * - `acc = sum (q_x - z_x) (q_w - z_w) + b_q`, `b_q = round(b / (s_x s_w))`, exact in float32 as long as no
 *   sum exceeds 2^24 in magnitude
 * - `y = f((s_x s_w) acc)` with the layer's activation function f
 *
 * which is `f(x' w' + b')` but for rounding, with the same gradient; the bias has the step `s_x s_w`. So it
 * is for dense, conv1d, conv2d, conv2dTranspose and depthwiseConv2d layers with one step, or one per
 * output channel; average pooling adds up codes likewise. All others compute with the rounded values.
 *
 * @throws {OptionError} when the layer's activations are quantised already, or neither end was given.
 * @example
 * const layer = quantizeActivations(tfl.layers.add(), { input: fakeQuantActivations({ bits: 8 }) });
 */
export function quantizeActivations<L extends layers.Layer>(
  layer: L,
  activations: QuantizedActivations,
): L {
  checkModel('quantizeActivations', layer);
  checkQuantizers('quantizeActivations', activations);
  if (hasQuantizedActivations(layer)) {
    throw new OptionError(
      `quantizeActivations: the activations of layer "${layer.name}" are quantised already; quantise a layer once.`,
    );
  }
  checkOutput('quantizeActivations', layer, activations);
  decorateCall(layer, [quantizedCall(activations)]);
  marked.add(layer);
  return layer;
}

/** Throws where what a layer gives is to be rounded, and batch normalisation comes after that. */
export function checkOutput(
  owner: string,
  layer: layers.Layer,
  { output }: QuantizedActivations,
): void {
  if (!output || !hasFusedNorm(layer)) return;
  throw new OptionError(
    `${owner}: layer "${layer.name}" has fused batch normalisation after what would be its rounded output. Quantise ` +
      'the input of the next layer instead.',
  );
}

/** Throws for what does not say how to quantise one end or both. */
export function checkQuantizers(owner: string, activations: QuantizedActivations): void {
  checkOptions(owner, activations, ['input', 'output']);
  for (const [end, quantizer] of Object.entries(activations)) {
    if (quantizer === undefined || typeof quantizer.buildActivation === 'function') continue;
    throw new OptionError(
      `${owner}: ${end} must be what quantises activations, as fakeQuantActivations({ bits: 8 }), not ` +
        `${typeof quantizer === 'object' ? 'another object' : String(quantizer)}.`,
    );
  }
}

/** Layers whose activations are quantised, built or not. */
const marked = new WeakSet<layers.Layer>();

/** True when the activations of a layer, or of one inside it, are quantised. */
export function hasQuantizedActivations(layer: layers.Layer): boolean {
  return marked.has(layer) || walkLayers(layer).some((inner) => stateOf(inner) !== undefined);
}

function stateOf(layer: layers.Layer): QuantizedCallState | undefined {
  const link = callLinks(layer).find(({ transform }) => transform.getClassName() === CLASS_NAME);
  return link?.state as QuantizedCallState | undefined;
}

/** The first input of a layer as the layer computes with it outside training: rounded where it rounds it. */
export function roundedInput(layer: layers.Layer, x: tf.Tensor): tf.Tensor {
  const [, transform, state] = quantizedLayers(layer).find(([owner]) => owner === layer) ?? [];
  const { input } = transform?.activations ?? {};
  if (!input || !state) return x;
  const stage = state.stage.values[0]!;
  const coded = input.quantize(x, state.inputs[0], { training: false, trainable: false, stage });
  return coded ? valuesOf(coded) : x;
}

/** One place at which activations are quantised. */
export interface ActivationPlace {
  readonly layer: layers.Layer;
  readonly end: 'input' | 'output';
  /** Number of the input. */
  readonly index: number;
  readonly quantizer: ActivationQuantizer;
  readonly state: unknown;
}

/**
 * All places of a model, or of one layer, at which activations are quantised, in the order of the layers;
 * for calibration.
 *
 * @example
 * for (const { layer, quantizer, state } of activationPlaces(model)) {
 *   console.log(layer.name, quantizer.activationCode(state));
 * }
 */
export function activationPlaces(model: layers.Layer): ActivationPlace[] {
  checkModel('activationPlaces', model);
  return quantizedLayers(model).flatMap(([layer, transform, { inputs, output }]) => {
    const { input, output: last } = transform.activations;
    return [
      ...inputs.map((state, index) => ({
        layer,
        end: 'input' as const,
        index,
        quantizer: input!,
        state,
      })),
      ...(last
        ? [{ layer, end: 'output' as const, index: 0, quantizer: last, state: output }]
        : []),
    ];
  });
}

/** Sets the stage of all layers of a model with quantised activations; returns how many there are. */
export function setStage(model: layers.Layer, stage: number): number {
  const found = quantizedLayers(model);
  for (const [, , state] of found) {
    if (state.stage.values[0] !== stage) {
      tf.tidy(() => state.stage.variable.assign(tf.scalar(stage)));
    }
  }
  return found.length;
}

function quantizedLayers(model: layers.Layer): [layers.Layer, QuantizedCall, QuantizedCallState][] {
  return walkLayers(model).flatMap((layer) =>
    callLinks(layer)
      .filter(({ transform }) => transform.getClassName() === CLASS_NAME)
      .map(
        ({ transform, state }) =>
          [layer, transform as QuantizedCall, state as QuantizedCallState] as [
            layers.Layer,
            QuantizedCall,
            QuantizedCallState,
          ],
      ),
  );
}

interface QuantizedCall extends CallTransform<QuantizedCallState> {
  readonly activations: QuantizedActivations;
}

function quantizedCall(activations: QuantizedActivations): QuantizedCall {
  const { input, output } = activations;
  if (!input && !output) {
    throw new OptionError('quantizeActivations: give a quantiser for input, output or both.');
  }
  const saved = (quantizer: ActivationQuantizer) => ({
    className: quantizer.getClassName(),
    config: quantizer.getConfig(),
  });
  return {
    activations,
    getClassName: () => CLASS_NAME,
    getConfig: () => ({
      ...(input ? { input: saved(input) } : {}),
      ...(output ? { output: saved(output) } : {}),
    }),
    build({ layer, inputs, addWeight }) {
      const at = (end: string) => ({
        layer: layer.name,
        addWeight: (name: string, ...rest: [number[], tf.Tensor | number, boolean]) =>
          addWeight(`${end}_${name}`, ...rest),
      });
      // A recurrent layer may get its states beside its input: they are left as they are.
      const count = 'cell' in layer ? 1 : inputs;
      return {
        layer,
        stage: new Numbers(addWeight('stage', [], QUANTIZE, false)),
        inputs: input
          ? Array.from({ length: count }, () => input.buildActivation(at('input')))
          : [],
        output: output?.buildActivation(at('output')),
      };
    },
    call(run, inputs, state, { training }) {
      const { trainable } = state.layer;
      const moment = { training, trainable, stage: state.stage.values[0]! };
      const coded = inputs.map((x, i) =>
        i < state.inputs.length ? input!.quantize(x, state.inputs[i], moment) : undefined,
      );
      const made =
        runOnCodes(state.layer, run, coded) ??
        run(inputs.map((x, i) => (coded[i] ? valuesOf(coded[i]) : x)));
      if (!output) return made;
      const [first, ...others] = Array.isArray(made) ? made : [made];
      const rounded: Coded | undefined = output.quantize(first!, state.output, moment);
      const given = rounded ? valuesOf(rounded) : first!;
      return Array.isArray(made) ? [given, ...others] : given;
    },
    codes(state) {
      return {
        ...(input ? { inputs: state.inputs.map((one) => input.activationCode(one) ?? null) } : {}),
        ...(output ? { output: output.activationCode(state.output) ?? null } : {}),
      };
    },
    ...(input?.activationPenalty || output?.activationPenalty
      ? { penalty: (state: QuantizedCallState) => penaltyOf(activations, state) }
      : {}),
  };
}

function penaltyOf({ input, output }: QuantizedActivations, state: QuantizedCallState): tf.Scalar {
  const terms = [
    ...state.inputs.map((one) => input?.activationPenalty?.(one)),
    output?.activationPenalty?.(state.output),
  ].filter((term) => term !== undefined);
  return tf.addN(terms) as tf.Scalar;
}

registerCallTransform(CLASS_NAME, (config) => {
  const { input, output } = config as Record<string, tf.serialization.ConfigDict>;
  return quantizedCall({
    ...(input ? { input: activationQuantizerFromConfig(input) } : {}),
    ...(output ? { output: activationQuantizerFromConfig(output) } : {}),
  }) as CallTransform;
});
