// The widths that a layer can be switched to.
import { OptionError } from '@thimble/base';

/**
 * The widths of a slimmable layer, as fractions of its channels: a list with 1 as the largest, or any width
 * from `min` to 1.
 */
export type Widths = readonly number[] | { readonly min: number };

/** The widths, a list from the smallest to the largest. */
export function checkedWidths(owner: string, widths: unknown): Widths {
  if (Array.isArray(widths)) {
    const sorted = [...new Set(widths as number[])].sort((a, b) => a - b);
    if (sorted.length === 0 || !sorted.every(isWidth) || sorted.at(-1) !== 1) {
      throw new OptionError(
        `${owner}: widths must be numbers above 0 with 1 as the largest, for example [0.25, 0.5, 0.75, 1], ` +
          `not [${widths.join(', ')}].`,
      );
    }
    return sorted;
  }
  const { min } = (widths ?? {}) as { min?: unknown };
  if (!isWidth(min)) {
    throw new OptionError(
      `${owner}: widths must be a list, for example [0.25, 0.5, 0.75, 1], or a range such as { min: 0.25 }.`,
    );
  }
  return { min };
}

function isWidth(width: unknown): width is number {
  return typeof width === 'number' && width > 0 && width <= 1;
}

/** True for a list, false for a range. */
export function isList(widths: Widths): widths is readonly number[] {
  return Array.isArray(widths);
}

/** The smallest of the widths. */
export function smallestOf(widths: Widths): number {
  return isList(widths) ? widths[0]! : widths.min;
}

/** True for a width that is in the list, or in the range. */
export function hasWidth(widths: Widths, width: number): boolean {
  return isList(widths) ? widths.includes(width) : width >= widths.min && width <= 1;
}

/** '0.25, 0.5, 1' or '0.25 to 1'. */
export function listed(widths: Widths): string {
  return isList(widths) ? widths.join(', ') : `${widths.min} to 1`;
}

/** The channels that are left of `full` at a width: rounded, at least one. */
export function channelsAt(full: number, width: number): number {
  return Math.max(1, Math.round(full * width));
}
