// What a mask hides stays hidden where a technique has baked the mask into the kernel.
import type { LayersModel } from '@tensorflow/tfjs-layers';
import { kernelNames, walkLayers } from '@thimble/core';
import { maskedWeights, prune, setMask } from '@thimble/pruning';

/**
 * Gives the layers of `after` masks again, where those of `before` had some and these have none: over the zeros that the
 * masks have left in the kernels.
 */
export async function keepMasks(before: LayersModel, after: LayersModel): Promise<void> {
  const namesIn = (model: LayersModel) =>
    new Set(maskedWeights(model).map(({ weight }) => weight.layer.name));
  const [had, has] = [namesIn(before), namesIn(after)];
  const targets = walkLayers(after)
    .filter(({ name }) => had.has(name) && !has.has(name))
    .filter((layer) => kernelNames(layer).length > 0)
    .map(({ name }) => name);
  if (targets.length === 0) return;
  await prune(after, { granularity: 'element', sparsity: 0, targets });
  for (const { weight } of maskedWeights(after, targets)) {
    const values = weight.variable.dataSync();
    setMask(
      weight,
      Uint8Array.from(values, (value) => Number(value !== 0)),
    );
  }
}
