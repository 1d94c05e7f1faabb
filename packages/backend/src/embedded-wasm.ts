// Finds tfjs's own wasm file in a browser, where nobody has said where it lies.
//
// tfjs asks for it with fetch: at the place given to setWasmPaths, else beside the page or script, where
// no bundler puts it. The form `new URL('...wasm', import.meta.url)` is rewritten by some bundlers, left
// alone by others and by Vite's dependency optimizer, and a bare package path means nothing to a plain
// browser. So the bytes travel as a JavaScript module of our own (137 KB compressed, fetched on its own
// and only when needed), and while the backend starts, a request for exactly that default place is
// answered with them. Any other request, a path of setWasmPaths among them, goes out untouched.
// setWasmPaths(blob URL) was no choice: it would overwrite a path of the user's, which cannot be read back.
import { version_wasm } from '@tensorflow/tfjs-backend-wasm';
import { env } from '@tensorflow/tfjs-core';
import { BackendError } from '@thimble/base';

const FILE = 'tfjs-backend-wasm-simd.wasm';

/** The script that carries this module, where it is a classic script; tfjs looks beside it. */
const script = (globalThis.document?.currentScript as HTMLScriptElement | null | undefined)?.src;

/** Runs `start`, meanwhile answering requests for tfjs's wasm file at its default place. */
export async function withEmbeddedWasm<T>(start: () => Promise<T>): Promise<T> {
  if (env().getBool('IS_NODE') || typeof globalThis.fetch !== 'function') return start();
  const original = globalThis.fetch;
  const answering: typeof fetch = (resource, options) =>
    defaultPlaces().includes(String(resource))
      ? embeddedWasm()
      : original.call(globalThis, resource, options);
  globalThis.fetch = answering;
  try {
    return await start();
  } finally {
    if (globalThis.fetch === answering) globalThis.fetch = original;
  }
}

/** Where tfjs looks when nobody has called setWasmPaths. */
function defaultPlaces(): string[] {
  const worker = typeof document === 'undefined' ? globalThis.location?.href : undefined;
  const folders = [script, worker].map((url) => {
    if (!url || url.startsWith('blob:')) return '';
    const path = url.replace(/[?#].*/, '');
    return path.slice(0, path.lastIndexOf('/') + 1);
  });
  return folders.map((folder) => folder + FILE);
}

async function embeddedWasm(): Promise<Response> {
  const { simd, version } = await import('#tfjs-wasm');
  if (version !== version_wasm) {
    throw new BackendError(
      `This build of @thimble/backend carries the wasm file of @tensorflow/tfjs-backend-wasm ${version}, but version ${version_wasm} is installed. ` +
        `Install ${version}, or serve the file ${FILE} of the installed version and name its folder with setWasmPaths().`,
    );
  }
  const bytes = Uint8Array.from(atob(simd), (character) => character.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('gzip'));
  return new Response(stream, { headers: { 'Content-Type': 'application/wasm' } });
}
