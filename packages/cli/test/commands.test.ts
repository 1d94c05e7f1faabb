// The commands in this process; what only a process of its own shows is in process.test.ts.
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import '@thimble/backend';
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { PNG } from 'pngjs';
import {
  data,
  earlyExits,
  fit,
  load,
  loadKeras,
  predictEarly,
  recipes,
  runtime,
  save,
  saveTfjs,
  setWidth,
  toSlimmable,
  withSeed,
} from 'thimble';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { stringify } from 'yaml';
import { main } from '../src/index.ts';

const set = process.env.THIMBLE_DATA_DIR ? 'mnist' : 'digits';
const keras = fileURLToPath(new URL('../../io/test/keras/sequential.keras', import.meta.url));
let folder: string;
const at = (name: string) => join(folder, name);

async function run(...words: string[]) {
  let [out, err] = ['', ''];
  const code = await main([...words, ...(words.includes('--json') ? [] : ['--quiet'])], {
    out: (text) => {
      out += text;
    },
    err: (text) => {
      err += text;
    },
    signal: new AbortController().signal,
  });
  return { code, out, err };
}

async function json(...words: string[]) {
  const { code, out, err } = await run(...words, '--json');
  expect({ code, err }).toEqual({ code: 0, err: '' });
  return JSON.parse(out);
}

async function inputShape(path: string): Promise<number[]> {
  const { graph } = await runtime.decode(new Uint8Array(await readFile(path)));
  return graph.nodes[0]!.outputs[0]! as number[];
}

/** What the network of a .thimble file answers. */
async function outputs(path: string, x: tf.Tensor): Promise<number[]> {
  const model = await load(new Uint8Array(await readFile(path)));
  const found = Array.from(tf.tidy(() => (model.predict(x) as tf.Tensor).dataSync()));
  model.dispose();
  return found;
}

beforeAll(async () => {
  await tf.setBackend('thimble');
  folder = await mkdtemp(join(tmpdir(), 'thimble-cli-'));
  const source = set === 'mnist' ? 'auto' : 'synthetic';
  const { train } = await data.mnist({ source, limit: 1500, onProgress: false });
  const model = withSeed(3, () =>
    tfl.sequential({
      layers: [
        tfl.layers.flatten({ inputShape: [28, 28, 1] }),
        tfl.layers.dense({ name: 'hidden', units: 16, activation: 'relu' }),
        tfl.layers.dense({ name: 'output', units: 10, activation: 'softmax' }),
      ],
    }),
  );
  const loss = 'categoricalCrossentropy';
  await fit(model, train, { epochs: 4, batchSize: 16, loss, progress: false });
  await saveTfjs(model, `file://${at('trained')}`);
  await save(model, `file://${at('trained.thimble')}`);
  model.dispose();
});
afterAll(() => rm(folder, { recursive: true }));

describe('help', () => {
  test('names all commands, and each has examples', async () => {
    const { code, out } = await run('--help');
    expect(code).toBe(0);
    for (const name of [
      'inspect',
      'compress',
      'search',
      'worker',
      'convert',
      'bench',
      'eval',
      'report',
      'recipe',
      'demo',
      'serve',
    ]) {
      expect(out).toContain(`  ${name} `);
      const help = await run(name, '--help');
      expect(help.code, name).toBe(0);
      expect(help.out, name).toContain('Examples:');
      expect(help.out, name).toContain('--json');
    }
  });

  test('bash completes commands, options and choices', async () => {
    const { code, out } = await run('completion', 'bash');
    expect(code).toBe(0);
    const complete = (...words: string[]) => {
      const script = `${out}\nCOMP_WORDS=(${words.map((word) => `'${word}'`).join(' ')})
        COMP_CWORD=${words.length - 1}; _thimble; echo "\${COMPREPLY[@]}"`;
      return execFileSync('bash', ['-c', script], { encoding: 'utf8' }).trim().split(' ');
    };
    expect(complete('thimble', 'com')).toEqual(['compress', 'completion']);
    expect(complete('thimble', 'compress', '--re')).toEqual(['--recipe', '--remove-channels']);
    expect(complete('thimble', 'convert', 'a', 'b', '--entropy', 'h')).toEqual(['huffman']);
    for (const shell of ['zsh', 'fish']) {
      const other = await run('completion', shell);
      expect(other.out).toContain('deepCompression');
    }
  });
});

