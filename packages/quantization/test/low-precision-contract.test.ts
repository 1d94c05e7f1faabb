import { eightBitGradients, fixedPoint, fixedPointTraining } from '@thimble/quantization';
import { describeCallbackContract, describeTransformContract, useCpu } from '@thimble/testing';

useCpu();

describeTransformContract('fixedPoint', {
  make: () => fixedPoint({ integerBits: 3, fractionBits: 5 }),
  gradient: (_stored, upstream) => upstream,
});
describeCallbackContract('fixedPointTraining', {
  make: () => fixedPointTraining({ integerBits: 4, fractionBits: 8, rounding: 'stochastic' }),
  changesTraining: true,
  onlyInsideFit: 'it has no hooks',
});
describeCallbackContract('eightBitGradients', {
  make: () => eightBitGradients(),
  changesTraining: true,
  onlyInsideFit: 'it has no hooks',
});
