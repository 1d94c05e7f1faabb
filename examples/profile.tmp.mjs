import '@thimble/backend';
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { startThimble } from '@thimble/backend';

await startThimble();
const L = tfl.layers;
const nets = {
  d: () =>
    tfl.sequential({
      layers: [
        L.flatten({ inputShape: [28, 28, 1] }),
        L.dense({ units: 300, activation: 'relu' }),
        L.dense({ units: 100, activation: 'relu' }),
        L.dense({ units: 10, activation: 'softmax' }),
      ],
    }),
  c: () =>
    tfl.sequential({
      layers: [
        L.conv2d({ filters: 20, kernelSize: 5, activation: 'relu', inputShape: [28, 28, 1] }),
        L.maxPooling2d({ poolSize: 2 }),
        L.conv2d({ filters: 50, kernelSize: 5, activation: 'relu' }),
        L.maxPooling2d({ poolSize: 2 }),
        L.flatten(),
        L.dense({ units: 500, activation: 'relu' }),
        L.dense({ units: 10, activation: 'softmax' }),
      ],
    }),
  s: () =>
    tfl.sequential({
      layers: [
        L.conv2d({
          filters: 16,
          kernelSize: 3,
          strides: 2,
          padding: 'same',
          activation: 'relu',
          inputShape: [28, 28, 1],
        }),
        L.separableConv2d({ filters: 32, kernelSize: 3, padding: 'same', activation: 'relu' }),
        L.separableConv2d({
          filters: 64,
          kernelSize: 3,
          strides: 2,
          padding: 'same',
          activation: 'relu',
        }),
        L.globalAveragePooling2d({}),
        L.dense({ units: 10, activation: 'softmax' }),
      ],
    }),
  t: () =>
    tfl.sequential({
      layers: [
        L.flatten({ inputShape: [28, 28, 1] }),
        L.dense({ units: 1200, activation: 'relu' }),
        L.dense({ units: 1200, activation: 'relu' }),
        L.dense({ units: 10, activation: 'softmax' }),
      ],
    }),
};
const times = {};
const B = Number(process.argv[3] ?? 60);
const profile = process.argv[4] !== 'off';
if (profile)
  for (const k of tf.getKernelsForBackend('thimble')) {
    const f = k.kernelFunc;
    tf.unregisterKernel(k.kernelName, 'thimble');
    tf.registerKernel({
      ...k,
      kernelFunc: (a) => {
        const t = performance.now();
        const r = f(a);
        const e = (times[k.kernelName] ??= { n: 0, ms: 0 });
        e.n++;
        e.ms += performance.now() - t;
        return r;
      },
    });
  }
for (const name of process.argv[2].split('')) {
  for (const k in times) delete times[k];
  const m = nets[name]();
  m.compile({ optimizer: 'adam', loss: 'categoricalCrossentropy' });
  const x = tf.randomUniform([B, 28, 28, 1]);
  const y =
    tf.oneHot(tf.randomUniform([B], 0, 10, 'int32'), 10).cast?.('float32') ??
    tf.cast(tf.oneHot(tf.cast(tf.randomUniform([B], 0, 10), 'int32'), 10), 'float32');
  for (let i = 0; i < 10; i++) await m.trainOnBatch(x, y);
  for (const k in times) delete times[k];
  const ms = []; const cpu0 = process.cpuUsage();
  for (let i = 0; i < (+process.argv[5]||60); i++) {
    const t = performance.now();
    await m.trainOnBatch(x, y);
    ms.push(performance.now() - t);
  }
  const cpu = process.cpuUsage(cpu0); console.log('cpu ms per step', ((cpu.user+cpu.system)/1000/(+process.argv[5]||60)).toFixed(2), 'user', (cpu.user/1000/(+process.argv[5]||60)).toFixed(2));
  ms.sort((a, b) => a - b);
  console.log(name, 'step ms median', ms[ms.length>>1].toFixed(2), 'min', ms[0].toFixed(2));
  if (profile) {
    const list = Object.entries(times).sort((a, b) => b[1].ms - a[1].ms);
    let tot = 0,
      n = 0;
    for (const [k, e] of list) {
      tot += e.ms;
      n += e.n;
    }
    console.log(' kernels total', (tot / 60).toFixed(2), 'calls', n / 60);
    for (const [k, e] of list.slice(0, 14))
      console.log('  ', k.padEnd(28), (e.n / 60).toFixed(0).padStart(4), (e.ms / 60).toFixed(3));
  }
}
