import { incrementalQuantization, powersOfTwo } from '@thimble/quantization';
import { describeCallbackContract, describeTransformContract, useCpu } from '@thimble/testing';

useCpu();

describeTransformContract('powersOfTwo', {
  make: () => powersOfTwo({ bits: 3 }),
  gradient: (_stored, upstream) => upstream, // nothing is fixed yet
});

describeCallbackContract('incrementalQuantization', {
  make: () => incrementalQuantization({ bits: 4, portions: [0.4, 0.8, 1] }),
  changesTraining: true,
});
describeCallbackContract('incrementalQuantization at random, that ends early', {
  make: () => incrementalQuantization({ partition: 'random', epochsPerPortion: 2 }),
  changesTraining: true,
});
