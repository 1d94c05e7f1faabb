export { cacheFolder, environment, readBytes, readInto, removeFile, writeBytes } from '#platform';
export { crc32 } from './checksum.ts';
export { alignColumns, textTable } from './columns.ts';
export { countNonzero } from './count-nonzero.ts';
export { type Encoding, encodedBits, sizeOf, type ValueCode } from './encoding.ts';
export {
  BackendError,
  CheckpointError,
  checkInteger,
  checkOptions,
  checkRange,
  DataError,
  DownloadError,
  FileFormatError,
  NoMatchError,
  NonFiniteError,
  OptionError,
  ShapeError,
  ThimbleError,
  UnsupportedError,
} from './errors.ts';
export {
  checkPolicy,
  type ExitPolicy,
  ExitRule,
  type ExitRuleOptions,
  largestOf,
  softmaxRows,
  thresholdsOf,
} from './exit-rules.ts';
export { hashedPlaces, xxHash32 } from './hash.ts';
export { joined } from './joined.ts';
export { type Perforation, perforationOf } from './perforation.ts';
export { type ProgressOption, type ProgressReporter, startProgress } from './progress.ts';
export { formatDuration, type ProgressEvent } from './progress-event.ts';
export { hashSeed, Random, type RandomState, withSeed } from './random.ts';
export { roundHalfToEven } from './rounding.ts';
