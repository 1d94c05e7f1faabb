import { gradualBits } from '@thimble/quantization';
import { describeCallbackContract, useCpu } from '@thimble/testing';

useCpu();

describeCallbackContract('gradualBits', {
  make: () =>
    gradualBits({
      stages: [
        { epoch: 1, bits: 4 },
        { epoch: 2, bits: 2 },
      ],
    }),
  changesTraining: true,
});
