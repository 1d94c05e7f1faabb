export { clampGradient, reluGradient, softmaxGradient } from './activations';
export { approach, batchNorm, batchNormGradient, batchNormScratch } from './batch-norm';
export { binaryWeights, binaryWeightsGradient, centreClip } from './binary-weights';
export { biasActivation, gemm, gemmScratch } from './gemm';
export { compare, logical, logicalNot, select } from './compare';
export { conv, convScratch } from './conv';
export { codes, codesGradient } from './codes';
export { convFilterGradient } from './conv-filter-gradient';
export { convInputGradient } from './conv-input-gradient';
export { depthwise, depthwiseFilterGradient, depthwiseInputGradient, depthwiseScratch } from './depthwise';
export { fakeQuant, fakeQuantGradient } from './fake-quant';
export { apply } from './functions';
export { applyMask, maskBits } from './mask';
export { adadelta, adam, momentum, rmsprop, sgd } from './optimizers';
export { avgPoolGradient, maxPoolGradient } from './pool';
export {
  binarySample,
  binarySign,
  clamp,
  copyBlocks,
  extreme,
  firstOutside,
  gatherBlocks,
  multiply,
  multiplyRows,
  prelu,
  sign,
} from './elementwise';
export { extremeMiddle, sumMiddle, sumMiddleInt, sumScratch } from './reduce';
export { avgPool, maxPool } from './window';
export { xnorConv, xnorScratch } from './xnor';
