import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { FileFormatError, NoMatchError, OptionError, ThimbleError } from '@thimble/base';
import { lower } from '@thimble/core';
import {
  encode,
  encodeGraph,
  encodeWithReport,
  load,
  registerFileHandlers,
  save,
  saveTfjs,
  tfjsArtifacts,
  withNotes,
} from '@thimble/io';
import { decode } from '@thimble/runtime';
import { useCpu } from '@thimble/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { MODELS, modelNamed, outputsOf } from './models.ts';

useCpu();

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'thimble-io-'));
});
afterAll(() => rm(folder, { recursive: true }));

describe.each(MODELS)('%s', (name) => {
  it('comes back as the graph that it was lowered to', async () => {
    const model = modelNamed(name);
    const graph = lower(model);
    const file = await decode(await encode(model));
    expect({ ...file.graph, weights: {} }).toEqual(
      JSON.parse(JSON.stringify({ ...graph, weights: {} })),
    );
    expect(Object.keys(file.graph.weights)).toEqual(Object.keys(graph.weights));
    for (const [key, { data, encoding }] of Object.entries(graph.weights)) {
      expect(file.graph.weights[key]!.data).toEqual(data);
      expect(file.graph.weights[key]!.encoding.shape).toEqual(encoding.shape);
    }
  });

  it('comes back as a model with the same outputs, and leaves nothing behind', async () => {
    const model = modelNamed(name);
    const bytes = await encode(model);
    const before = tf.memory().numTensors;
    const again = await load(bytes);
    expect(outputsOf(again)).toEqual(outputsOf(model));
    // TensorFlow.js frees a shared layer only when it is disposed of once per application.
    const shared = again.layers.filter((layer) => layer.inboundNodes.length > 1);
    again.dispose();
    for (const layer of shared) layer.dispose();
    expect(tf.memory().numTensors).toBe(before);
  });
});

it('layers that are called as an activation function is', async () => {
  const { softmax, elu, activation } = tfl.layers;
  const layers = [elu({ inputShape: [5] }), activation({ activation: 'elu' }), softmax()];
  const model = tfl.sequential({ layers });
  const again = await load(await encode(model));
  expect(again.layers.map((layer) => layer.getClassName())).toEqual([
    'InputLayer',
    'ELU',
    'Activation',
    'Softmax',
  ]);
  expect(outputsOf(again)).toEqual(outputsOf(model));
});

describe('files that describe what cannot be', () => {
  const refused = async (message: string, change: (graph: ReturnType<typeof lower>) => void) => {
    const graph = lower(modelNamed('sequential'));
    change(graph);
    const before = tf.memory().numTensors;
    const { bytes } = encodeGraph(graph);
    await expect(load(bytes)).rejects.toThrow(message);
    await expect(load(bytes)).rejects.toThrow(ThimbleError);
    expect(tf.memory().numTensors).toBe(before);
  };
  const nodeOf = (graph: ReturnType<typeof lower>, op: string) =>
    graph.nodes.find((node) => node.op === op)!;

  it('refuses a layer of more weights than there are values, before it makes them', () =>
    refused('more than there are values', (graph) => {
      nodeOf(graph, 'dense').attributes.units = 2 ** 28;
    }));

  it('refuses axes beyond all sense', () =>
    refused('more than there are values', (graph) => {
      const node = nodeOf(graph, 'batchNormalization');
      Object.assign(node, { op: 'prelu', weights: {}, attributes: { sharedAxes: [2 ** 31 - 1] } });
    }));

  it('refuses by name what TensorFlow.js refuses', () =>
    refused('makes no sense', (graph) => {
      nodeOf(graph, 'depthwiseConv2d').op = 'input';
    }));
});

