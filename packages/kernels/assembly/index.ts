export { clampGradient, reluGradient, softmaxGradient } from './activations';
export { biasActivation, gemm, gemmScratch } from './gemm';
export { conv, convFilterGradient, convInputGradient, convScratch } from './conv';
export { depthwise, depthwiseFilterGradient, depthwiseInputGradient, depthwiseScratch } from './depthwise';
export { adadelta, adam, momentum, rmsprop, sgd } from './optimizers';
export { avgPoolGradient, maxPoolGradient } from './pool';
export { clamp, extreme, firstOutside, gatherBlocks, prelu, sign } from './elementwise';
export { extremeMiddle, sumMiddle, sumMiddleInt, sumScratch } from './reduce';
export { avgPool, maxPool } from './window';
