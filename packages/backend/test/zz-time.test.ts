import '../src/index.ts';
import './wire-corrected.ts';
import * as tf from '@tensorflow/tfjs-core';
import { test } from 'vitest';
import { writeFileSync } from 'node:fs';
test('time', async () => {
  await tf.setBackend('thimble'); tf.env().set('IS_TEST', false);
  const lines: string[] = [];
  const x = tf.randomNormal([34560, 20]), w = tf.randomNormal([60, 10]), m = tf.randomNormal([60000, 784]);
  const idx = tf.tensor1d(Array.from({length:60},()=>Math.floor(Math.random()*60000)),'int32');
  const big = tf.randomNormal([60,24,24,20]);
  const v = tf.randomNormal([4,16,16,16,8]) as tf.Tensor5D, f3 = tf.randomNormal([3,3,3,8,16]) as tf.Tensor5D;
  const t10 = tf.ones([10]);
  const jobs: [string, () => tf.Tensor][] = [['conv3d', () => tf.conv3d(v, f3, 1, 'same')],['60x10 sigmoid', () => tf.sigmoid(t10)], ['60x10 square', () => tf.square(t10)], ['60x10 relu', () => tf.relu(t10)], ['60x10 cast', () => tf.engine().runKernel('Cast', {x:t10}, {dtype:'int32'}) as tf.Tensor], ['60x10 maximum', () => tf.maximum(t10, 0.1)], ['prelu', () => tf.prelu(big, tf.ones([24,24,20]))], ['preluc', () => tf.prelu(big, tf.ones([1,1,20]))], ['log1p', () => tf.log1p(tf.abs(big))],['maxpool',()=>tf.maxPool(big as tf.Tensor4D,2,2,'same')],['argmaxpool',()=>tf.maxPoolWithArgmax(big as tf.Tensor4D,2,2,'same').indexes],['maxpool3d',()=>tf.maxPool3d(v,2,2,'same')],['avgpool3d',()=>tf.avgPool3d(v,2,2,'same')],['mod',()=>tf.mod(tf.range(0,100000,1,'int32'),7)],['castbool',()=>tf.cast(big,'bool')],['conv3dgrad',()=>tf.grads((a,b)=>tf.conv3d(a as tf.Tensor5D,b as tf.Tensor5D,1,'same'))([v,f3])[1]!]];
  for (const b of ['wasm', 'thimble']) { await tf.setBackend(b);
    for (const [name, f] of jobs) { let best = 1e9; for (let i = 0; i < (name.includes("conv3d") ? 3 : name.includes("60x10") ? 20000 : 60); i++) { const s = performance.now(); f().dispose(); best = Math.min(best, performance.now() - s); } lines.push(`${b} ${name} ${(best * 1000).toFixed(1)}us`); } }
  writeFileSync('/tmp/c/times.txt', lines.join('\n') + '\n');
});
