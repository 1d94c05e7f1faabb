// What the writer of .thimble files shares with the reader. Not for use elsewhere.
export { AdaptiveBits, MixedBits } from './adaptive-bits.ts';
export { ArithmeticDecoder, type BitCoder } from './arithmetic-decoder.ts';
export { type CodeShape, codeCodes } from './code-model.ts';
export { decodeBytes } from './decode.ts';
export {
  type FileNotes,
  inputNames,
  lastOutput,
} from './description.ts';
export * from './format.ts';
export { placesByOutputs, type Runs, runsAlong } from './groups.ts';
export {
  huffmanSymbols,
  huffmanTable,
  LONGEST,
  MOST_SYMBOLS,
  packedSymbols,
  readLengths,
} from './huffman.ts';
export { ByteReader } from './reader.ts';
export { codeText, PHRASES, textOfPhrases } from './text-model.ts';
export { halfToFloat, hashedValues, scalesOf, tableOf, valuesOfCodes } from './values.ts';
export { readWeight } from './weight.ts';
