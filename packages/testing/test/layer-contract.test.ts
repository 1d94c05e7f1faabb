// The layer contract holds for TensorFlow.js's own layers, plain and masked. A masked layer is linear in
// its stored weight, so finite differences apply to it.
import { parametrize } from '@thimble/core';
import { mask } from '@thimble/pruning';
import { describeLayerContract, layerCases, useCpu } from '@thimble/testing';

useCpu();

for (const { name, make, weights, inputShape, classes } of layerCases) {
  const common = {
    inputShape,
    ...(classes ? { classes } : {}),
    // Batch normalisation divides by the spread of four values: its curvature is high.
    ...(name === 'batchNormalization' ? { gradients: { epsilon: 2e-3, tolerance: 3e-2 } } : {}),
  };
  describeLayerContract(name, { make: () => make(), ...common });
  describeLayerContract(`masked ${name}`, {
    make: () =>
      parametrize(
        make(),
        Object.fromEntries(weights.map((weight) => [weight, [mask({ sparsity: 0.5 })]])),
      ),
    ...common,
  });
}
