import { readdirSync, readFileSync } from 'node:fs';
import * as thimble from 'thimble';
import { expect, test } from 'vitest';

const packages = new URL('../../', import.meta.url);
const rooms = readdirSync(packages).filter((room) => {
  const { dependencies = {} } = JSON.parse(
    readFileSync(new URL('thimble/package.json', packages), 'utf8'),
  );
  return `@thimble/${room}` in dependencies;
});

test('every export of every room is reachable', async () => {
  expect(rooms).toContain('core');
  for (const room of rooms) {
    const exports = await import(`../../${room}/src/index.ts`);
    const reachable = { data: thimble.data, runtime: thimble.runtime }[room] ?? thimble;
    for (const name of Object.keys(exports)) {
      expect(reachable, `${name} of @thimble/${room}`).toHaveProperty(name);
    }
  }
});

test('losses, layers and callbacks are grouped under the names that people call', () => {
  expect(thimble.losses.meanSquaredError).toBeTypeOf('function');
  expect(thimble.losses.distillation({ temperature: 2 })).toBeTypeOf('function');
  for (const name of ['distillation', 'flipRatio', 'gradualPruning', 'iterativePruning']) {
    expect(thimble.callbacks).toHaveProperty(name);
  }
  for (const name of [
    'binaryConv2d',
    'binaryDense',
    'depthwiseSeparableConv2d',
    'fire',
    'groupConv2d',
    'invertedResidual',
    'lowRankConv2d',
    'lowRankDense',
    'maskedDense',
    'maskedConv2d',
    'maskedDepthwiseConv2d',
    'perforatedConv2d',
    'versatileConv2d',
    'xnorConv2d',
    'xnorDense',
  ]) {
    expect(thimble.layers).toHaveProperty(name);
  }
});

test('the names that other code relies on are there', () => {
  for (const name of [
    'fit',
    'distill',
    'parametrize',
    'finalize',
    'summarize',
    'mask',
    'prunable',
    'prune',
    'lotteryTicket',
    'fakeQuant',
    'binarized',
    'decompose',
    'models',
  ]) {
    expect(thimble).toHaveProperty(name);
  }
});
