// The signatures of the compiled kernels. A pointer is a byte offset into the memory; all tensors are
// contiguous; sizes are at least 1 unless a comment says otherwise. Nothing is checked here: a kernel
// trusts its caller.

/** A byte offset into the memory. */
export type Pointer = number;

/** What {@link Kernels.biasActivation} applies. */
export const ACTIVATIONS = { linear: 0, relu: 1, relu6: 2 } as const;

/** The kernels of one memory; see {@link loadKernels}. */
export interface Kernels {
  /** Bytes of scratch that `gemm` needs. */
  gemmScratch(m: number, n: number, k: number, transposeB: boolean): number;
  /** C[m, n] = (C +) A[m, k] B[k, n]; A is stored [k, m] with `transposeA`, B [n, k] with `transposeB`. */
  gemm(
    a: Pointer,
    b: Pointer,
    c: Pointer,
    m: number,
    n: number,
    k: number,
    transposeA: boolean,
    transposeB: boolean,
    add: boolean,
    scratch: Pointer,
  ): void;
  /** x[rows, columns] = activation(x + bias[columns]) in place; no bias where the pointer is 0. */
  biasActivation(
    x: Pointer,
    rows: number,
    columns: number,
    bias: Pointer,
    activation: number,
  ): void;
}
