// dist/tfjs-wasm.js, written by scripts/embed-wasm.mjs at build time.

/** The version of @tensorflow/tfjs-backend-wasm that the bytes were taken from. */
export const version: string;
/** Its tfjs-backend-wasm-simd.wasm, compressed with gzip, as base64. */
export const simd: string;