describe('inspect', () => {
  test('counts what is there, in every format alike', async () => {
    for (const name of ['trained', 'trained/model.json', 'trained.thimble']) {
      const { total, layers } = await json('inspect', at(name));
      // 784 * 16 + 16 * 10 multiplications, and 26 biases.
      expect(total).toMatchObject({ macs: 12_704, params: 12_730, bytes: 4 * 12_730 });
      expect(layers.map((layer: { name: string }) => layer.name)).toContain('hidden');
    }
  });

  test('draws histograms', async () => {
    const { code, out } = await run('inspect', at('trained.thimble'), '--histograms');
    expect(code).toBe(0);
    expect(out).toMatch(/hidden\/kernel\n\s*-\d\.\d+ \|[ ▁▂▃▄▅▆▇█]{48}\| \d/);
    const { weights } = await json('inspect', at('trained.thimble'), '--histograms');
    const { histogram } = weights.find(({ name }: { name: string }) => name === 'output/kernel');
    expect(histogram.bins.reduce((sum: number, n: number) => sum + n, histogram.zeros)).toBe(160);
  });
});

describe('convert', () => {
  test('from Keras by way of .thimble to TensorFlow.js: the same outputs', async () => {
    const source = await loadKeras(new Uint8Array(await readFile(keras)));
    expect((await run('convert', keras, at('keras.thimble'))).code).toBe(0);
    expect((await run('convert', at('keras.thimble'), at('again'))).code).toBe(0);
    const x = tf.ones([2, ...(source.inputs[0]!.shape.slice(1) as number[])]);
    const outputs = (model: tfl.LayersModel) =>
      Array.from(tf.tidy(() => (model.predict(x) as tf.Tensor).dataSync()));
    const again = await tfl.loadLayersModel(`file://${at('again')}/model.json`);
    expect(outputs(again)).toEqual(outputs(source));
    x.dispose();
    source.dispose();
    again.dispose();
  });

  test('to ONNX and back: the same network, with codes of 8 bits where it has them', async () => {
    await json('convert', keras, at('whole.thimble'));
    await json('convert', keras, at('q8.thimble'), '--weights', 'int8');
    const x = tf.ones([2, ...(await inputShape(at('whole.thimble')))]);
    for (const name of ['whole', 'q8']) {
      await json('convert', at(`${name}.thimble`), at('through.onnx'));
      await json('convert', at('through.onnx'), at('back.thimble'));
      const before = await json('inspect', at(`${name}.thimble`));
      const after = await json('inspect', at('back.thimble'));
      expect(after.total.macs).toBe(before.total.macs);
      const bits = ({ weights }: { weights: { bits: number; shape: number[] }[] }) =>
        weights.filter(({ shape }) => shape.length > 1).map((weight) => weight.bits);
      expect(bits(after)).toEqual(bits(before));
      const [first, second] = await Promise.all(
        [`${name}.thimble`, 'back.thimble'].map((file) => outputs(at(file), x)),
      );
      for (const [i, value] of first!.entries()) expect(second![i]).toBeCloseTo(value, 5);
    }
    x.dispose();
  });

  test('puts weights into fewer bits', async () => {
    const { bytes } = await json('convert', at('trained'), at('w8.thimble'), '--weights', 'int8');
    expect(bytes).toBeLessThan(12_730 + 1000);
    const { weights } = await json('inspect', at('w8.thimble'));
    const kernel = weights.find(({ name }: { name: string }) => name === 'hidden/kernel');
    expect(kernel).toMatchObject({ values: 'affine', bits: 8 });
  });
});

