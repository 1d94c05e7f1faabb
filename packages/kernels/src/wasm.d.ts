// dist/wasm.js, which the build writes: the compiled kernels in base64.
export const plain: string;
export const relaxed: string;
