import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import * as tfl from '@tensorflow/tfjs-layers';
import { DataError, FileFormatError, OptionError } from '@thimble/base';
import { encode, encodeGraph, load as ofIo, save } from '@thimble/io';
import { useCpu } from '@thimble/testing';
import { expect, test } from 'vitest';
import { decode, load, pack } from '../src/index.ts';
import { expected, fill, inputsFor, lower } from './networks.ts';

useCpu();
const { layers } = tfl;

function network(): tfl.LayersModel {
  const model = tfl.sequential({
    layers: [
      layers.conv2d({ filters: 8, kernelSize: 3, activation: 'relu', inputShape: [8, 8, 2] }),
      layers.maxPooling2d({ poolSize: 2 }),
      layers.flatten(),
      layers.dense({ units: 16, activation: 'relu' }),
      layers.dense({ units: 5, activation: 'softmax' }),
    ],
  });
  fill(model, 1, 0.5);
  return model;
}

test.each(['float32', 'sparse', 'codebook', 'int8', 'int4'] as const)(
  'a file of %s weights runs, from bytes and from a folder and a server',
  async (weights) => {
    const model = network();
    const bytes = await encode(model, { weights });
    const [x] = inputsFor(model, 3, 2);
    const [want] = expected(model, [x!], 3);
    const loose = { float32: 1e-5, sparse: 1e-5, codebook: 0.2, int8: 0.02, int4: 0.3 }[weights];
    const net = await load(bytes);
    const scores = net.predict(x!);
    expect(scores).toBeAllClose(want!, loose);
    net.dispose();

    const folder = await mkdtemp(join(tmpdir(), 'thimble-runtime-'));
    const server = createServer((request, response) => {
      if (request.url !== '/net.thimble') response.statusCode = 404;
      response.end(bytes);
    }).listen();
    try {
      await writeFile(join(folder, 'net.thimble'), bytes);
      const place = `http://localhost:${(server.address() as AddressInfo).port}`;
      for (const address of [`file://${folder}/net.thimble`, `${place}/net.thimble`]) {
        const again = await load(address);
        expect(again.predict(x!)).toEqual(scores);
        again.dispose();
      }
      await expect(load(`file://${folder}/none.thimble`)).rejects.toThrow(FileFormatError);
      await expect(load(`${place}/none`)).rejects.toThrow('404');
      await expect(ofIo(`${place}/none`)).rejects.toThrow(FileFormatError);
    } finally {
      server.close();
      await rm(folder, { recursive: true });
    }
    model.dispose();
  },
);

test.each([
  { weights: 'float32' },
  { weights: 'int8', entropy: 'none' },
  { weights: 'int8', entropy: 'huffman' },
  { weights: 'int8', entropy: 'arithmetic' },
  { weights: 'int4' },
  { weights: 'codebook' },
  { weights: 'sparse', entropy: 'none' },
  { weights: 'sparse', entropy: 'huffman' },
  { weights: 'sparse', entropy: 'arithmetic' },
] as const)('weights are packed from a file as from arrays: %j', async (options) => {
  const model = tfl.sequential({
    layers: [
      layers.dense({ units: 37, activation: 'relu', inputShape: [101] }),
      layers.dense({ units: 5 }),
    ],
  });
  fill(model, 2, options.weights === 'sparse' ? 0.9 : 0);
  const bytes = await encode(model, options);
  const [net, same] = [await load(bytes), await pack((await decode(bytes)).graph)];
  const [x] = inputsFor(model, 3, 2);
  expect(net.predict(x!)).toEqual(same.predict(x!));
  expect(JSON.stringify(net.explain())).toBe(JSON.stringify(same.explain()));
  for (const each of [net, same, model]) each.dispose();
});

test('an option that it does not know is refused, and so is what is no file', async () => {
  const bytes = await encode(network());
  await expect(load(bytes, { thread: 2 } as never)).rejects.toThrow(OptionError);
  await expect(load(Uint8Array.of(1, 2, 3))).rejects.toThrow(FileFormatError);
});

test('a small file whose values would fill the memory is refused, and one that makes no sense', async () => {
  const graph = lower(network());
  graph.nodes[0]!.outputs[0] = [2 ** 14, 2 ** 14, 2];
  await expect(load(encodeGraph(graph).bytes)).rejects.toThrow('Give load a larger maxBytes');
  const bare = lower(network());
  bare.weights = {};
  for (const node of bare.nodes) node.weights = {};
  await expect(load(encodeGraph(bare).bytes)).rejects.toThrow(FileFormatError);
});

test('an address means the same file wherever it is read, and what is none is said', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'thimble-runtime-'));
  try {
    const model = network();
    for (const name of ['97%.thimble', 'a%20b.thimble']) {
      const address = `file://${folder}/${name}`;
      await save(model, address);
      (await load(address)).dispose();
      (await ofIo(address)).dispose();
    }
    await writeFile(join(folder, 'my net.thimble'), await encode(model));
    const { href } = pathToFileURL(join(folder, 'my net.thimble'));
    (await load(href)).dispose();
    (await ofIo(href)).dispose();
  } finally {
    await rm(folder, { recursive: true });
  }
  for (const read of [load, ofIo]) {
    await expect(read('net.thimble')).rejects.toThrow('begins with "file://"');
    await expect(read('http://127.0.0.1:1/net.thimble')).rejects.toThrow(FileFormatError);
    for (const source of [undefined, 5, new Blob([])]) {
      await expect(read(source as never)).rejects.toThrow(DataError);
    }
  }
});