describe('eval', () => {
  test('labels as one-hot rows, and as 0 and 1 for a probability, are classes', async () => {
    const npy = (name: string, values: number[][]) => {
      const shape = `(${values.length}, ${values[0]!.length})`;
      const head = `{'descr': '<f4', 'fortran_order': False, 'shape': ${shape}, }`.padEnd(117);
      const body = new Uint8Array(Float32Array.from(values.flat()).buffer);
      const bytes = [0x93, ...Buffer.from(`NUMPY\x01\x00v\x00${head}\n`), ...body];
      return writeFile(at(name), Uint8Array.from(bytes));
    };
    const { layers, sequential } = tfl;
    await npy('x.npy', [[2], [-1], [1], [-3]]);
    // Two outputs, x and -x; one, the sigmoid of x.
    const pair = sequential({
      layers: [
        layers.dense({
          units: 2,
          inputShape: [1],
          weights: [tf.tensor2d([[1, -1]]), tf.zeros([2])],
        }),
      ],
    });
    const one = sequential({
      layers: [
        layers.dense({
          units: 1,
          inputShape: [1],
          activation: 'sigmoid',
          weights: [tf.ones([1, 1]), tf.zeros([1])],
        }),
      ],
    });
    await saveTfjs(pair, `file://${at('pair')}`);
    await save(one, `file://${at('one.thimble')}`);
    await npy('rows.npy', [
      [1, 0],
      [0, 1],
      [0, 1],
      [0, 1],
    ]);
    await npy('bits.npy', [[1], [0], [1], [1]]);
    const rows = await json('eval', at('pair'), '--data', `${at('x.npy')},${at('rows.npy')}`);
    expect(rows.perClass).toMatchObject([
      { examples: 1, right: 1 },
      { examples: 3, right: 2 },
    ]);
    const bits = await json(
      'eval',
      at('one.thimble'),
      '--data',
      `${at('x.npy')},${at('bits.npy')}`,
    );
    expect(bits.perClass).toMatchObject([
      { examples: 1, right: 1 },
      { examples: 3, right: 2 },
    ]);
    await npy('figures.npy', [
      [0.5, 0],
      [0, 1],
      [0, 1],
      [0, 1],
    ]);
    const figures = await json('eval', at('pair'), '--data', `${at('x.npy')},${at('figures.npy')}`);
    expect(figures.mae).toBeGreaterThan(0);
    const three = [[0], [1], [2], [1]];
    await npy('three.npy', three);
    const spec = `${at('x.npy')},${at('three.npy')}`;
    const report = await run(
      'report',
      at('one.thimble'),
      at('one.thimble'),
      '--data',
      spec,
      '--robustness',
      '0',
    );
    expect(report).toMatchObject({
      code: 1,
      err: expect.stringContaining('example 2 of a batch has the label 2'),
    });
  });

  test('of early exits says where examples leave, as predictEarly does', async () => {
    const trunk = await load(new Uint8Array(await readFile(at('trained.thimble'))));
    const branchy = earlyExits(trunk, { after: ['hidden'] });
    await save(branchy, `file://${at('exits.thimble')}`);
    const { test: digits } = await data.mnist({
      source: set === 'mnist' ? 'auto' : 'synthetic',
      onProgress: false,
    });
    const { images, labels } = digits.take(300).tensors();
    // The exit is not trained: half of the examples are surer than the median, whatever its weights are.
    const entropies = tf.tidy(() => {
      const [exit] = branchy.predict(images) as tf.Tensor[];
      return tf.sum(tf.mul(exit as tf.Tensor, tf.neg(tf.log(exit as tf.Tensor))), 1).dataSync();
    });
    // Between two of them, which differ by more than the rounding of batches of another size.
    const [below, above] = entropies.sort().slice(149, 151) as Float32Array;
    const threshold = ((below as number) + (above as number)) / 2;
    const { scores, exits } = await predictEarly(branchy, images, { threshold });
    const words = ['eval', at('exits.thimble'), '--data', set, '--limit', '300'];
    const found = await json(...words, '--threshold', `${threshold}`);
    const right = tf.tidy(() => tf.equal(tf.argMax(scores, 1), tf.argMax(labels, 1)).dataSync());
    const count = (test: (n: number) => boolean) => [...exits].filter((_, n) => test(n)).length;
    expect(found.accuracy).toBeCloseTo(count((n) => right[n] === 1) / 300, 10);
    expect(found.perExit).toEqual(
      [0, 1].map((exit) => ({
        examples: count((n) => exits[n] === exit),
        right: count((n) => exits[n] === exit && right[n] === 1),
      })),
    );
    expect(found.perExit[0].examples).toBeGreaterThan(0);
    expect(found.perExit[1].examples).toBeGreaterThan(0);
    const { out } = await run(...words, '--threshold', '2', '--policy', 'confidence');
    expect(out).toMatch(/exit +examples +accuracy\n.*\n1 +0 *\n2 +300/);
    tf.dispose([images, labels, scores]);
    branchy.dispose();
  });
});

