export { signPlanes, subsetPlanes, xnorPlanes } from './inference/binary';
export { signVector, xnorGemv } from './inference/binary-dense';
export { gemv, gemvCodebook, gemvInt, gemvInt4, gemvList, gemvSkip, gemvSparse } from './inference/dense';
export {
  activate,
  combine,
  copy,
  meanSize,
  multiplyPlanes,
  scalePlanes,
  scaleVector,
  softmax,
} from './inference/elementwise';
export { codePlanes, codeVector, pairNeighbours, roundToCodes, stepOf } from './inference/codes';
export { fromImage, gather, padPlanes, seal, toImage } from './inference/layout';
export { poolPlanes, poolWhole } from './inference/pool';
export {
  convPairs,
  convPairsInt,
  convSeparate,
  convSeparateInt,
  convSingles,
  convSinglesInt,
} from './inference/stream';
