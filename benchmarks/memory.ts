// Prints how many bytes the WebAssembly heap has grown to after training a network on a backend:
// node benchmarks/dist/memory.js NETWORK BACKEND. A process of its own, because a heap never shrinks.

import type { BackendWasm } from '@tensorflow/tfjs-backend-wasm';
import * as tf from '@tensorflow/tfjs-core';
import { startThimble } from '@thimble/backend';
import { digits } from './batch.ts';
import { network } from './networks.ts';
import { lendGradients } from './tasks/composed.ts';

const [name, backend] = process.argv.slice(2) as [string, string];
if (backend === 'wasm') lendGradients();
else await startThimble();
await tf.setBackend(backend);
const { x, y } = await digits(60);
const model = network(name);
for (let i = 0; i < 20; i++) await model.trainOnBatch(x, y);
const { wasm } = tf.backend() as unknown as BackendWasm;
console.log((wasm as unknown as { HEAPU8: Uint8Array }).HEAPU8.length);