describe('compress', () => {
  test('a recipe from the command line; the file says what eval says, and makes itself again', async () => {
    const base = ['compress', at('trained'), '--data', set, '--limit', '600'];
    const flags = ['--prune', '0.6', '--quantize', '8', '--epochs', '1'];
    const report = await json(...base, ...flags, '--output', at('small.thimble'));
    expect(report.recipe.steps.map((step: object) => Object.keys(step)[0])).toEqual([
      'prune',
      'quantize',
      'encode',
    ]);
    const bytes = await readFile(at('small.thimble'));
    expect(report.bytes).toBe(bytes.length);
    expect(report.ratio).toBeCloseTo((4 * 12_730) / bytes.length, 8);
    await expect(readFile(`${at('small.thimble')}.work`)).rejects.toThrow('ENOENT');

    for (const engine of ['packed', 'tfjs']) {
      const words = ['--data', set, '--limit', '600', '--engine', engine];
      const { accuracy, examples, perClass } = await json('eval', at('small.thimble'), ...words);
      expect(examples).toBe(600);
      expect(accuracy).toBeCloseTo(report.after.test.accuracy, 2);
      const right = perClass.reduce((sum: number, each: { right: number }) => sum + each.right, 0);
      expect(right / 600).toBeCloseTo(accuracy, 10);
    }

    const { report: notes } = await json('inspect', at('small.thimble'));
    await writeFile(at('recipe.yaml'), stringify(notes.recipe));
    await json(...base, '--recipe', at('recipe.yaml'), '--output', at('again.thimble'));
    expect(await readFile(at('again.thimble'))).toEqual(bytes);
    const model = await load(new Uint8Array(bytes));
    expect(model.outputs[0]!.shape).toEqual([null, 10]);
    model.dispose();
  });

  test('a ready recipe with options of its own', async () => {
    const words = ['--recipe', 'binary', '--set', 'epochs=1', '--output', at('binary.thimble')];
    const more = ['--data', set, '--limit', '300'];
    const { code, out } = await run('compress', at('trained.thimble'), ...more, ...words);
    expect(code).toBe(0);
    expect(out).toMatch(/binary\.thimble: [\d,]+ bytes, \d+\.\d times smaller/);
    const { graph } = await runtime.decode(new Uint8Array(await readFile(at('binary.thimble'))));
    expect(graph.weights['hidden/kernel']!.encoding.values.type).toBe('binary');
  });
});

test('bench measures the packed network beside TensorFlow.js', async () => {
  const { results } = await json('bench', at('trained.thimble'), '--repeats', '3', '--batch', '2');
  expect(results.map(({ engine }: { engine: string }) => engine)).toEqual([
    'packed',
    'tfjs, thimble',
    'tfjs, wasm',
  ]);
  for (const { median, perExample } of results) {
    expect(median).toBeGreaterThan(0);
    expect(perExample).toBe(median / 2);
  }
  await tf.setBackend('thimble');
});

test('recipe prints what the library has', async () => {
  expect(Object.keys(await json('recipe'))).toEqual(Object.keys(recipes));
  const found = await json('recipe', 'mobile', '--set', 'ratio=0.25');
  expect(found).toEqual(recipes.mobile({ ratio: 0.25 }));
});

