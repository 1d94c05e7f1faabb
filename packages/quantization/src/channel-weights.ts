// The weights of a model, channel by channel.
import * as tf from '@tensorflow/tfjs-core';
import type { LayersModel } from '@tensorflow/tfjs-layers';
import { trace } from '@thimble/core';
import type { Side } from './channel-cuts.ts';

interface Entry {
  variable: tf.Variable;
  values: Float64Array;
}

/** The weights of a model by path and name, in double precision until they are written back. */
export class ChannelWeights {
  readonly #entries = new Map<string, Entry>();
  readonly #variables: ReturnType<typeof trace>['variables'];

  constructor(model: LayersModel) {
    this.#variables = trace(model).variables;
  }

  #entryOf({ layer, weight }: Pick<Side, 'layer' | 'weight'>): Entry {
    const key = `${layer}/${weight}`;
    let entry = this.#entries.get(key);
    if (!entry) {
      const variable = this.#variables.get(key)!.read() as tf.Variable;
      entry = { variable, values: Float64Array.from(variable.dataSync()) };
      this.#entries.set(key, entry);
    }
    return entry;
  }

  /** Calls `visit` with every entry of a weight whose channel is one of the group. */
  #each(side: Side, visit: (values: Float64Array, i: number, channel: number) => void): void {
    const { variable, values } = this.#entryOf(side);
    const { axis, channels } = side;
    const inner = variable.shape.slice(axis + 1).reduce((n, size) => n * size, 1);
    const length = channels.length;
    for (let i = 0; i < values.length; i++) {
      const channel = channels[Math.floor(i / inner) % length]!;
      if (channel >= 0) visit(values, i, channel);
    }
  }

  /** True for a layer that has a weight of that name. */
  has(layer: string, weight: string): boolean {
    return this.#variables.has(`${layer}/${weight}`);
  }

  /** A weight whole: its values, which are to be changed in place, and its shape. */
  whole(layer: string, weight: string): { values: Float64Array; shape: number[] } {
    const { variable, values } = this.#entryOf({ layer, weight });
    return { values, shape: variable.shape };
  }

  /** The largest magnitude of each channel's weights. */
  ranges(sides: readonly Side[], size: number): Float64Array {
    const ranges = new Float64Array(size);
    for (const side of sides) {
      this.#each(side, (values, i, channel) => {
        const magnitude = Math.abs(values[i]!);
        if (magnitude > ranges[channel]!) ranges[channel] = magnitude;
      });
    }
    return ranges;
  }

  /** Multiplies every channel by its scale to the power of 1 or -1. */
  scale(side: Side, scales: Float64Array, power: 1 | -1): void {
    this.#each(side, (values, i, channel) => {
      if (power === 1) values[i]! *= scales[channel]!;
      else values[i]! /= scales[channel]!;
    });
  }

  write(): void {
    for (const { variable, values } of this.#entries.values()) {
      tf.tidy(() => variable.assign(tf.tensor(Float32Array.from(values), variable.shape)));
    }
  }
}
