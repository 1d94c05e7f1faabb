// dist/wasm.js and dist/inference-wasm.js, which the build writes in base64: a compiled module with plain SIMD, and the edits
// that make the one with relaxed SIMD of it.
export const plain: string;
export const relaxed: string;
