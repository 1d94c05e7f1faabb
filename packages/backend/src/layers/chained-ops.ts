// The recurrent layers, the orthogonal initializer (default of every recurrent kernel) and a few
// gradients of tfjs call methods of Tensor (`x.transpose()`) that exist only where the union package
// @tensorflow/tfjs was imported. Those few are added here where they are missing, so that tfjs-core is
// enough.
import {
  reshape,
  sign,
  slice,
  split,
  stridedSlice,
  Tensor,
  transpose,
} from '@tensorflow/tfjs-core';

type Method = (this: Tensor, ...args: never[]) => Tensor | Tensor[];

const methods: Record<string, Method> = {
  flatten(): Tensor {
    return reshape(this, [this.size]);
  },
  reshape(shape: number[]): Tensor {
    return reshape(this, shape);
  },
  transpose(permutation?: number[]): Tensor {
    return transpose(this, permutation);
  },
  stridedSlice(begin: number[], end: number[], strides?: number[]): Tensor {
    return stridedSlice(this, begin, end, strides);
  },
  sign(): Tensor {
    return sign(this);
  },
  slice(begin: number | number[], size?: number | number[]): Tensor {
    return slice(this, begin, size);
  },
  split(parts: number | number[], axis?: number): Tensor[] {
    return split(this, parts, axis);
  },
};

/** Adds the missing methods, and leaves those that are there. */
export function installChainedOps(): void {
  const prototype = Tensor.prototype as unknown as Record<string, Method | undefined>;
  for (const [name, method] of Object.entries(methods)) prototype[name] ??= method;
}
