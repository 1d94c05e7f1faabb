export { prepare } from './decoding/bits';
export { codeRows } from './decoding/codes';
export { huffmanSymbols, huffmanTable, packedSymbols } from './decoding/symbols';
export { countEntries, fillEntries } from './decoding/lists';
export { bitPlaces, blockPlaces, gapPlaces, keptPlaces, runPlaces, scatter } from './decoding/places';
export { textBytes } from './decoding/text';
export { countBytes, countKept, groupScaled, halves, lookedUp, powers, scaled } from './decoding/values';
export {
  blockSizes,
  bytePanels,
  codePanels,
  columnSums,
  countBlocks,
  distinctValues,
  fillBlocks,
  fillKept,
  fillLists,
  floatPanels,
  keptBlocks,
  keptStarts,
  listStarts,
  numberPanels,
  wholeCodes,
} from './decoding/packing';
