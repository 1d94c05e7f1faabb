// A CommonJS program: requires everything, trains some steps, writes a file and runs it.
const { startThimble } = require('@thimble/backend');
const thimble = require('thimble');
const { readFileSync } = require('node:fs');
const { join } = require('node:path');
const tfl = require('@tensorflow/tfjs-layers');
const { load } = require('@thimble/runtime');

async function main() {
  await startThimble();
  const options = { source: 'synthetic', limit: 600, onProgress: false };
  const { train } = await thimble.data.mnist(options);
  const model = tfl.sequential({
    layers: [
      tfl.layers.flatten({ inputShape: [28, 28, 1] }),
      thimble.parametrize(tfl.layers.dense({ units: 16, activation: 'relu' }), {
        kernel: [thimble.mask({ sparsity: 0.5 })],
      }),
      tfl.layers.dense({ units: 10, activation: 'softmax' }),
    ],
  });
  const loss = 'categoricalCrossentropy';
  const { logs } = await thimble.fit(model, train, { epochs: 3, loss, seed: 1, progress: false });
  const file = join(__dirname, 'commonjs.thimble');
  await thimble.save(model, `file://${file}`);

  const { images, labels } = train.tensors({ limit: 20 });
  const expected = model.predict(images).dataSync();
  const plain = await thimble.load(`file://${file}`);
  const loaded = plain.predict(images).dataSync();
  const net = await load(new Uint8Array(readFileSync(file)));
  const packed = net.predict(images.dataSync(), { batch: 20 });
  labels.dispose();
  const apart = (values) => Math.max(...values.map((value, i) => Math.abs(value - expected[i])));
  console.log(JSON.stringify({ losses: logs.loss, loaded: apart(loaded), packed: apart(packed) }));
}
main();
