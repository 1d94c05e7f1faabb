// Runs model.thimble on test digits by the runtime. Prints the share that it gets right, and its answer for an empty
// image. The backend only makes the tensors that a data set comes in.
import { readFile } from 'node:fs/promises';
import { startThimble } from '@thimble/backend';
import { mnist } from '@thimble/data';
import { load } from '@thimble/runtime';

await startThimble();
const { test } = await mnist({ limit: 500, onProgress: false });
const { images, labels } = test.tensors();
const bytes = await readFile(process.argv[2] ?? 'model.thimble');
const net = await load(new Uint8Array(bytes));
const scores = net.predict(images.dataSync(), { batch: test.size });
const largest = (values) => values.indexOf(Math.max(...values));
const right = [...test.labels].filter(
  (label, i) => label === largest(scores.subarray(10 * i, 10 * i + 10)),
).length;
const empty = largest(net.predict(new Float32Array(28 * 28)));
labels.dispose();
console.log(JSON.stringify({ bytes: bytes.length, accuracy: right / test.size, empty }));
