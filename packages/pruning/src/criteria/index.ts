// The pruning criteria by name.
import { apoz } from './apoz.ts';
import { batchNormScale } from './batch-norm-scale.ts';
import { connected } from './connected.ts';
import { costAware } from './cost-aware.ts';
import { deviations } from './deviations.ts';
import { geometricMedian } from './geometric-median.ts';
import { gradientTimesWeight } from './gradient-times-weight.ts';
import { informationGain } from './information-gain.ts';
import { initialMagnitude } from './initial-magnitude.ts';
import { lamp } from './lamp.ts';
import { lasso } from './lasso.ts';
import { lda } from './lda.ts';
import { magnitude } from './magnitude.ts';
import { magnitudeIncrease } from './magnitude-increase.ts';
import { meanActivation } from './mean-activation.ts';
import { movement } from './movement.ts';
import { nisp } from './nisp.ts';
import { normalized } from './normalized.ts';
import { percentile } from './percentile.ts';
import { random } from './random.ts';
import { sameSign } from './same-sign.ts';
import { snip } from './snip.ts';
import { taylor } from './taylor.ts';
import { taylorWeight } from './taylor-weight.ts';
import { thinet } from './thinet.ts';
import { threshold } from './threshold.ts';
import { travel } from './travel.ts';

export type { ApozOptions } from './apoz.ts';
export type { ConnectedOptions } from './connected.ts';
export type { CostAwareOptions } from './cost-aware.ts';
export type { DeviationsOptions } from './deviations.ts';
export type { GradientTimesWeightOptions } from './gradient-times-weight.ts';
export type { LassoOptions } from './lasso.ts';
export type { MagnitudeNorm, MagnitudeOptions } from './magnitude.ts';
export type { NispOptions } from './nisp.ts';
export type { PercentileOptions } from './percentile.ts';
export type { TaylorOptions } from './taylor.ts';
export type { ThresholdOptions } from './threshold.ts';

/**
 * What to prune by. Each gives scores, and the lowest go; each goes with any granularity that its level
 * knows, with any scope and any schedule.
 *
 * | what they look at               | criteria                                                            |
 * | ------------------------------- | ------------------------------------------------------------------- |
 * | weights                         | magnitude, lamp, threshold, percentile, deviations, random          |
 * | gradients by weights            | snip, taylorWeight                                                  |
 * | training steps                  | movement, gradientTimesWeight                                       |
 * | weights before and after        | magnitudeIncrease, initialMagnitude, travel, sameSign               |
 * | channels, by their weights      | geometricMedian, batchNormScale, nisp                               |
 * | channels, by their activations  | apoz, meanActivation, lda, informationGain, taylor                  |
 * | channels, by the next layer     | thinet, lasso                                                       |
 * | another criterion               | normalized, connected, costAware                                    |
 * @namespace
 */
export const criteria: {
  apoz: typeof apoz;
  batchNormScale: typeof batchNormScale;
  connected: typeof connected;
  costAware: typeof costAware;
  deviations: typeof deviations;
  geometricMedian: typeof geometricMedian;
  gradientTimesWeight: typeof gradientTimesWeight;
  informationGain: typeof informationGain;
  initialMagnitude: typeof initialMagnitude;
  lamp: typeof lamp;
  lasso: typeof lasso;
  lda: typeof lda;
  magnitude: typeof magnitude;
  magnitudeIncrease: typeof magnitudeIncrease;
  meanActivation: typeof meanActivation;
  movement: typeof movement;
  nisp: typeof nisp;
  normalized: typeof normalized;
  percentile: typeof percentile;
  random: typeof random;
  sameSign: typeof sameSign;
  snip: typeof snip;
  taylor: typeof taylor;
  taylorWeight: typeof taylorWeight;
  thinet: typeof thinet;
  threshold: typeof threshold;
  travel: typeof travel;
} = {
  apoz,
  batchNormScale,
  connected,
  costAware,
  deviations,
  geometricMedian,
  gradientTimesWeight,
  informationGain,
  initialMagnitude,
  lamp,
  lasso,
  lda,
  magnitude,
  magnitudeIncrease,
  meanActivation,
  movement,
  nisp,
  normalized,
  percentile,
  random,
  sameSign,
  snip,
  taylor,
  taylorWeight,
  thinet,
  threshold,
  travel,
};
