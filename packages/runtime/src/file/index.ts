// What the writer of .thimble files shares with the reader. Not for use elsewhere.
export { bytesAt, streamAt } from './address.ts';
export { decodeBytes, decodeParts, type FileParts } from './decode.ts';
export {
  type FileNotes,
  inputNames,
  lastOutput,
} from './description.ts';
export * from './format.ts';
export { PHRASES, textOfPhrases } from './phrases.ts';
export { ByteReader } from './reader.ts';
export { LONGEST, MOST_SYMBOLS, readSymbols } from './symbols.ts';
export { scalesOf } from './value-code.ts';
export { type CodedValues, hashedValues, sliceOf, tableOf } from './values.ts';
export { readWeight } from './weight.ts';
export { Workspace } from './workspace.ts';
