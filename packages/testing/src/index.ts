export { useCpu } from './backend.ts';
export { browserMissing, launchBrowser, skipReason } from './browser.ts';
export {
  type CallbackContract,
  classifier,
  describeCallbackContract,
} from './callback-contract.ts';
export { checkGradients, type GradientCheckOptions } from './gradients.ts';
export { inputsFor, type LayerCase, layerCases } from './layer-cases.ts';
export { describeLayerContract, type LayerContract } from './layer-contract.ts';
export { expectNoLeaks } from './leaks.ts';
export { type Numbers, valuesOf } from './matchers.ts';
export {
  compile,
  expectSameOutputs,
  outputs,
  savedAndLoaded,
  smallModel,
  snapshot,
  threeClasses,
  train,
} from './models.ts';
export { describeTransformContract, type TransformContract } from './transform-contract.ts';
