// Trains in a worker thread; the main thread gets the file's bytes and runs them, with the runtime alone.
import { Worker } from 'node:worker_threads';
import { load } from '@thimble/runtime';

const worker = new Worker(new URL('./worker.mjs', import.meta.url));
const { bytes, image, scores } = await new Promise((resolve, reject) => {
  worker.once('message', resolve);
  worker.once('error', reject);
});
await worker.terminate();
const net = await load(bytes);
const packed = net.predict(image);
console.log(JSON.stringify({ apart: Math.max(...packed.map((v, i) => Math.abs(v - scores[i]))) }));
