// The backend `thimble`: a second name for the one live instance of tfjs's BackendWasm.
//
// One instance, because every stock kernel keeps its wasm function in a variable of its module: a second
// instance would break the first. It follows that tensors move between both names without a copy, and
// that the stock kernels stay registered under 'wasm', to be measured against in the same process.
import type { BackendWasm } from '@tensorflow/tfjs-backend-wasm';
import '@tensorflow/tfjs-backend-wasm';
import {
  copyRegisteredKernels,
  engine,
  env,
  findBackendFactory,
  getKernel,
  type KernelBackend,
  registerBackend,
  registerKernel,
  removeBackend,
  setBackend,
  unregisterKernel,
} from '@tensorflow/tfjs-core';
import { BackendError } from '@thimble/base';
import { installCompile } from './compile.ts';
import { withEmbeddedWasm } from './embedded-wasm.ts';
import { gradientKernels, installGradients } from './gradients/index.ts';
import { corrected } from './kernels/corrected.ts';
import { einsum } from './kernels/einsum.ts';
import { kernels } from './kernels/index.ts';
import { installLayerFixes, layerKernels } from './layers/index.ts';
import { BACKEND_NAME } from './name.ts';
import { installOptimizers } from './optimizers.ts';
import { attachKernels } from './simd.ts';

type Factory = () => KernelBackend | Promise<KernelBackend>;

/** Below every backend of tfjs: `thimble` is chosen by name, never by tf.ready() on its own. */
const PRIORITY = 0;
/** The priority that tfjs gives the backend wasm. */
const STOCK_PRIORITY = 2;

let shared: Promise<KernelBackend> | undefined;
let failure: BackendError | undefined;

/** Registers the backend and its kernels; does nothing where that has been done. */
export function register(): void {
  if (findBackendFactory(BACKEND_NAME)) return;
  copyRegisteredKernels('wasm', BACKEND_NAME);
  for (const kernel of [...kernels, ...corrected, einsum, ...gradientKernels, ...layerKernels]) {
    if (getKernel(kernel.kernelName, BACKEND_NAME)) {
      unregisterKernel(kernel.kernelName, BACKEND_NAME);
    }
    // Ours call the stock kernels, and tfjs sets up only the kernels of the active name.
    const setupFunc = getKernel(kernel.kernelName, 'wasm')?.setupFunc;
    registerKernel(setupFunc ? { ...kernel, setupFunc } : kernel);
  }
  registerBackend(BACKEND_NAME, create, PRIORITY);
  installOptimizers();
  installCompile();
}

/**
 * Makes `thimble` the active backend, as `tf.setBackend('thimble')` does, but throws where it cannot
 * start: tfjs itself prints a warning and answers false.
 *
 * @throws BackendError when tfjs's wasm file is not found, or another backend was set meanwhile.
 * @example
 * import { startThimble } from '@thimble/backend';
 * await startThimble();
 */
export async function startThimble(): Promise<void> {
  failure = undefined;
  if (await setBackend(BACKEND_NAME)) return;
  throw (
    failure ??
    new BackendError(
      'Another backend was set while "thimble" was starting. Await one setBackend() before the next.',
    )
  );
}

/** The live instance of wasm, or a new one that from now on serves both names; with our kernels. */
async function create(): Promise<KernelBackend> {
  const backend = await shareInstance();
  try {
    await attachKernels(backend as BackendWasm);
  } catch (cause) {
    failure = cause as BackendError;
    throw cause;
  }
  installGradients(); // now, after every import: tfjs-layers registers the stock ones again
  installLayerFixes();
  return backend;
}

function shareInstance(): KernelBackend | Promise<KernelBackend> {
  const live = engine().registry.wasm;
  if (live) return live;
  const stock = findBackendFactory('wasm') as Factory | null;
  if (!stock) {
    failure = new BackendError(
      'The backend "wasm" was removed, and "thimble" stands on it. Do not call removeBackend("wasm").',
    );
    throw failure;
  }
  if (!shared) {
    const both: Factory = () => {
      shared ??= start(stock);
      return shared;
    };
    removeBackend('wasm');
    registerBackend('wasm', both, STOCK_PRIORITY);
    return both() as Promise<KernelBackend>;
  }
  return shared;
}

async function start(stock: Factory): Promise<KernelBackend> {
  // The threaded build keeps its memory elsewhere and needs a page that is cross-origin isolated; Node has
  // no threaded build at all. One kind of memory everywhere.
  env().set('WASM_HAS_MULTITHREAD_SUPPORT', false);
  try {
    return await withEmbeddedWasm(async () => stock());
  } catch (cause) {
    shared = undefined;
    failure = cause instanceof BackendError ? cause : startError(cause);
    throw failure;
  }
}

function startError(cause: unknown): BackendError {
  const reason = (cause as Error | undefined)?.message ?? String(cause);
  return new BackendError(
    `The backend "thimble" cannot start, because the wasm file of @tensorflow/tfjs-backend-wasm did not load: ${reason} ` +
      'If you called setWasmPaths(), check that the files are there. If you did not, serve the folder ' +
      "node_modules/@tensorflow/tfjs-backend-wasm/dist and call setWasmPaths('/that/folder/') before the first setBackend().",
    { cause },
  );
}