describe('ends with a sentence and a code', () => {
  beforeAll(async () => {
    const layer = { class_name: 'MyOwn', config: { name: 'mine', batch_input_shape: [null, 3] } };
    const modelTopology = { class_name: 'Sequential', config: { name: 'm', layers: [layer] } };
    await writeFile(at('own.json'), JSON.stringify({ modelTopology, weightsManifest: [] }));
    await writeFile(at('graph.json'), JSON.stringify({ format: 'graph-model' }));
    await writeFile(at('text.thimble'), 'no network');
    await writeFile(at('typo.yaml'), 'steps:\n  - prune: { spasity: 0.9 }\n');
    await writeFile(at('broken.yaml'), 'steps: [');
    await writeFile(at('round.yaml'), 'steps: &all [*all]');
    await writeFile(at('plain'), 'no folder');
    await writeFile(at('x.csv'), 'a,b,y\n1,2,0\n');
    await writeFile(at('model.onnx'), 'onnx');
    const image = PNG.sync.write(new PNG({ width: 4, height: 5 }));
    await mkdir(at('images/cat'), { recursive: true });
    await writeFile(at('images/cat/1.png'), image);
  });

  // Code 1: something is not as it should be; code 2: the command line, or the recipe, is wrong.
  test.each<[string, number, string[], string]>([
    ['a missing file', 1, ['inspect', 'gone.thimble'], 'There is no file "'],
    ['a damaged file', 1, ['inspect', 'text.thimble'], '"text.thimble": This is no .thimble file'],
    ['an unsupported layer', 1, ['inspect', 'own.json'], 'a layer of class "MyOwn"'],
    ['a damaged ONNX file', 1, ['inspect', 'model.onnx'], '"model.onnx": fromOnnx: these'],
    ['a graph model', 1, ['inspect', 'graph.json'], 'is a graph model'],
    ['an unknown ending', 2, ['convert', 'trained', 'x.pth'], 'stands for no format'],
    [
      'a threshold without exits',
      2,
      ['eval', 'trained', '--data', 'digits', '--threshold', '0.2'],
      'this one has none',
    ],
    [
      'a policy without a threshold',
      2,
      ['eval', 'trained', '--data', 'digits', '--policy', 'patience'],
      '--policy goes with --threshold',
    ],
    [
      'images of the wrong size',
      1,
      ['eval', 'trained', '--data', 'images'],
      'are 5 x 4 with 1 channel; the model takes 28 x 28 with 1 channel. Resize the images',
    ],
    [
      'a table of the wrong width',
      1,
      ['eval', 'trained', '--data', 'x.csv'],
      'have the shape [2]; the model takes [28, 28, 1]',
    ],
    ['missing data', 1, ['eval', 'trained', '--data', 'nowhere'], 'no file or folder'],
    [
      'an unknown recipe key',
      2,
      ['compress', 'trained', '--data', 'digits', '--recipe', 'typo.yaml'],
      'unknown option "steps[0].prune.spasity". Known options: sparsity,',
    ],
    [
      'a broken recipe',
      2,
      ['compress', 'trained', '--data', 'digits', '--recipe', 'broken.yaml'],
      'is neither YAML nor JSON',
    ],
    [
      'a recipe that refers to itself',
      2,
      ['compress', 'trained', '--data', 'digits', '--recipe', 'round.yaml'],
      'is neither YAML nor JSON',
    ],
    [
      'a missing recipe',
      1,
      ['compress', 'trained', '--data', 'digits', '--recipe', 'gone.yaml'],
      'none of the ready ones (anytime, binary,',
    ],
    [
      'an unknown option of a recipe',
      2,
      ['compress', 'trained', '--data', 'digits', '--recipe', 'binary', '--set', 'epoch=1'],
      'unknown option "epoch"',
    ],
    [
      'a sparsity out of range',
      2,
      ['compress', 'trained', '--data', 'digits', '--prune', '1.5'],
      'sparsity must be a number from 0 below 1, not 1.5',
    ],
    [
      'steps and a recipe',
      2,
      ['compress', 'trained', '--data', 'digits', '--prune', '0.5', '--recipe', 'binary'],
      'either --recipe, or steps by flags',
    ],
    ['no command', 2, ['frob'], "unknown command 'frob'"],
    ['a missing argument', 2, ['inspect'], "missing required argument 'file'"],
    ['an unknown flag', 2, ['inspect', 'trained', '--histogram'], "unknown option '--histogram'"],
    ['no data', 2, ['eval', 'trained'], "required option '--data <data>' not specified"],
    [
      'a batch too large',
      2,
      ['bench', 'trained', '--batch', '1000000000'],
      '--batch 1000000000: at most',
    ],
    ['no number', 2, ['bench', 'trained', '--batch', 'two'], 'whole number from 1 on'],
    ['a word of a list', 2, ['convert', 'trained', 'x.thimble', '--weights', 'int3'], 'int8'],
    [
      'the network itself as the output',
      2,
      ['compress', 'trained.thimble', '--data', 'digits', '--prune', '0.5'],
      'would replace "trained.thimble" itself',
    ],
    ['a folder as the output', 2, ['demo', '--output', 'images'], '"images" is a folder'],
    [
      'a file on the way to the output',
      2,
      ['report', 'trained', 'trained', '--data', 'digits', '--html', 'x.csv/report.html'],
      'x.csv" is no folder',
    ],
    [
      'a file where a folder is to be',
      2,
      ['convert', 'trained', 'plain/x.thimble'],
      'is no folder',
    ],
    ['what cannot be written', 2, ['convert', 'trained', 'x.keras'], 'read, not written'],
  ])('%s', async (_, code, words, message) => {
    const here = process.cwd();
    process.chdir(folder);
    try {
      const plain = await run(...words);
      expect(plain.code).toBe(code);
      expect(plain.err).toContain(message);
      expect(plain.err).not.toMatch(/^\s+at /m);
      expect(plain.out).toBe('');
      const { out, ...rest } = await run(...words, '--json', '--debug');
      expect(rest.code).toBe(code);
      expect(JSON.parse(out).error).toMatchObject({ code });
      expect(JSON.parse(out).error.message).toContain(message.slice(0, 20));
      expect(rest.err).toMatch(/^\s+at /m);
    } finally {
      process.chdir(here);
    }
  });
});

