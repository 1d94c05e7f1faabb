// What each channel of a group adds to the answers of the layers that read it, at sampled places.
import * as tf from '@tensorflow/tfjs-core';
import type { layers } from '@tensorflow/tfjs-layers';
import { Random } from '@thimble/base';
import { type ChannelGroup, linearPart, type Probe, type Traced } from '@thimble/core';
import type { ContributionEvidence } from './criterion.ts';

/** Places looked at in every example: outputs of a reading layer at some position. */
const PER_EXAMPLE = 10;

/** A layer that reads a group, and the channel for every index along the last axis of its input. */
export interface Reader {
  path: string;
  layer: layers.Layer;
  channels: Int32Array;
}

/** Layers whose answer before the activation is a linear function of their input. */
const LINEAR = /^(Dense|Conv\d?D|Conv\dDTranspose|SeparableConv2D)$/;

/** The layers that read a group through a kernel that is linear; others (recurrent ones) are left out. */
export function readersOf(group: ChannelGroup, { layers }: Traced): Reader[] {
  return group.consumers.flatMap((path) => {
    const layer = layers.get(path);
    const className = (layer?.constructor as { className?: string } | undefined)?.className ?? '';
    if (!layer || !LINEAR.test(className)) return [];
    // Of a separable convolution the depthwise kernel lies along the input's channels.
    const own = group.members.filter((member) => member.layer === path && member.role !== 'out');
    const member =
      own.find(({ weight }) => weight === 'depthwiseKernel') ??
      own.find(({ role }) => role === 'in');
    return member ? [{ path, layer, channels: member.channels }] : [];
  });
}

/** The part of the input that lies in the chosen channels; the rest is 0. */
export function inputOf(
  input: tf.Tensor,
  channels: Int32Array,
  chosen: (channel: number) => boolean,
): tf.Tensor {
  const ones = Float32Array.from(channels, (channel) => (channel >= 0 && chosen(channel) ? 1 : 0));
  return tf.mul(input, tf.tensor1d(ones));
}

/** Adds up products of contributions over samples. */
export class Contributions {
  readonly #size: number;
  readonly #readers: Reader[];
  readonly #random: Random;
  readonly #gram: Float64Array;
  readonly #correlations: Float64Array;
  #energy = 0;
  #samples = 0;

  constructor(group: ChannelGroup, traced: Traced, seed: number | string) {
    this.#size = group.size;
    this.#readers = readersOf(group, traced);
    this.#random = new Random(seed, 'contributions', group.name);
    this.#gram = new Float64Array(group.size * group.size);
    this.#correlations = new Float64Array(group.size);
  }

  /** The layers to probe. */
  get layers(): layers.Layer[] {
    return this.#readers.map(({ layer }) => layer);
  }

  add(seen: Probe, place: (layer: layers.Layer) => number): void {
    this.sample(seen, place, (parts, whole) => this.#addUp(parts, whole));
  }

  /**
   * Shows the samples of a batch, once for each layer that reads the group: what each channel contributes
   * [channels, samples], and their sum; what the layer reads of other groups is no part of it.
   */
  sample(
    { inputs, batch }: Probe,
    place: (layer: layers.Layer) => number,
    show: (parts: Float32Array, whole: Float32Array) => void,
  ): void {
    for (const { layer, channels } of this.#readers) {
      for (const input of inputs[place(layer)]!) {
        const { parts, whole } = this.#sample(layer, input, channels, batch.size * PER_EXAMPLE);
        show(parts, whole);
      }
    }
  }

  /** Contributions at random places: of each channel [samples], one after the other, and of all of them. */
  #sample(layer: layers.Layer, input: tf.Tensor, channels: Int32Array, samples: number) {
    const parts = new Float32Array(this.#size * samples);
    const at = (tensor: tf.Tensor, places: Uint32Array, into: Float32Array) => {
      const values = tensor.dataSync();
      for (let i = 0; i < places.length; i++) into[i] = values[places[i]!]!;
    };
    const whole = new Float32Array(samples);
    const places = new Uint32Array(samples);
    tf.tidy(() => {
      const answer = linearPart(
        layer,
        inputOf(input, channels, () => true),
      );
      for (let i = 0; i < samples; i++) places[i] = this.#random.integer(answer.size);
      at(answer, places, whole);
    });
    for (let channel = 0; channel < this.#size; channel++) {
      tf.tidy(() => {
        const alone = inputOf(input, channels, (each) => each === channel);
        const into = parts.subarray(channel * samples, (channel + 1) * samples);
        at(linearPart(layer, alone), places, into);
      });
    }
    return { parts, whole };
  }

  #addUp(parts: Float32Array, whole: Float32Array): void {
    const [size, samples] = [this.#size, whole.length];
    for (let i = 0; i < size; i++) {
      const a = parts.subarray(i * samples, (i + 1) * samples);
      for (let j = i; j < size; j++) {
        const b = parts.subarray(j * samples, (j + 1) * samples);
        let sum = 0;
        for (let k = 0; k < samples; k++) sum += a[k]! * b[k]!;
        this.#gram[i * size + j]! += sum;
        if (j > i) this.#gram[j * size + i]! += sum;
      }
      let sum = 0;
      for (let k = 0; k < samples; k++) sum += a[k]! * whole[k]!;
      this.#correlations[i]! += sum;
    }
    for (const value of whole) this.#energy += value * value;
    this.#samples += samples;
  }

  result(): ContributionEvidence {
    return {
      samples: this.#samples,
      gram: this.#gram,
      correlations: this.#correlations,
      energy: this.#energy,
    };
  }
}
