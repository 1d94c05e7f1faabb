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
  const jobs: [string, () => tf.Tensor][] = [['sum0 34560x20', () => tf.sum(x, 0)], ['mean bhw', () => tf.mean(big,[0,1,2])], ['sum1 60x10', () => tf.sum(w, 1)], ['max1 60x10', () => tf.max(w, 1)], ['max0 34560x20', () => tf.max(x, 0)], ['gather 60x784', () => tf.gather(m, idx)], ['relu', ()=>tf.relu(big)], ['relu6', ()=>tf.relu6(big)], ['clip', ()=>tf.clipByValue(big,-1,1)], ['maximum', ()=>tf.maximum(big,0.5)], ['maximum2', ()=>tf.maximum(big,big)], ['sign', ()=>tf.sign(big)]];
  for (const b of ['wasm', 'thimble']) { await tf.setBackend(b);
    for (const [name, f] of jobs) { let best = 1e9; for (let i = 0; i < (name.includes("60x10") ? 20000 : 60); i++) { const s = performance.now(); f().dispose(); best = Math.min(best, performance.now() - s); } lines.push(`${b} ${name} ${(best * 1000).toFixed(1)}us`); } }
  writeFileSync('/tmp/c/times.txt', lines.join('\n') + '\n');
});