it('other notes in a file give what encoding with them gives', async () => {
  const model = modelNamed('sequential');
  const [labels, report] = [['ä', 'b'], { accuracy: 0.5, steps: [{ name: 'prune' }] }];
  const long = { ...report, more: 'x'.repeat(300) };
  const plain = await encode(model, { labels });
  for (const notes of [report, long]) {
    const noted = withNotes(plain, { report: notes });
    const wanted = await encodeWithReport(model, { labels, report: notes });
    expect(noted.bytes).toEqual(wanted.bytes);
    expect(noted.header).toBe(wanted.header);
    expect(withNotes(noted.bytes, { report }).bytes).toEqual(withNotes(plain, { report }).bytes);
  }
  // A file of fewer bytes than its values need: zeros fill it up.
  const zeros = tfl.sequential({
    layers: [tfl.layers.dense({ units: 1100, inputShape: [1000], kernelInitializer: 'zeros' })],
  });
  const filled = await encode(zeros);
  expect(withNotes(filled, { report }).bytes).toEqual(await encode(zeros, { report }));
  expect(() => withNotes(plain, { reports: 1 } as object)).toThrow(OptionError);
  expect(() => withNotes(plain.subarray(1), { report })).toThrow(FileFormatError);
});

describe('addresses', () => {
  it('writes and reads file://, and leaves no other file', async () => {
    const model = modelNamed('sequential');
    const address = `file://${folder}/deep/er/model.thimble`;
    const { bytes } = await save(model, address);
    expect(await readdir(`${folder}/deep/er`)).toEqual(['model.thimble']);
    expect(outputsOf(await load(address))).toEqual(outputsOf(model));
    await expect(load(`file://${folder}/none.thimble`)).rejects.toThrow(FileFormatError);
    await expect(save(model, 'model.thimble')).rejects.toThrow(OptionError);
    await expect(load(new Blob([bytes]).stream())).resolves.toBeInstanceOf(tfl.LayersModel);
  });

  it('registers file:// with tfjs itself', async () => {
    registerFileHandlers();
    registerFileHandlers();
    const model = modelNamed('residual, concat, two inputs and outputs');
    await model.save(`file://${folder}/stock`);
    const before = await readdir(`${folder}/stock`);
    expect(before).toHaveLength(2);
    for (const place of ['stock', 'stock/model.json']) {
      const again = await tfl.loadLayersModel(`file://${folder}/${place}`);
      expect(outputsOf(again)).toEqual(outputsOf(model));
    }
    // A second save leaves no weights of the first.
    await modelNamed('sequential').save(`file://${folder}/stock`);
    const after = await readdir(`${folder}/stock`);
    expect(after).toHaveLength(2);
    expect(after).not.toEqual(before);
    await expect(tfl.loadLayersModel(`file://${folder}/none`)).rejects.toThrow(FileFormatError);
    await writeFile(`${folder}/stock/model.json`, '{');
    await expect(tfl.loadLayersModel(`file://${folder}/stock`)).rejects.toThrow(FileFormatError);
  });

  it.each([
    ['uint8', 1 / 255],
    ['uint16', 1 / 65535],
    ['float16', 2 ** -11],
  ] as const)('stock tfjs loads what is quantised to %s', async (quantization, error) => {
    const model = modelNamed('sequential');
    await saveTfjs(model, `file://${folder}/${quantization}`, { quantization });
    registerFileHandlers();
    const again = await tfl.loadLayersModel(`file://${folder}/${quantization}`);
    for (const [i, weight] of again.getWeights().entries()) {
      const wanted = model.getWeights()[i]!.dataSync();
      const largest = Math.max(...wanted.map(Math.abs));
      // Half a step of the range, which is at most twice the largest; and the shift that makes 0 exact.
      weight.dataSync().forEach((value, k) => {
        expect(Math.abs(value - wanted[k]!)).toBeLessThanOrEqual(2 * error * largest);
      });
    }
    await expect(tfjsArtifacts(model, { quantization: 'int4' as 'uint8' })).rejects.toThrow(
      OptionError,
    );
  });
});

