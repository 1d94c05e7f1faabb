// One layer of a Keras 3 config as a layer of TensorFlow.js.
import type { serialization } from '@tensorflow/tfjs-core';
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { UnsupportedError } from '@thimble/base';
import { layerFromConfig } from '@thimble/core';
import { resetAfterGru } from './reset-after-gru.ts';

type Layer = tfl.layers.Layer;

/** JSON as Keras writes it. */
export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
/** An object in it. */
export type Dictionary = { [key: string]: Json };

/** A layer in a Keras config. */
export interface KerasLayer {
  class_name: string;
  config: Dictionary;
  name?: string;
  inbound_nodes?: Json[];
  build_config?: Dictionary;
}

/** What does not change what a trained layer computes. */
const LEFT_OUT =
  /(_initializer|_regularizer|_constraint)$|^(dtype|trainable|batch_shape|batch_input_shape|sparse|ragged|optional|autocast|quantization_config|seed|synchronized|renorm.*|zero_output_for_mask|use_cudnn|input_length|build_config|noise_shape)$/;

/** Arguments that TensorFlow.js has not: what they must be for the layer to be the same. */
const FIXED: Record<string, Json[]> = {
  groups: [1],
  keepdims: [false],
  threshold: [0],
  lora_rank: [null],
  rms_scaling: [false],
  output_padding: [null],
};

/** Names of activations that TensorFlow.js has under another one. */
const ACTIVATIONS: Record<string, string> = { silu: 'swish', log_softmax: 'logSoftmax' };
const KNOWN_ACTIVATIONS = new Set([
  'linear',
  'relu',
  'relu6',
  'elu',
  'selu',
  'sigmoid',
  'softplus',
  'softsign',
  'tanh',
  'softmax',
  'logSoftmax',
  'swish',
  'mish',
  'gelu',
]);

/** 'hardSigmoid' for 'hard_sigmoid'. */
export function camel(name: string): string {
  return name.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
}

/**
 * Makes the layer, not built, for inputs of `rank` axes, the batch's included.
 *
 * @throws {UnsupportedError} naming one that TensorFlow.js has not, or computes otherwise.
 */
export function layerOfKeras(layer: KerasLayer, rank: number): Layer {
  const { class_name: className, config, name } = layer;
  const called = (config.name ?? name ?? className) as string;
  const refuse = (why: string) =>
    new UnsupportedError(
      `loadKeras: layer "${called}", a ${className}, ${why}. Take it out or replace it in Keras.`,
    );
  if (className === 'TimeDistributed' || className === 'Bidirectional') {
    const inside = className === 'TimeDistributed' ? rank - 1 : rank;
    const inner = layerOfKeras(config.layer as unknown as KerasLayer, inside);
    if (className === 'TimeDistributed') {
      return tfl.layers.timeDistributed({ name: called, layer: inner });
    }
    const backward = config.backward_layer as unknown as KerasLayer | undefined;
    if (backward && !mirrors(backward.config, (config.layer as Dictionary).config as Dictionary)) {
      throw refuse('has a backward layer of its own');
    }
    const mergeMode = config.merge_mode as 'concat';
    return tfl.layers.bidirectional({ name: called, layer: inner as tfl.RNN, mergeMode });
  }
  const given: serialization.ConfigDict = {};
  for (const [key, value] of Object.entries(config)) {
    if (LEFT_OUT.test(key)) continue;
    const fixed = FIXED[key];
    if (fixed) {
      if (!fixed.includes(value)) throw refuse(`has ${key} = ${JSON.stringify(value)}`);
    } else if (key === 'activation' || key === 'recurrent_activation') {
      given[camel(key)] = activationOf(value, refuse);
    } else {
      const text = typeof value === 'string' && key !== 'name';
      given[camel(key)] = (text ? camel(value) : value) as serialization.ConfigDictValue;
    }
  }
  given.name = called;
  return special(className, given, rank, refuse) ?? generic(className, given, refuse);
}

type Refuse = (why: string) => UnsupportedError;

function activationOf(value: Json, refuse: Refuse): string {
  const name = typeof value === 'string' ? value : null;
  const known = name === null ? undefined : (ACTIVATIONS[name] ?? name);
  if (known === undefined || !KNOWN_ACTIVATIONS.has(known)) {
    throw refuse(`has the activation ${JSON.stringify(value)}, which TensorFlow.js has not`);
  }
  return known;
}

/** Layers whose arguments differ, or some of whose arguments TensorFlow.js takes and computes otherwise. */
function special(
  className: string,
  given: serialization.ConfigDict,
  rank: number,
  refuse: Refuse,
): Layer | undefined {
  switch (className) {
    case 'Concatenate':
      // TensorFlow.js takes any negative axis for the last one.
      if ((given.axis as number) < 0) given.axis = rank + (given.axis as number);
      return undefined;
    case 'Conv1D':
      if (given.padding === 'causal')
        throw refuse('has causal padding, which TensorFlow.js has not');
      return undefined;
    case 'DepthwiseConv2D':
      if ([given.dilationRate ?? 1].flat().some((rate) => rate !== 1)) {
        throw refuse('has a dilation rate, which TensorFlow.js computes without');
      }
      return undefined;
    case 'Softmax':
      if ((given.axis ?? -1) === -1 || given.axis === rank - 1) return undefined;
      throw refuse(`is along axis ${given.axis}; TensorFlow.js has it along the last one alone`);
    case 'UpSampling2D':
      if ((given.interpolation ?? 'nearest') === 'nearest') return undefined;
      throw refuse(
        `has ${given.interpolation} interpolation, which TensorFlow.js computes otherwise`,
      );
    case 'Identity':
      return tfl.layers.activation({ activation: 'linear', name: given.name as string });
    case 'GRU':
      if (given.resetAfter === false) return undefined;
      if (given.dropout || given.recurrentDropout) {
        // Of no account once it is trained.
        given.dropout = 0;
        given.recurrentDropout = 0;
      }
      return resetAfterGru(given as unknown as Parameters<typeof resetAfterGru>[0]);
    case 'ReLU':
      if (given.negativeSlope) throw refuse('has a negative slope');
      return undefined;
    case 'LeakyReLU':
      given.alpha = given.negativeSlope ?? given.alpha ?? 0.3;
      return undefined;
    case 'LayerNormalization':
    case 'BatchNormalization':
      if (Array.isArray(given.axis) && given.axis.length === 1) given.axis = given.axis[0];
      return undefined;
    default:
      return undefined;
  }
}

function generic(className: string, given: serialization.ConfigDict, refuse: Refuse): Layer {
  const { classNameMap } = tf.serialization.SerializationMap.getMap();
  const known = Object.hasOwn(classNameMap, className) && classNameMap[className]![0];
  if (!known || !(known.prototype instanceof tfl.layers.Layer) || className === 'RNN') {
    throw refuse('is of a kind that TensorFlow.js has not');
  }
  try {
    return layerFromConfig(className, given);
  } catch (error) {
    throw refuse(`cannot be made: ${(error as Error).message}`);
  }
}

/** Whether the config of a backward layer is what Bidirectional makes of the forward one. */
function mirrors(backward: Dictionary, forward: Dictionary): boolean {
  const plain = (config: Dictionary) =>
    JSON.stringify(
      Object.entries(config).filter(
        ([key]) => !LEFT_OUT.test(key) && !['name', 'go_backwards'].includes(key),
      ),
    );
  return plain(backward) === plain(forward) && backward.go_backwards !== forward.go_backwards;
}