describe('report', () => {
  test('says what eval and inspect say, and writes a page', async () => {
    const small = at('report-small.thimble');
    const short = ['--data', set, '--limit', '200'];
    await json('convert', at('trained.thimble'), small, '--weights', 'int4');
    const about = ['--robustness', '20', '--repeats', '3', '--maps', '2'];
    const page = at('report.html');
    const words = ['report', at('trained'), small, ...short, ...about, '--html', page];
    const found = await json(...words);
    const evaluated = await json('eval', small, ...short);
    expect(found.after.accuracy).toBeCloseTo(evaluated.accuracy, 6);
    const { total, bytes } = await json('inspect', small);
    expect(found.after).toMatchObject({ params: total.params, macs: total.macs, bytes });
    expect(found.after.robustness.shift).toBeLessThan(found.after.accuracy);
    expect(found.after.energy.total).toBeLessThan(found.before.energy.total);
    expect(await readFile(page, 'utf8')).toContain('report-small.thimble');
    const { out } = await run('report', at('trained'), small, ...short, ...about);
    expect(out).toContain('calibration error (ECE)');
  });

  test('asks for what is missing', async () => {
    const { code, err } = await run('report', at('trained'), at('none.thimble'), '--data', set);
    expect({ code, err }).toMatchObject({
      code: 1,
      err: expect.stringContaining('There is no file'),
    });
  });
});

