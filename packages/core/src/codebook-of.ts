// The shared values of a weight whose codebook went through further transforms.
import { type Encoding, sizeOf, type ValueCode } from '@thimble/base';

export type Codebook = Extract<ValueCode, { type: 'codebook' }>;

/**
 * The encoding with the values that its codebook has now: those of the entries that are kept, slice by
 * slice, ascending. Undefined where they are more than the codebook has room for.
 */
export function codebookOf(
  data: ArrayLike<number>,
  encoding: Encoding & { values: Codebook },
): Encoding | undefined {
  const { shape, values, mask } = encoding;
  const { axis = null } = values;
  const slices = axis === null ? 1 : shape[axis]!;
  const inner = axis === null ? data.length : sizeOf(shape.slice(axis + 1));
  const room = values.centroids.length / slices;
  const found = Array.from({ length: slices }, () => new Set<number>());
  for (let i = 0; i < data.length; i++) {
    if (mask && !mask[i]) continue;
    const own = found[axis === null ? 0 : Math.floor(i / inner) % slices]!;
    own.add(data[i]!);
    if (own.size > room) return undefined;
  }
  const size = Math.max(1, ...found.map((own) => own.size));
  const centroids = new Float32Array(slices * size);
  for (const [slice, own] of found.entries()) {
    centroids.set(Float32Array.from(own).sort(), slice * size);
  }
  return { ...encoding, values: { ...values, centroids } };
}
