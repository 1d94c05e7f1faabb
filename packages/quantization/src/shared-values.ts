// What would make more values of a few that a weight shares.
import type { layers } from '@tensorflow/tfjs-layers';
import { UnsupportedError } from '@thimble/base';
import { type ParametrizedWeight, parametrizedWeights } from '@thimble/core';
import type { FakeQuantOptions } from './fake-quant.ts';
import { scaledAxes } from './fuse-batch-norm.ts';

/**
 * Throws where shared values given to a weight would not stay so few, because what comes behind them in its chain
 * treats channels differently. `slices`: the axis along which every slice has values of its own.
 */
export function checkShared(
  owner: string,
  layer: layers.Layer,
  weight: string,
  slices: number | null,
): void {
  const others = (axes: readonly (number | null)[]) =>
    axes.some((axis) => axis !== null && axis !== slices);
  if (others(scaledAxes(layer, weight) ?? [])) {
    throw new UnsupportedError(
      `${owner}: batch normalisation is fused into layer "${layer.name}" and multiplies each channel of "${weight}" ` +
        'by a factor of its own, so that it would not keep to shared values. Start from foldBatchNorm instead of ' +
        'fuseBatchNorm, or leave the layer out.',
    );
  }
  const chain = parametrizedWeights(layer).find((each) => each.weight === weight);
  const values = chain?.encoding().values;
  if (values?.type !== 'affine') return;
  if (values.group === undefined && !others([values.axis ?? null])) return;
  throw new UnsupportedError(
    `${owner}: "${weight}" of layer "${layer.name}" is rounded with a step for each channel or group already, so that ` +
      'it would not keep to shared values. Share values first and quantise then, or round with one step ' +
      '(perChannel: false).',
  );
}

/** The grid for the kernels of a layer where nothing else was asked for. */
export function weightGrid(layer: layers.Layer): Omit<FakeQuantOptions, 'bits'> {
  return { symmetric: true, narrowRange: true, perChannel: !hasSharedValues(layer) };
}

/** True for a layer whose kernel has one codebook: with a grid per channel it would have one per channel. */
export function hasSharedValues(layer: layers.Layer): boolean {
  return parametrizedWeights(layer).some((weight: ParametrizedWeight) => {
    const { values } = weight.encoding();
    return values.type === 'codebook' && (values.axis ?? null) === null;
  });
}