describe('search', () => {
  const recipe = {
    steps: [{ prune: { sparsity: { between: [0.5, 0.95] }, epochs: 1 } }, { encode: {} }],
  };
  const short = ['--data', set, '--limit', '600', '--trials', '3', '--bracket', '3'];

  test('finds a network for so many bytes, and writes it with its recipe', async () => {
    await writeFile(at('searched.yaml'), stringify(recipe));
    const output = at('searched.thimble');
    const words = [
      'search',
      at('trained'),
      ...short,
      '--recipe',
      at('searched.yaml'),
      '--output',
      output,
    ];
    const found = await json(...words, '--bytes', '16000');
    expect(found.best.outcome.bytes).toBeLessThanOrEqual(16_000);
    expect(found.trials).toHaveLength(3 + 1);
    const { notes = {}, ...inspected } = await json('inspect', output);
    expect(inspected.bytes).toBe((await readFile(output)).length);
    expect(JSON.stringify([notes, inspected])).toContain(
      String(found.best.settings['prune.sparsity']),
    );
    expect(found.report.after.test).toBeDefined();
    expect(existsSync(`${output}.search.json`)).toBe(false);
    const none = await run(...words, '--bytes', '10');
    expect(none.out).toContain('None keeps the goal.');
    expect(none.code).toBe(1);
    const told = await run(...words, '--bytes', '10', '--json');
    expect(told.code).toBe(1);
    expect(JSON.parse(told.out).best).toBeNull();
    const ready = await run(
      'search',
      at('trained'),
      ...short,
      '--bytes',
      '9',
      '--recipe',
      'mobile',
    );
    expect(ready).toMatchObject({ code: 2, err: expect.stringContaining('nothing to search') });
    expect(existsSync(`${output}.search.json`)).toBe(true);
  });

  const built = fileURLToPath(new URL('../dist/bin.js', import.meta.url));
  test.skipIf(!existsSync(built))(
    'comes to the same in threads (needs a build)',
    async () => {
      await writeFile(at('searched.yaml'), stringify(recipe));
      const words = ['search', at('trained'), ...short, '--recipe', at('searched.yaml')];
      const goal = ['--bytes', '16000'];
      const one = await json(...words, ...goal, '--output', at('one.thimble'));
      const other = ['--output', at('two.thimble'), '--threads', '2', '--json'];
      const { NODE_OPTIONS: _, ...env } = process.env;
      const out = execFileSync(process.execPath, [built, ...words, ...goal, ...other], { env });
      const two = JSON.parse(out.toString());
      expect(two.best.settings).toEqual(one.best.settings);
      expect(two.best.outcome).toEqual(one.best.outcome);
    },
    180_000,
  );

  const unfit = !existsSync(built) || spawnSync('redis-server', ['--version']).status !== 0;
  test.skipIf(unfit)(
    'and over Redis (needs a build and redis-server)',
    async () => {
      await writeFile(at('searched.yaml'), stringify(recipe));
      const { NODE_OPTIONS: _, ...env } = process.env;
      const port = 20_000 + (process.pid % 20_000);
      const server = spawn('redis-server', [
        '--port',
        `${port}`,
        '--bind',
        '127.0.0.1',
        '--save',
        '',
      ]);
      const redis = ['--redis', `redis://127.0.0.1:${port}`];
      const worker = spawn(process.execPath, [built, 'worker', ...redis], { env });
      try {
        const words = ['search', at('trained'), ...short, '--recipe', at('searched.yaml')];
        const goal = ['--bytes', '16000'];
        const one = await json(...words, ...goal, '--output', at('alone.thimble'));
        const here = process.cwd();
        process.chdir(folder); // the worker stands elsewhere
        words[1] = 'trained';
        const far = json(...words, ...goal, '--output', 'far.thimble', ...redis);
        const other = await far.finally(() => process.chdir(here));
        expect(other.best.settings).toEqual(one.best.settings);
        expect(other.best.outcome).toEqual(one.best.outcome);
        const ended = new Promise((resolve) => worker.once('exit', resolve));
        worker.kill('SIGINT');
        expect(await ended).toBe(0);
      } finally {
        worker.kill('SIGKILL');
        server.kill();
      }
    },
    180_000,
  );

  test('asks for one goal', async () => {
    for (const goals of [[], ['--bytes', '9', '--macs', '9']]) {
      const { code, err } = await run('search', at('trained'), '--data', set, ...goals);
      expect(code).toBe(2);
      expect(err).toContain('Give one goal');
    }
  });
});

test('file:// addresses are the paths in them', async () => {
  const words = ['convert', `file://${at('trained')}`, `file://${at('an%20address.thimble')}`];
  expect(await run(...words)).toMatchObject({ code: 0, err: '' });
  const there = await json('inspect', at('an address.thimble'));
  expect(await json('inspect', `file://${at('an address.thimble')}`)).toEqual(there);
  const table = join(folder, 'two.csv');
  await writeFile(table, `${Array(785).fill(0).join()}\n`.repeat(2));
  const spec = `--data=file://${table}`;
  const { examples } = await json('eval', at('an address.thimble'), spec);
  expect(examples).toBe(2);
  const { code, err } = await run('inspect', `file://${folder}/gone.thimble`);
  expect([code, err]).toEqual([1, expect.stringContaining(`no file "${folder}/gone.thimble"`)]);
});