describe('options', () => {
  it('tells how far it is, and ends when it is told to', async () => {
    const model = modelNamed('sequential');
    const entries = model.getWeights().reduce((sum, { size }) => sum + size, 0);
    const told: number[] = [];
    await encode(model, { progress: ({ done, total }) => void told.push(done / total) });
    expect(told).toHaveLength(model.getWeights().length);
    expect(told[0]).toBe(model.getWeights()[0]!.size / entries);
    expect(told.at(-1)).toBe(1);
    const end = new AbortController();
    const seen: number[] = [];
    const ended = encode(model, {
      signal: end.signal,
      progress: ({ done }) => {
        seen.push(done);
        if (seen.length === 2) end.abort(new Error('enough'));
      },
    });
    await expect(ended).rejects.toThrow('enough');
    expect(seen).toHaveLength(2);
  });

  it('puts weights into other forms', async () => {
    const model = modelNamed('sequential');
    const kinds = async (weights: Parameters<typeof encode>[1]) =>
      (await encodeWithReport(model, weights)).weights
        .filter(({ name }) => /^[^s].*\/(kernel|depthwiseKernel)$/.test(name))
        .map(({ values }) => values);
    expect(await kinds({ weights: 'int8' })).toEqual(['affine', 'affine', 'affine']);
    expect(await kinds({ weights: 'binary' })).toEqual(['binary', 'binary', 'binary']);
    expect(await kinds({ weights: { 'dense*': 'int4' } })).toEqual(['float', 'float', 'affine']);
    expect(await kinds({ weights: { '*': 'int4', 'dense*/kernel': 'binary' } })).toEqual([
      'affine',
      'affine',
      'binary',
    ]);
  });

  it('int8 is within half a step of each channel', async () => {
    const model = modelNamed('sequential');
    const { graph } = await decode(await encode(model, { weights: 'int8' }));
    const kernel = model.layers[0]!.getWeights()[0]!.dataSync();
    const { data, encoding } = Object.values(graph.weights)[0]!;
    const { values } = encoding;
    if (values.type !== 'affine') throw new Error('not affine');
    expect(values).toMatchObject({ bits: 8, axis: 3 });
    for (const [i, value] of data!.entries()) {
      expect(Math.abs(value - kernel[i]!)).toBeLessThanOrEqual(0.5001 * values.scale[i % 3]!);
    }
  });

  it('keeps labels, preprocessing and report', async () => {
    const notes = {
      labels: ['null', 'один', '一'],
      preprocessing: { mean: [0.5], note: 'größer' },
      report: { steps: ['prune'] },
    };
    const file = await decode(await encode(modelNamed('recurrent'), notes));
    expect(file).toMatchObject(notes);
  });

  it('refuses what it does not know', async () => {
    const model = modelNamed('recurrent');
    const of = (options: object) => encode(model, options);
    await expect(of({ weight: 'int8' })).rejects.toThrow(OptionError);
    await expect(of({ weights: 'int7' })).rejects.toThrow(OptionError);
    await expect(of({ weights: { nothing: 'int8' } })).rejects.toThrow(NoMatchError);
    await expect(of({ entropy: 'zip' })).rejects.toThrow(OptionError);
    await expect(of({ lambda: -1 })).rejects.toThrow(OptionError);
    await expect(of({ indexBits: 9 })).rejects.toThrow(OptionError);
  });

  it('refuses recurrent layers of given cells, which a file of tfjs can hold', async () => {
    const cell = [tfl.layers.lstmCell({ units: 3 }), tfl.layers.gruCell({ units: 2 })];
    const stacked = tfl.layers.rnn({ cell, name: 'stacked', inputShape: [4, 2] });
    const model = tfl.sequential({ layers: [stacked] });
    await expect(encode(model)).rejects.toThrow(
      'encode: layer "stacked" is a recurrent layer of given cells, which a .thimble file cannot hold.',
    );
    registerFileHandlers();
    await saveTfjs(model, `file://${folder}/stacked`);
    const again = await tfl.loadLayersModel(`file://${folder}/stacked/model.json`);
    const x = tf.reshape(tf.range(0, 8), [1, 4, 2]);
    expect((again.predict(x) as tf.Tensor).dataSync()).toBeAllClose(
      (model.predict(x) as tf.Tensor).dataSync(),
    );
  });
});
