import { hashed } from '@thimble/quantization';
import { describeTransformContract, useCpu } from '@thimble/testing';

useCpu();

describeTransformContract('hashed', { make: () => hashed({ ratio: 0.4, seed: 3 }) });