test('convert takes the plain network of one width out of a slimmable one', async () => {
  const trained = await load(new Uint8Array(await readFile(at('trained.thimble'))));
  const several = await toSlimmable(trained, { widths: [0.5, 1] });
  await save(several, `file://${at('several.thimble')}`);
  setWidth(several, 0.5);
  const words = ['convert', at('several.thimble'), at('half.thimble'), '--width', '0.5'];
  expect((await run(...words)).code).toBe(0);
  const x = tf.randomUniform([3, 28, 28, 1], 0, 1, 'float32', 4);
  const expected = Array.from(tf.tidy(() => (several.predict(x) as tf.Tensor).dataSync()));
  const found = await outputs(at('half.thimble'), x);
  expect(found).toEqual(expected.map((value) => expect.closeTo(value, 5)));
  const half = await json('inspect', at('half.thimble'));
  expect(half.total.params).toBe(784 * 8 + 8 + 8 * 10 + 10);
  const refused = await run('convert', at('half.thimble'), at('x.thimble'), '--width', '0.5');
  expect([refused.code, refused.err]).toEqual([2, expect.stringContaining('no slimmable layers')]);
  expect((await run(...words.slice(0, -1), '0.3')).err).toContain('Its widths: 0.5, 1.');
});

describe('lottery', () => {
  const words = () => [
    ...['lottery', at('trained'), '--data', set, '--limit', '1500', '--controls', 'random'],
    ...['--seeds', '2', '--rounds', '2', '--epochs', '2'],
  ];
  type Branch = { seed: number; kind: string; round: number; remaining: number; seconds: number };
  const told = ({ branches }: { branches: Branch[] }) =>
    branches.map(({ seconds: _, ...each }) => each);

  test('finds tickets beside controls, and reads what is finished at the second call', async () => {
    const alone = await json(...words(), '--output', at('alone.lottery'));
    const kinds = ['ticket 0', 'ticket 1', 'random 1', 'ticket 2', 'random 2'];
    expect(told(alone).map(({ seed, kind, round }) => `${seed} ${kind} ${round}`)).toEqual(
      [0, 1].flatMap((seed) => kinds.map((each) => `${seed} ${each}`)),
    );
    const again = await run(...words(), '--output', at('alone.lottery'), '--seeds', '1');
    expect(again.code).toBe(0);
    expect(again.out).toMatch(/^ticket +\d+\.\d +\d+ +\d+\.\d\d$/m);
    expect(await readdir(at('alone.lottery'))).toHaveLength(10);
  });

  const queue = new URL('../dist/queue-module.js', import.meta.url);
  const unfit = !existsSync(queue) || spawnSync('redis-server', ['--version']).status !== 0;
  test.skipIf(unfit)(
    'comes to the same over Redis, with a worker killed at work (needs a build and redis-server)',
    async () => {
      const { NODE_OPTIONS: _, ...env } = process.env;
      const port = 20_001 + (process.pid % 20_000);
      const local = ['--port', `${port}`, '--bind', '127.0.0.1', '--save', ''];
      const server = spawn('redis-server', local);
      const url = `redis://127.0.0.1:${port}`;
      // What thimble worker does, but soon sure that another one is dead.
      const settings = { url, queue: 'thimble-search', module: queue.href, threads: 1 };
      const program = `import { redisWorker } from '@thimble/workers/redis';
        redisWorker({ ...${JSON.stringify(settings)}, lockSeconds: 1 });`;
      const started = () =>
        spawn(process.execPath, ['--input-type=module', '-e', program], {
          cwd: fileURLToPath(new URL('..', import.meta.url)),
          env,
          stdio: 'inherit',
        });
      const first = started();
      let second: ReturnType<typeof started> | undefined;
      try {
        const found = json(...words(), '--output', at('far.lottery'), '--redis', url);
        const finished = async () => (await readdir(at('far.lottery')).catch(() => [])).length;
        while ((await finished()) === 0) await new Promise((resolve) => setTimeout(resolve, 10));
        first.kill('SIGKILL');
        await new Promise((resolve) => first.once('exit', resolve));
        expect(await finished()).toBeLessThan(10);
        second = started();
        const one = await json(...words(), '--output', at('near.lottery'));
        expect(told(await found)).toEqual(told(one));
        expect(await finished()).toBe(10);
      } finally {
        first.kill('SIGKILL');
        second?.kill('SIGKILL');
        server.kill();
      }
    },
    180_000,
  );

  test('refuses with a sentence', async () => {
    const wrong = await run(...words(), '--controls', 'luck');
    expect([wrong.code, wrong.err]).toEqual([2, expect.stringContaining('unknown control "luck"')]);
    const far = await run(...words(), '--redis', 'nowhere');
    expect([far.code, far.err]).toEqual([2, expect.stringContaining('url must be like')]);
  });
});
