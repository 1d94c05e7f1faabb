// Channels as numbers, and which of them are one and the same.

/**
 * The channels along one axis, as ids. Two ids that {@link ChannelIds.find} maps to the same one belong
 * to channels that can only stay or go together.
 */
export type Ids = Int32Array;

/** Makes ids, joins them and remembers why some must stay. */
export class ChannelIds {
  readonly #parents: number[] = [];
  /** A set of reasons is never changed: many ids have the same one. */
  readonly #reasons = new Map<number, ReadonlySet<string>>();

  /** Ids that belong to nothing yet. */
  fresh(count: number): Ids {
    const first = this.#parents.length;
    const ids = Int32Array.from({ length: count }, (_, i) => first + i);
    for (const id of ids) this.#parents.push(id);
    return ids;
  }

  /** The id that stands for all that were joined with `id`: the smallest of them. */
  find(id: number): number {
    const parents = this.#parents;
    let root = id;
    while (parents[root] !== root) root = parents[root]!;
    for (let next = id; next !== root; ) {
      const parent = parents[next]!;
      parents[next] = root;
      next = parent;
    }
    return root;
  }

  /** Joins two axes index by index. They must be of the same length. */
  join(a: Ids, b: Ids): void {
    for (let i = 0; i < a.length; i++) {
      const [x, y] = [this.find(a[i]!), this.find(b[i]!)];
      if (x === y) continue;
      const [root, other] = x < y ? [x, y] : [y, x];
      this.#parents[other] = root;
      const reasons = this.#reasons.get(other);
      if (!reasons) continue;
      this.#reasons.delete(other);
      this.#fix(root, reasons);
    }
  }

  /** Says why these channels must stay. */
  fix(ids: Ids, reason: string): void {
    const reasons = new Set([reason]);
    for (const id of ids) this.#fix(this.find(id), reasons);
  }

  /** Why a channel must stay; undefined when it can go. */
  reasons(id: number): ReadonlySet<string> | undefined {
    return this.#reasons.get(this.find(id));
  }

  #fix(root: number, reasons: ReadonlySet<string>): void {
    const known = this.#reasons.get(root);
    if (!known) this.#reasons.set(root, reasons);
    else if ([...reasons].some((reason) => !known.has(reason))) {
      this.#reasons.set(root, new Set([...known, ...reasons]));
    }
  }
}

/** `ids` as often as it takes to be `length` long: the channels of a flattened image. */
export function tiled(ids: Ids, length: number): Ids {
  return Int32Array.from({ length }, (_, i) => ids[i % ids.length]!);
}

/** Every id `times` times in a row: what a depthwise convolution makes of each channel. */
export function repeated(ids: Ids, times: number): Ids {
  return Int32Array.from({ length: ids.length * times }, (_, i) => ids[Math.floor(i / times)]!);
}

/** One axis after the other. */
export function joined(parts: readonly Ids[]): Ids {
  return Int32Array.from(parts.flatMap((ids) => [...ids]));
}
