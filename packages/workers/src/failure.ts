// Errors that come from elsewhere, as the errors that they were there.
import * as base from '@thimble/base';

/** An error as plain data. */
export interface Failure {
  name: string;
  message: string;
  stack?: string;
}

/** The error, of its own class where it is one of Thimble's. */
export function revived({ name, message, stack }: Failure): Error {
  const Class = (base as unknown as Record<string, unknown>)[name];
  const own = typeof Class === 'function' && Class.prototype instanceof base.ThimbleError;
  const error = own
    ? new (Class as new (text: string) => Error)(message)
    : Object.assign(new Error(message), { name });
  if (stack) error.stack = stack;
  return error;
}
