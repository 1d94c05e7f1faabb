// (in the making)
import type { LayersModel } from '@tensorflow/tfjs-layers';
import { UnsupportedError } from '@thimble/base';
import type { ChannelCriterion } from './criterion.ts';
import type { EvidenceOptions } from './evidence.ts';
import type { Granularity } from './granularity.ts';
import type { MaskedWeight } from './masked-weights.ts';
import type { ScoredWeight } from './unit-masks.ts';

export async function channelScores(
  owner: string,
  _model: LayersModel,
  _weights: readonly MaskedWeight[],
  _criterion: ChannelCriterion,
  _granularity: Granularity,
  _options: EvidenceOptions,
): Promise<ScoredWeight[]> {
  throw new UnsupportedError(owner);
}
