// Gathers what channel criteria look at: kernels, activations, contributions to the next layers.
import * as tf from '@tensorflow/tfjs-core';
import type { LayersModel, layers } from '@tensorflow/tfjs-layers';
import { Random, UnsupportedError } from '@thimble/base';
import { type ChannelGroup, lower, type Probe, probe, type Traced, trace } from '@thimble/core';
import { axesAt } from './axes-at.ts';
import { Contributions } from './contributions.ts';
import type { ActivationEvidence, ChannelCriterion, ChannelEvidence } from './criterion.ts';
import { DEFAULT_EXAMPLES, type EvidenceOptions, requireData } from './evidence.ts';

/** The evidence of every group of a model, by the name of the group. */
export async function networkEvidence(
  owner: string,
  model: LayersModel,
  groups: readonly ChannelGroup[],
  criterion: ChannelCriterion,
  options: EvidenceOptions,
): Promise<Map<string, ChannelEvidence>> {
  const { weights } = lower(model);
  const traced = trace(model);
  const scored = groups.filter(({ fixed }) => fixed === undefined);
  const seen = await dataEvidence(owner, model, scored, traced, criterion, options);
  const byLayer = new Map<string, ChannelEvidence>();
  const found = new Map<string, ChannelEvidence>();
  for (const [i, group] of groups.entries()) {
    const evidence: ChannelEvidence = {
      group,
      kernels: group.members.map(({ layer, weight, axis, channels, role }) => {
        const { encoding, data } = weights[`${layer}/${weight}`]!;
        const { shape } = encoding;
        const axes = axesAt(traced.layers.get(layer), weight, shape);
        return { layer, weight, shape, values: data!, axis, channels, role, axes };
      }),
      random: new Random(options.seed ?? 0, 'channels', i),
      madeBy: (layer) => byLayer.get(layer),
      ...seen.get(group.name),
    };
    found.set(group.name, evidence);
    for (const producer of group.producers) byLayer.set(producer, evidence);
  }
  return found;
}

type DataEvidence = Pick<ChannelEvidence, 'activations' | 'contributions'>;

async function dataEvidence(
  owner: string,
  model: LayersModel,
  groups: readonly ChannelGroup[],
  traced: Traced,
  criterion: ChannelCriterion,
  options: EvidenceOptions,
): Promise<Map<string, DataEvidence>> {
  const { needs } = criterion;
  if (needs.length === 0 || groups.length === 0) return new Map();
  const data = requireData(owner, criterion.name, options);
  const taylor = needs.includes('taylor');
  const activations = new Map<string, Activations>();
  const contributions = new Map<string, Contributions>();
  for (const group of groups) {
    if (taylor || needs.includes('activations')) {
      activations.set(group.name, new Activations(group, taylor));
    }
    if (needs.includes('contributions')) {
      contributions.set(group.name, new Contributions(group, traced, options.seed ?? 0));
    }
  }
  const watched = [...activations.values()].flatMap(({ group }) =>
    group.watched.map(({ layer }) => layerAt(owner, traced, layer)),
  );
  const readers = [...contributions.values()].flatMap((each) => each.layers);
  const layers = [...new Set([...watched, ...readers])];
  await probe(
    model,
    data,
    {
      layers,
      outputGradients: taylor,
      loss: options.loss,
      limit: options.examples ?? criterion.examples ?? DEFAULT_EXAMPLES,
      batchSize: options.batchSize ?? 100,
      progress: false,
      signal: options.signal,
    },
    (seen) => {
      const place = (layer: layers.Layer) => layers.indexOf(layer);
      for (const each of activations.values()) {
        each.add(seen, (layer) => place(layerAt(owner, traced, layer)));
      }
      for (const each of contributions.values()) each.add(seen, place);
    },
  );
  return new Map(
    groups.map(({ name }) => [
      name,
      {
        ...(activations.has(name) ? { activations: activations.get(name)!.result() } : {}),
        ...(contributions.has(name) ? { contributions: contributions.get(name)!.result() } : {}),
      },
    ]),
  );
}

/** The layer with a path, as `lower` names it. */
export function layerAt(owner: string, { layers }: Traced, path: string): layers.Layer {
  const layer = layers.get(path);
  if (layer) return layer;
  throw new UnsupportedError(
    `${owner}: the activations of "${path}" cannot be watched, as it is one direction of a ` +
      'Bidirectional. Leave out the layers that read it, or use a criterion that looks at weights.',
  );
}

/** Collects what the channels of one group did, example by example. */
class Activations {
  readonly group: ChannelGroup;
  readonly #taylor: boolean;
  readonly #rows: { mean: Float32Array; zeros: Float32Array; taylor: Float32Array }[] = [];
  readonly #labels: number[] = [];

  constructor(group: ChannelGroup, taylor: boolean) {
    this.group = group;
    this.#taylor = taylor;
  }

  add({ batch, outputs, outputGradients }: Probe, place: (layer: string) => number): void {
    const { group } = this;
    const length = batch.size * group.size;
    const row = {
      mean: new Float32Array(length),
      zeros: new Float32Array(length),
      taylor: new Float32Array(this.#taylor ? length : 0),
    };
    const places = new Float32Array(group.size);
    for (const { layer, application, channels } of group.watched) {
      const at = place(layer);
      const values = outputs[at]![application]!.dataSync() as Float32Array;
      const slopes = this.#taylor
        ? (outputGradients[at]![application]!.dataSync() as Float32Array)
        : undefined;
      const width = channels.length;
      const positions = values.length / batch.size / width;
      for (let c = 0; c < width; c++) if (channels[c]! >= 0) places[channels[c]!]! += positions;
      let k = 0;
      for (let example = 0; example < batch.size; example++) {
        const base = example * group.size;
        for (let p = 0; p < positions; p++) {
          for (let c = 0; c < width; c++, k++) {
            const channel = channels[c]!;
            if (channel < 0) continue;
            const value = values[k]!;
            row.mean[base + channel]! += value;
            if (value === 0) row.zeros[base + channel]! += 1;
            // The probe's loss is the mean over the batch; one example's is batch.size times its share.
            if (slopes) row.taylor[base + channel]! += value * slopes[k]! * batch.size;
          }
        }
      }
    }
    for (const sums of Object.values(row)) {
      for (let i = 0; i < sums.length; i++) sums[i]! /= Math.max(1, places[i % group.size]!);
    }
    this.#rows.push(row);
    this.#labels.push(...classesOf(batch.ys[0]!));
  }

  result(): ActivationEvidence {
    const joined = (key: 'mean' | 'zeros' | 'taylor') => {
      const all = new Float32Array(this.#labels.length * this.group.size);
      let at = 0;
      for (const row of this.#rows) {
        all.set(row[key], at);
        at += row[key].length;
      }
      return all;
    };
    return {
      examples: this.#labels.length,
      mean: joined('mean'),
      zeros: joined('zeros'),
      ...(this.#taylor ? { taylor: joined('taylor') } : {}),
      labels: Int32Array.from(this.#labels),
    };
  }
}

/** The class of each example: the largest of its labels, or the label itself where there is but one. */
function classesOf(labels: tf.Tensor): Int32Array {
  const width = labels.size / labels.shape[0]!;
  const classes = tf.tidy(() =>
    width > 1 ? tf.argMax(tf.reshape(labels, [-1, width]), 1).dataSync() : labels.dataSync(),
  );
  return Int32Array.from(classes);
}
