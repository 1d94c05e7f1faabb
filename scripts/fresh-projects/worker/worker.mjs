import { parentPort } from 'node:worker_threads';
import * as tfl from '@tensorflow/tfjs-layers';
import { startThimble } from '@thimble/backend';
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
    tfl.layers.dense({ units: 10, activation: 'softmax' }),
  ],
});
const loss = 'categoricalCrossentropy';
await thimble.fit(model, train, { epochs: 1, loss, progress: false });
const bytes = await thimble.encode(model);
const { images } = train.batch([0]);
parentPort.postMessage({
  bytes,
  image: images.dataSync(),
  scores: model.predict(images).dataSync(),
});
