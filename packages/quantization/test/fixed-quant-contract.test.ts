import { fixedQuant, float16 } from '@thimble/quantization';
import { describeTransformContract, useCpu } from '@thimble/testing';

useCpu();

// A symmetric narrow grid ends exactly at the largest magnitude: the gradient passes everywhere.
const symmetric = { symmetric: true, narrowRange: true } as const;

describeTransformContract('fixedQuant', { make: () => fixedQuant({ bits: 4, ...symmetric }) });

describeTransformContract('fixedQuant per channel', {
  make: () => fixedQuant({ bits: 8, perChannel: true }),
});

describeTransformContract('fixedQuant per group', {
  make: () => fixedQuant({ bits: 8, ...symmetric, groupSize: 2 }),
});

describeTransformContract('float16', {
  make: () => float16(),
  gradient: (_stored, upstream) => upstream,
});
