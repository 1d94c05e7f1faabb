// Trains on the page, then in a worker, and leaves both outcomes in the document.
// ?wasm=<folder> names the place of tfjs's wasm files first; ?worker=no leaves the worker out.
import { setWasmPaths } from '@tensorflow/tfjs-backend-wasm';
import { type Outcome, train } from './train.ts';

const query = new URLSearchParams(location.search);
const folder = query.get('wasm');
if (folder) setWasmPaths(folder);

function inWorker(): Promise<Outcome> {
  const worker = new Worker(new URL('./worker.ts', import.meta.url), { type: 'module' });
  return new Promise((resolve) => {
    worker.onmessage = ({ data }) => resolve(data);
    worker.onerror = ({ message }) => resolve({ error: message });
  });
}

const outcomes: Record<string, Outcome> = { page: await train(15) };
if (query.get('worker') !== 'no') outcomes.worker = await inWorker();

const result = document.createElement('pre');
result.id = 'result';
result.textContent = JSON.stringify(outcomes);
document.body.append(result);
