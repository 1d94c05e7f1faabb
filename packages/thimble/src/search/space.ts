// What a search may choose: named dimensions, numbers within bounds or values of a list.
import { checkOptions, OptionError, type Random } from '@thimble/base';

/** A value that a search chooses. */
export type SettingValue = number | string | boolean;

/** What a search chooses a value from: numbers within bounds (both included), or a list. */
export type Dimension =
  | {
      readonly between: readonly [number, number];
      /** Whether powers matter, not sums; bounds above 0. Default false. */
      readonly log?: boolean;
      /** Whole numbers alone; default false. */
      readonly whole?: boolean;
    }
  | { readonly oneOf: readonly SettingValue[] };

/** The dimensions by name. */
export type Space = Readonly<Record<string, Dimension>>;

/** One choice: a value for each dimension. */
export type Settings = Readonly<Record<string, SettingValue>>;

/** Whether plain data describes a dimension. */
export function isDimension(value: unknown): value is Dimension {
  return typeof value === 'object' && value !== null && ('between' in value || 'oneOf' in value);
}

/** Refuses dimensions that describe nothing. @throws {OptionError} naming the dimension. */
export function checkSpace(owner: string, space: Space): void {
  const names = Object.keys(space);
  if (names.length === 0) {
    throw new OptionError(
      `${owner}: there is nothing to choose. Put { between: [0.5, 0.95] } or { oneOf: [4, 8] } in place of a value.`,
    );
  }
  for (const [name, dimension] of Object.entries(space)) {
    if ('oneOf' in dimension) {
      checkOptions(`${owner}: ${name}`, dimension, ['oneOf']);
      if (Array.isArray(dimension.oneOf) && dimension.oneOf.length > 0) continue;
      throw new OptionError(`${owner}: ${name}.oneOf must be a list of one or more values.`);
    }
    checkOptions(`${owner}: ${name}`, dimension, ['between', 'log', 'whole']);
    const [low, high] = dimension.between ?? [];
    const { log = false, whole = false } = dimension;
    const fits = Number.isFinite(low) && Number.isFinite(high) && low! < high!;
    const wholes = !whole || (Number.isInteger(low) && Number.isInteger(high));
    if (fits && wholes && (!log || low! > 0)) continue;
    throw new OptionError(
      `${owner}: ${name}.between must be [least, largest]${whole ? ', whole numbers' : ''}${log ? ', above 0' : ''}, ` +
        `not ${JSON.stringify(dimension.between)}.`,
    );
  }
}

/** The interval that a number is drawn from, and the way back. */
export interface Interval {
  readonly low: number;
  readonly high: number;
  /** From a value to its place. */
  place(value: number): number;
  value(place: number): number;
}

/** Whole numbers have half a step around each, and with `log` the places are logarithms. */
export function intervalOf({
  between: [low, high],
  log = false,
  whole = false,
}: Extract<Dimension, { between: unknown }>): Interval {
  const margin = whole ? 0.5 : 0;
  const place = (value: number) => (log ? Math.log(value) : value);
  return {
    low: place(low - margin),
    high: place(high + margin),
    place,
    value: (at) => {
      const raw = log ? Math.exp(at) : at;
      return Math.min(high, Math.max(low, whole ? Math.round(raw) : raw));
    },
  };
}

/** A value with no knowledge: uniform, or log-uniform. */
export function drawValue(dimension: Dimension, random: Random): SettingValue {
  if ('oneOf' in dimension) return dimension.oneOf[random.integer(dimension.oneOf.length)]!;
  const { low, high, value } = intervalOf(dimension);
  return value(random.uniform(low, high));
}
