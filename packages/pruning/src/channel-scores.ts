// Scores of channels: one for every channel of every group, and spread over the entries of masked weights.
import type * as tf from '@tensorflow/tfjs-core';
import type { LayersModel } from '@tensorflow/tfjs-layers';
import { sizeOf, UnsupportedError } from '@thimble/base';
import { type ChannelGroup, type ChannelMember, channelGroups, lower, trace } from '@thimble/core';
import { axesAt } from './axes-at.ts';
import { networkEvidence } from './channel-evidence.ts';
import type { ChannelCriterion, Criterion, WeightCriterion } from './criterion.ts';
import { type EvidenceOptions, type ScoredTarget, weightEvidence } from './evidence.ts';
import type { Granularity, Units } from './granularity.ts';
import type { MaskedWeight } from './masked-weights.ts';
import { type ScoredWeight, unitScores } from './unit-masks.ts';

/** The scores of the channels of the `open` ones among all groups of a model, by the name of the group. */
export async function scoresOfGroups(
  owner: string,
  model: LayersModel,
  groups: readonly ChannelGroup[],
  open: readonly ChannelGroup[],
  criterion: Criterion,
  options: EvidenceOptions,
): Promise<Map<string, Float64Array>> {
  if (criterion.level === 'weight') return weightScores(owner, model, open, criterion, options);
  const evidence = await networkEvidence(owner, model, groups, criterion, options);
  return new Map(
    open.map(({ name }) => [name, Float64Array.from(criterion.score(evidence.get(name)!))]),
  );
}

/**
 * The scores of a weight criterion: the kernels that make a channel, its entries in each reduced as the
 * criterion says, and the mean over these kernels.
 */
async function weightScores(
  owner: string,
  model: LayersModel,
  groups: readonly ChannelGroup[],
  criterion: WeightCriterion,
  options: EvidenceOptions,
): Promise<Map<string, Float64Array>> {
  const { layers, variables } = trace(model);
  const { weights } = lower(model);
  const makers = groups.flatMap((group) =>
    group.members
      .filter(({ role, layer, weight }) => {
        const shape = weights[`${layer}/${weight}`]!.encoding.shape;
        return role === 'out' && shape.length > 1;
      })
      .map((member) => ({ group, member })),
  );
  const targets = makers.map(({ member: { layer, weight } }): ScoredTarget => {
    const key = `${layer}/${weight}`;
    const { encoding, data } = weights[key]!;
    return {
      name: key,
      layer,
      weight,
      shape: encoding.shape,
      axes: axesAt(layers.get(layer), weight, encoding.shape),
      variable: variables.get(key)!.read() as tf.Variable,
      read: () => ({
        values: data!,
        kept: encoding.mask ?? new Uint8Array(data!.length).fill(1),
      }),
    };
  });
  const evidence = await weightEvidence(owner, model, targets, criterion, options);
  const sums = new Map<string, Float64Array>();
  const counts = new Map<string, number>();
  makers.forEach(({ group, member }, i) => {
    const { shape, kept } = evidence[i]!;
    const reduction = criterion.reduction ?? 'mean';
    const sum = sums.get(group.name) ?? new Float64Array(group.size);
    const units = channelUnits(member, shape, group.size);
    const each = unitScores({ scores: criterion.score(evidence[i]!), kept, reduction }, units);
    // A channel of which one maker is gone entirely counts 0 there, not minus infinity.
    for (let c = 0; c < sum.length; c++)
      sum[c]! += each[c] === Number.NEGATIVE_INFINITY ? 0 : each[c]!;
    sums.set(group.name, sum);
    counts.set(group.name, (counts.get(group.name) ?? 0) + 1);
  });
  return new Map([...sums].map(([name, sum]) => [name, sum.map((s) => s / counts.get(name)!)]));
}

/** The entries of a weight by the channel that they make; those of no channel of the group in one more. */
function channelUnits(member: ChannelMember, shape: readonly number[], size: number): Units {
  const length = shape[member.axis]!;
  const inner = sizeOf(shape.slice(member.axis + 1));
  const of = new Int32Array(sizeOf(shape));
  const sizes = new Int32Array(size + 1);
  for (let i = 0; i < of.length; i++) {
    const channel = member.channels[Math.floor(i / inner) % length]!;
    of[i] = channel < 0 ? size : channel;
    sizes[of[i]!]!++;
  }
  return { count: size + 1, of, sizes };
}

/** The scores that a channel criterion gives, for every entry of the masked weights. */
export async function channelScores(
  owner: string,
  model: LayersModel,
  weights: readonly MaskedWeight[],
  criterion: ChannelCriterion,
  granularity: Granularity,
  options: EvidenceOptions,
): Promise<ScoredWeight[]> {
  const groups = channelGroups(model);
  const paths = new Map([...trace(model).layers].map(([path, layer]) => [layer, path]));
  const pathOf = ({ weight }: MaskedWeight) => paths.get(weight.layer) ?? weight.layer.name;
  const roles = granularity === 'channel' ? ['in', 'through'] : ['out', 'through'];
  const memberOf = (group: ChannelGroup, target: MaskedWeight) =>
    group.members.find(
      ({ layer, weight, role }) =>
        layer === pathOf(target) && weight === target.weight.weight && roles.includes(role),
    );
  const open = groups.filter(
    (group) => group.fixed === undefined && weights.some((target) => memberOf(group, target)),
  );
  const scores = await scoresOfGroups(owner, model, groups, open, criterion, options);
  return weights.map((target) => {
    const { weight, mask, name } = target;
    const shape = weight.variable.shape;
    const entries = new Float64Array(weight.variable.size);
    const covered = new Uint8Array(entries.length);
    let fixed: string | undefined;
    for (const group of groups) {
      const member = memberOf(group, target);
      if (!member) continue;
      const known = scores.get(group.name);
      if (known) spread(entries, covered, shape, member.axis, (i) => known[member.channels[i]!]);
      else fixed = group.fixed;
    }
    if (covered.includes(0)) {
      throw new UnsupportedError(
        `${owner}: the criterion ${criterion.name} cannot score the channels of ${name}: ` +
          `${fixed ?? 'the channel graph does not know them'}. Leave the layer out of targets.`,
      );
    }
    const thresholds = criterion.threshold ? { threshold: criterion.threshold(entries) } : {};
    const kept = Uint8Array.from(mask.dataSync());
    // All entries of a channel have its score; those that are pruned already do not count in 'max'.
    return { target, scores: entries, kept, reduction: 'max', ...thresholds };
  });
}

/** Writes the score of its index along an axis into every entry. */
function spread(
  entries: Float64Array,
  covered: Uint8Array,
  shape: readonly number[],
  axis: number,
  scoreOf: (index: number) => number | undefined,
): void {
  const length = shape[axis]!;
  const inner = sizeOf(shape.slice(axis + 1));
  for (let i = 0; i < entries.length; i++) {
    const score = scoreOf(Math.floor(i / inner) % length);
    if (score === undefined) continue;
    entries[i] = score;
    covered[i] = 1;
  }
}
