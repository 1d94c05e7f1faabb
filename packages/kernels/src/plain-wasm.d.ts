// dist/decoding-wasm.js, which the build writes: the compiled module in base64.
export const plain: string;
