// Scores of channels: one for every channel of every group, and spread over the entries of masked weights.
import type { LayersModel } from '@tensorflow/tfjs-layers';
import { UnsupportedError } from '@thimble/base';
import { type ChannelGroup, channelGroups, trace } from '@thimble/core';
import { networkEvidence } from './channel-evidence.ts';
import type { ChannelCriterion } from './criterion.ts';
import type { EvidenceOptions } from './evidence.ts';
import type { Granularity } from './granularity.ts';
import type { MaskedWeight } from './masked-weights.ts';
import type { ScoredWeight } from './unit-masks.ts';

/** The scores of the channels of every group that is not fixed, by the name of the group. */
export async function scoresOfGroups(
  owner: string,
  model: LayersModel,
  groups: readonly ChannelGroup[],
  criterion: ChannelCriterion,
  options: EvidenceOptions,
): Promise<Map<string, Float64Array>> {
  const evidence = await networkEvidence(owner, model, groups, criterion, options);
  return new Map(
    groups
      .filter(({ fixed }) => fixed === undefined)
      .map(({ name }) => [name, Float64Array.from(criterion.score(evidence.get(name)!))]),
  );
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
  const scores = await scoresOfGroups(owner, model, groups, criterion, options);
  const paths = new Map([...trace(model).layers].map(([path, layer]) => [layer, path]));
  const roles = granularity === 'channel' ? ['in', 'through'] : ['out', 'through'];
  return weights.map((target) => {
    const { weight, mask, name } = target;
    const path = paths.get(weight.layer) ?? weight.layer.name;
    const shape = weight.variable.shape;
    const entries = new Float64Array(weight.variable.size);
    const covered = new Uint8Array(entries.length);
    let fixed: string | undefined;
    for (const group of groups) {
      const member = group.members.find(
        (each) => each.layer === path && each.weight === weight.weight && roles.includes(each.role),
      );
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
    return { target, scores: entries, kept, reduction: 'mean', ...thresholds };
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
  const inner = shape.slice(axis + 1).reduce((product, n) => product * n, 1);
  for (let i = 0; i < entries.length; i++) {
    const score = scoreOf(Math.floor(i / inner) % length);
    if (score === undefined) continue;
    entries[i] = score;
    covered[i] = 1;
  }
}
