// Every error that Thimble raises on purpose. The message names the thing at fault and the remedy.

/** Ancestor of all errors that Thimble raises on purpose. */
export class ThimbleError extends Error {
  // Spelled out in every class: `new.target.name` is something else once a bundler has minified it.
  override name: string = 'ThimbleError';
}

/** An option has an unknown name or a value outside its range. */
export class OptionError extends ThimbleError {
  override name: string = 'OptionError';
}
/** A tensor, layer or file has another shape than the operation takes. */
export class ShapeError extends ThimbleError {
  override name: string = 'ShapeError';
}
/** Data cannot be used: NaN, labels out of range, counts that disagree. */
export class DataError extends ThimbleError {
  override name: string = 'DataError';
}
/** A file is truncated, corrupt or of another format than expected. */
export class FileFormatError extends ThimbleError {
  override name: string = 'FileFormatError';
}
/** A rule, name or pattern matches nothing. */
export class NoMatchError extends ThimbleError {
  override name: string = 'NoMatchError';
}
/** A loss, gradient or weight became NaN or infinite. */
export class NonFiniteError extends ThimbleError {
  override name: string = 'NonFiniteError';
}
/** The operation is not possible for this layer, model or platform. */
export class UnsupportedError extends ThimbleError {
  override name: string = 'UnsupportedError';
}
/** A TensorFlow.js backend cannot start, or cannot do what was asked of it. */
export class BackendError extends ThimbleError {
  override name: string = 'BackendError';
}
/** A download failed after all retries, or brought the wrong bytes. */
export class DownloadError extends ThimbleError {
  override name: string = 'DownloadError';
}
/** A checkpoint cannot be read, or belongs to another run. */
export class CheckpointError extends ThimbleError {
  override name: string = 'CheckpointError';
}

/**
 * Throws an {@link OptionError} when `options` has a key that is not in `known`.
 *
 * @example
 * checkOptions('mask', { sparsity: 0.5 }, ['sparsity']); // passes
 * // With { spasity: 0.5 }: OptionError: mask: unknown option "spasity". Known options: sparsity.
 */
export function checkOptions(owner: string, options: object, known: readonly string[]): void {
  if (typeof options !== 'object' || options === null) {
    throw new OptionError(
      `${owner}: options must be an object, not ${String(options)}. Options: ${known.join(', ') || 'none'}.`,
    );
  }
  for (const key of Object.keys(options)) {
    if (!known.includes(key)) {
      throw new OptionError(
        `${owner}: unknown option "${key}". Known options: ${known.join(', ') || 'none'}.`,
      );
    }
  }
}

/** Throws an {@link OptionError} unless `value` is a finite number with `min <= value <= max`. */
export function checkRange(
  owner: string,
  name: string,
  value: number,
  min: number,
  max: number = Number.POSITIVE_INFINITY,
): void {
  if (!Number.isFinite(value) || value < min || value > max) {
    const range = max === Number.POSITIVE_INFINITY ? `at least ${min}` : `from ${min} to ${max}`;
    throw new OptionError(`${owner}: ${name} must be a number ${range}, not ${value}.`);
  }
}

/** Throws an {@link OptionError} unless `value` is a whole number with `min <= value <= max`. */
export function checkInteger(
  owner: string,
  name: string,
  value: number,
  min: number,
  max: number = Number.MAX_SAFE_INTEGER,
): void {
  if (!Number.isInteger(value) || value < min || value > max) {
    const range = max === Number.MAX_SAFE_INTEGER ? `at least ${min}` : `from ${min} to ${max}`;
    throw new OptionError(`${owner}: ${name} must be a whole number ${range}, not ${value}.`);
  }
}
