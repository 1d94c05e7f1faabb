import { codebook } from '@thimble/quantization';
import { describeTransformContract, useCpu } from '@thimble/testing';

useCpu();

describeTransformContract('codebook', { make: () => codebook({ clusters: 4 }) });
describeTransformContract('codebook per channel with a zero', {
  make: () => codebook({ bits: 2, perChannel: true, zero: true, start: 'kmeansPlusPlus' }),
});
