// Dividing a data set in two.
import { OptionError, Random } from '@thimble/base';

/**
 * Chooses the examples of the second part, stratified: every class gives its share, rounded down, and
 * the places that rounding left go to the classes with the largest remainders (ties: lowest class).
 * Which examples of a class go is random. Both lists are in ascending order, disjoint and exhaustive.
 *
 * @param part a fraction in (0, 1) or a whole number of examples from 1 to size - 1.
 */
export function stratifiedSplit(
  labels: Uint8Array,
  part: number,
  seed: number | string,
): [Uint32Array, Uint32Array] {
  const size = labels.length;
  const count = part > 0 && part < 1 ? Math.round(part * size) : part;
  if (!Number.isInteger(count) || count < 1 || count >= size) {
    throw new OptionError(
      `split: the validation part must be a fraction between 0 and 1 or a whole number from 1 to ${size - 1}, ` +
        `not ${part}. Both parts need an example.`,
    );
  }
  const members: number[][] = Array.from({ length: 256 }, () => []);
  for (let i = 0; i < size; i++) members[labels[i]!]!.push(i);
  const quota = members.map((list) => Math.floor((list.length * count) / size));
  const remainder = members.map((list, label) => (list.length * count) / size - quota[label]!);
  const places = count - quota.reduce((sum, n) => sum + n, 0);
  const byRemainder = members.map((_, label) => label);
  byRemainder.sort((a, b) => remainder[b]! - remainder[a]! || a - b);
  for (const label of byRemainder.slice(0, places)) quota[label]! += 1;

  const chosen = new Uint8Array(size);
  members.forEach((list, label) => {
    const order = new Random(seed, 'split', label).permutation(list.length);
    for (let k = 0; k < quota[label]!; k++) chosen[list[order[k]!]!] = 1;
  });
  const rows = Uint32Array.from({ length: size }, (_, i) => i);
  return [rows.filter((i) => chosen[i] === 0), rows.filter((i) => chosen[i] === 1)];
}
