// Which class is which: the names in a file of a network, in tables and of folders of images.
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import '@thimble/backend';
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { PNG } from 'pngjs';
import { runtime, save, saveTfjs } from 'thimble';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { main } from '../src/index.ts';

const NAMES = ['ant', 'bee', 'cat'];
const TABLE = ['a,b,c,kind', '1,0,0,ant', '0,1,0,bee', '0,0,1,cat'];
let folder: string;
const at = (name: string) => join(folder, name);

/** A network whose answer is where the largest value is. */
function largest(inputShape: number[]): tfl.LayersModel {
  const model = tfl.sequential({
    layers: [
      ...(inputShape.length > 1 ? [tfl.layers.flatten({ inputShape })] : []),
      tfl.layers.dense({ units: 3, activation: 'softmax', inputShape: [3] }),
    ],
  });
  model.setWeights([tf.mul(tf.eye(3), 9), tf.zeros([3])]);
  return model;
}

async function run(...words: string[]) {
  let [out, err] = ['', ''];
  const code = await main([...words, '--json'], {
    out: (text) => {
      out += text;
    },
    err: (text) => {
      err += text;
    },
    signal: new AbortController().signal,
  });
  return { code, err, found: JSON.parse(out) };
}

async function image(name: string, channel: number): Promise<void> {
  const png = new PNG({ width: 3, height: 1 });
  png.data.fill(0);
  png.data.fill(255, 4 * channel, 4 * channel + 4);
  await mkdir(join(at(name), '..'), { recursive: true });
  await writeFile(at(name), PNG.sync.write(png));
}

beforeAll(async () => {
  await tf.setBackend('thimble');
  folder = await mkdtemp(join(tmpdir(), 'thimble-classes-'));
  await saveTfjs(largest([3]), `file://${at('plain')}`);
  await saveTfjs(largest([1, 3, 1]), `file://${at('images')}`);
  await save(largest([3]), `file://${at('named.thimble')}`, { labels: NAMES });
  const lines = (list: string[]) => list.join('\n');
  await writeFile(at('all.csv'), lines(TABLE));
  await writeFile(at('some.csv'), lines(TABLE.filter((line) => !line.endsWith('ant'))));
  await writeFile(at('numbers.csv'), 'a,b,c,kind\n0,1,0,1\n0,0,1,2\n');
  await writeFile(at('train, some.csv'), lines([...TABLE.slice(0, 1), ...rows(['bee', 'cat'])]));
  await writeFile(at('semicolons.csv'), lines(TABLE.map((line) => line.replaceAll(',', ';'))));
});
afterAll(() => rm(folder, { recursive: true }));

/** Twenty examples of some classes. */
const rows = (kinds: string[]) =>
  Array.from({ length: 20 }, (_, i) => {
    const kind = kinds[i % kinds.length]!;
    return [...NAMES.map((name) => (name === kind ? 1 : 0)), kind].join(',');
  });

describe('a table with some of the classes, and a file of a network', () => {
  test('that names them: by the names', async () => {
    const { found } = await run('eval', at('named.thimble'), '--data', at('some.csv'));
    expect(found.accuracy).toBe(1);
  });

  test('that does not: which is which is not guessed', async () => {
    const message =
      'has 2 of 3 classes (bee, cat), and the file of the network does not say what its classes are called. ' +
      'Give examples of all classes, labels that are numbers from 0 to 2,';
    const data = ['--data', at('some.csv')];
    const { code, err } = await run('eval', at('plain'), ...data);
    expect({ code, err }).toMatchObject({ code: 1, err: expect.stringContaining(message) });
    const both = await run('report', at('plain'), at('plain'), ...data);
    expect(both.err).toContain(message);
  });

  test.each(['all.csv', 'numbers.csv'])('that does not, but %s tells it', async (name) => {
    const { found } = await run('eval', at('plain'), '--data', at(name));
    expect(found.accuracy).toBe(1);
  });

  test('which is compressed: numbers and names stay those of the network', async () => {
    const output = ['--output', at('small.thimble')];
    const words = ['compress', at('named.thimble'), ...output, '--quantize', '8', '--data'];
    for (const data of ['train, some.csv', 'numbers.csv']) {
      const { found, err } = await run(...words, at(data), '--validation', at(data));
      expect(err).toBe('');
      expect(found.before.validation.accuracy, data).toBe(1);
      expect(found.recipe.steps.at(-1).encode.labels, data).toEqual(NAMES);
    }
  });

  test('which is searched: likewise', async () => {
    await writeFile(at('bits.yaml'), 'steps: [{ quantize: { bits: { oneOf: [4, 8] } } }]');
    const data = ['--data', at('train, some.csv'), '--validation', at('some.csv')];
    const about = ['--recipe', at('bits.yaml'), '--trials', '2', '--rungs', '1', '--bytes', '5000'];
    const output = at('searched.thimble');
    const words = ['search', at('named.thimble'), ...data, ...about, '--output', output];
    const { found, err } = await run(...words);
    expect(err).toBe('');
    expect(found.best.outcome.accuracy).toBe(1);
    const { labels } = await runtime.decode(new Uint8Array(await readFile(output)));
    expect(labels).toEqual(NAMES);
  });
});

test('folders that are named by numbers of classes are these classes', async () => {
  await image('digits/1/a.png', 1);
  await image('digits/2/b.png', 2);
  const { found } = await run('eval', at('images'), '--data', at('digits'));
  expect(found.perClass.map(({ examples }: { examples: number }) => examples)).toEqual([0, 1, 1]);
  expect(found.accuracy).toBe(1);
});

test('an image is read by what is in it, and a folder is none', async () => {
  await image('wrong/0/a.jpg', 0);
  await mkdir(at('wrong/1/b.png'), { recursive: true });
  const { found, err } = await run('eval', at('images'), '--data', at('wrong'));
  expect(err).toBe('');
  expect(found).toMatchObject({ examples: 1, accuracy: 1 });
});

test.each([
  ['semicolons.csv', 'Its columns seem to be separated by ";"; save it with commas.'],
  ['plain', 'has neither the four IDX files'],
])('%s is no data: says why', async (name, message) => {
  const { code, err } = await run('eval', at('plain'), '--data', at(name));
  expect({ code, err }).toMatchObject({ code: 1, err: expect.stringContaining(message) });
});

test.each([
  ['null', 'has no modelTopology'],
  ['{}', 'has no modelTopology'],
])('%s is no model.json', async (content, message) => {
  await writeFile(at('other.json'), content);
  const { code, err } = await run('inspect', at('other.json'));
  expect({ code, err }).toMatchObject({ code: 1, err: expect.stringContaining(message) });
});

test('a folder is no recipe', async () => {
  const { err } = await run('compress', at('plain'), '--data', 'digits', '--recipe', folder);
  expect(err).toContain(
    `"${folder}" is a folder, where a file is needed. Give the name of a file in it.`,
  );
});
