// For engines other than Node: trains some steps, writes a file, loads it and runs it.
import { readFile } from 'node:fs/promises';
import * as tfl from '@tensorflow/tfjs-layers';
import { startThimble } from '@thimble/backend';
import { load } from '@thimble/runtime';
import * as thimble from 'thimble';

await startThimble();
const { train } = await thimble.data.mnist({
  source: 'synthetic',
  limit: 300,
  onProgress: false,
});
const model = tfl.sequential({
  layers: [
    tfl.layers.flatten({ inputShape: [28, 28, 1] }),
    tfl.layers.dense({ units: 16, activation: 'relu' }),
    tfl.layers.dense({ units: 10, activation: 'softmax' }),
  ],
});
const loss = 'categoricalCrossentropy';
const { logs } = await thimble.fit(model, train, { epochs: 3, loss, progress: false });
await thimble.save(model, 'file://anywhere.thimble');
const net = await load(new Uint8Array(await readFile('anywhere.thimble')));
const { images } = train.batch([0]);
const [scores, packed] = [model.predict(images).dataSync(), net.predict(images.dataSync())];
console.log(
  JSON.stringify({
    losses: logs.loss,
    apart: Math.max(...packed.map((v, i) => Math.abs(v - scores[i]))),
  }),
);
