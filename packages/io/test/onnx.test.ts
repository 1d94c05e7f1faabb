import { readFile } from 'node:fs/promises';
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { OptionError, UnsupportedError } from '@thimble/base';
import { lower } from '@thimble/core';
import { type Graph, runInteger } from '@thimble/graph';
import {
  encodeGraph,
  fromOnnx,
  graphOfOnnx,
  graphToOnnx,
  type ToOnnxOptions,
  toOnnx,
} from '@thimble/io';
import { quantize } from '@thimble/quantization';
import { decode } from '@thimble/runtime';
import { useCpu } from '@thimble/testing';
import { describe, expect, it } from 'vitest';
import {
  ATTRIBUTES,
  decodeModel,
  encodeModel,
  type OnnxNode,
  type OnnxTensor,
} from '../src/onnx/messages.ts';
import { expectClose, inFront, made, NETS, predicted } from './onnx-nets.ts';

useCpu();

interface Numbers {
  shape: number[];
  data: number[];
}

/** A file that onnx/make.py wrote, what goes in and what onnxruntime gives. */
async function fixture(name: string): Promise<{ bytes: Uint8Array; x: Numbers; y: Numbers[] }> {
  const place = new URL(`onnx/${name}`, import.meta.url);
  const text = await readFile(new URL(`${place}.json`), 'utf8');
  return { bytes: await readFile(new URL(`${place}.onnx`)), ...JSON.parse(text) };
}

describe('what others wrote', () => {
  it.each(['images', 'sequences'])('%s gives what onnxruntime gives', async (name) => {
    const { bytes, x, y } = await fixture(name);
    const model = fromOnnx(bytes, { layout: 'file' });
    const outputs = predicted(model, tf.tensor(x.data, x.shape));
    expect(outputs.map(({ shape }) => shape)).toEqual(y.map(({ shape }) => shape));
    outputs.forEach((output, i) => {
      expectClose(output.dataSync(), y[i]!.data, 1e-6);
    });
  });

  it('takes images with their channels last unless asked not to', async () => {
    const { bytes, x, y } = await fixture('images');
    const model = fromOnnx(bytes);
    expect(model.inputs[0]!.shape).toEqual([null, 11, 10, 3]);
    const images = tf.transpose(tf.tensor(x.data, x.shape), [0, 2, 3, 1]);
    const [classes, , , turned, pooled] = predicted(model, images);
    expectClose(classes!.dataSync(), y[0]!.data, 1e-6);
    expectClose(turned!.dataSync(), y[3]!.data, 1e-6);
    const back = tf.transpose(pooled as tf.Tensor4D, [0, 3, 1, 2]);
    expectClose(back.dataSync(), y[4]!.data, 1e-6);
  });

  it('reads constants of nodes that stand between a layer and what ends it, as PyTorch writes them', () => {
    const { conv2d } = tfl.layers;
    const layer = conv2d({ filters: 2, kernelSize: 1, activation: 'relu6', inputShape: [2, 2, 1] });
    const model = tfl.sequential({ layers: [layer] });
    const file = decodeModel(toOnnx(model));
    const { nodes, initializers } = file.graph!;
    const clip = nodes.findIndex(({ op }) => op === 'Clip');
    const bounds = nodes[clip]!.inputs.slice(1).map((name): OnnxNode => {
      const place = initializers.findIndex((tensor) => tensor.name === name);
      const [t] = initializers.splice(place, 1) as [OnnxTensor];
      const value = { name: 'value', type: ATTRIBUTES.tensor, t, floats: [], ints: [] };
      return { op: 'Constant', inputs: [], outputs: [name], attributes: [value] };
    });
    nodes.splice(clip, 0, ...bounds);
    const again = fromOnnx(encodeModel(file));
    expect(again.layers.map((own) => own.getClassName())).toEqual(['InputLayer', 'Conv2D']);
    const x = tf.tensor([-9, -1, 2, 30], [1, 2, 2, 1]);
    expectClose(predicted(again, x)[0]!.dataSync(), predicted(model, x)[0]!.dataSync(), 1e-6);
  });

  it.each(['u8s8', 's8s8'])('runs %s of onnxruntime in integers', async (name) => {
    const { bytes, x, y } = await fixture(name);
    const graph = graphOfOnnx(bytes);
    const images = tf.transpose(tf.tensor(x.data, x.shape), [0, 2, 3, 1]);
    const given = [Float32Array.from(images.dataSync())];
    const kernels = Object.values(graph.weights).filter(
      ({ encoding }) => encoding.shape.length > 1,
    );
    expect(kernels).toHaveLength(3);
    for (const { encoding, data } of kernels) {
      const { values } = encoding;
      if (values.type !== 'affine') throw new Error(`a kernel is ${values.type}`);
      const { scale, zeroPoint, bits } = values;
      expect([bits, ...new Set(zeroPoint)]).toEqual([8, 128]); // int8 codes around 0
      const code = Math.max(...data!.map(Math.abs)) / Math.max(...scale);
      expect(code).toBeLessThan(127.01);
    }
    const { outputs } = runInteger(graph, given);
    expectClose(outputs[0]!, y[0]!.data, 1e-6);
    // Kept in a .thimble file.
    const file = await decode(encodeGraph(graph).bytes);
    expect(runInteger(file.graph, given).outputs).toEqual(outputs);
  });
});

describe('what is written', () => {
  it.each(NETS)('%s comes back with the same outputs', (name) => {
    const { model, x } = made(name);
    const wanted = predicted(model, x);
    const again = fromOnnx(toOnnx(model));
    expect(again.inputs.map(({ shape }) => shape)).toEqual(model.inputs.map(({ shape }) => shape));
    predicted(again, x).forEach((output, i) => {
      expect(output.shape).toEqual(wanted[i]!.shape);
      expectClose(output.dataSync(), wanted[i]!.dataSync(), 1e-6);
    });
  });

  it.each(NETS)('%s comes back from channels first', (name) => {
    const { model, x } = made(name);
    const wanted = predicted(model, x).map(inFront);
    const bytes = toOnnx(model, { layout: 'channelsFirst' });
    predicted(fromOnnx(bytes, { layout: 'file' }), inFront(x)).forEach((output, i) => {
      expect(output.shape).toEqual(wanted[i]!.shape);
      expectClose(output.dataSync(), wanted[i]!.dataSync(), 1e-6);
    });
  });

  it('images come back with their channels last, whatever reads them', () => {
    const { layers } = tfl;
    const image = () => tfl.input({ shape: [5, 4, 1] });
    const on = (layer: tfl.layers.Layer, x: tfl.SymbolicTensor) =>
      layer.apply(x) as tfl.SymbolicTensor;
    const readers = [
      () => layers.flatten(),
      () => layers.dense({ units: 3 }),
      () => layers.reLU(),
      () => layers.zeroPadding2d({ padding: 1 }),
      () => layers.permute({ dims: [3, 1, 2] }),
    ];
    for (const reader of readers) {
      const alone = image();
      const beside = image();
      const conv = layers.conv2d({ filters: 2, kernelSize: 3 });
      for (const model of [
        tfl.model({ inputs: alone, outputs: on(reader(), alone) }),
        tfl.model({ inputs: beside, outputs: [on(reader(), beside), on(conv, beside)] }),
      ]) {
        const x = tf.reshape(tf.range(0, 40), [2, 5, 4, 1]);
        const wanted = predicted(model, x);
        predicted(fromOnnx(toOnnx(model)), x).forEach((output, i) => {
          expect(output.shape).toEqual(wanted[i]!.shape);
          expectClose(output.dataSync(), wanted[i]!.dataSync(), 1e-6);
        });
      }
    }
  });

  it.each(NETS.slice(0, 3))('%s in integers computes the same', async (name) => {
    const { model, x } = made(name);
    const calibration = { xs: x, ys: tf.zeros([4, 10]) };
    const options = { bits: 8, examples: 4, progress: false } as const;
    const graph = lower(await quantize(model, { ...options, calibration }));
    const again = graphOfOnnx(graphToOnnx(graph));
    const given = [Float32Array.from(x.dataSync())];
    expect(runInteger(again, given).outputs).toEqual(runInteger(graph, given).outputs);
    expect(coded(again)).toBe(coded(graph));
    // Weights alone: the same numbers as the model of floats has.
    const weights = await quantize(model, options);
    const [output] = predicted(fromOnnx(toOnnx(weights)), x);
    expectClose(output!.dataSync(), predicted(weights, x)[0]!.dataSync(), 1e-6);
    expect(graphToOnnx(graph).length).toBeLessThan(0.45 * toOnnx(model).length);
    const floats = graphOfOnnx(graphToOnnx(graph, { quantized: false }));
    expect(coded(floats)).toBe(0);
  });

  it('writes grouped convolutions of a file as they came', async () => {
    const { bytes, x, y } = await fixture('images');
    const written = toOnnx(fromOnnx(bytes));
    const groups = decodeModel(written)
      .graph!.nodes.filter(({ op }) => op === 'Conv')
      .map(({ attributes }) => attributes.find(({ name }) => name === 'group')!.i!);
    expect(groups.sort((a, b) => a - b)).toEqual([1, 1, 1, 1, 4, 8]);
    const again = fromOnnx(written, { layout: 'file' });
    const images = tf.transpose(tf.tensor(x.data, x.shape), [0, 2, 3, 1]);
    expectClose(predicted(again, images)[0]!.dataSync(), y[0]!.data, 1e-6);
  });

  it('leaves no tensor behind', () => {
    const { model } = made('residual and concat');
    const bytes = toOnnx(model);
    const before = tf.memory().numTensors;
    toOnnx(model);
    fromOnnx(bytes).dispose();
    expect(tf.memory().numTensors).toBe(before);
  });
});

/** Inputs of nodes that are rounded. */
function coded(graph: Graph): number {
  return graph.nodes.filter(({ codes }) => codes?.inputs?.some(Boolean)).length;
}

describe('what cannot be written', () => {
  const { layers } = tfl;
  it('names the layer', () => {
    const sequential = (...list: tfl.layers.Layer[]) => tfl.sequential({ layers: list });
    const lstm = sequential(layers.lstm({ units: 2, inputShape: [3, 2], name: 'memory' }));
    expect(() => toOnnx(lstm)).toThrow(UnsupportedError);
    expect(() => toOnnx(lstm)).toThrow(/"memory" is a lstm/);
    const flat = layers.timeDistributed({ layer: layers.flatten(), inputShape: [3, 2, 2] });
    expect(() => toOnnx(sequential(flat))).toThrow(/TimeDistributed/);
    const norm = layers.batchNormalization({ axis: 1, inputShape: [3, 2], name: 'norm' });
    expect(() => toOnnx(sequential(norm))).toThrow(/"norm" is along axis 1/);
    const first = { dataFormat: 'channelsFirst', inputShape: [3, 2, 2], name: 'own' } as const;
    for (const layer of [
      layers.flatten(first as never),
      layers.globalMaxPooling2d(first as never),
    ]) {
      expect(() => toOnnx(sequential(layer))).toThrow(/"own" has its channels first/);
    }
  });

  it('refuses activations of more than 8 bits', async () => {
    const model = tfl.sequential({ layers: [layers.dense({ units: 2, inputShape: [3] })] });
    const calibration = { xs: tf.reshape(tf.range(0, 12), [4, 3]), ys: tf.zeros([4, 2]) };
    const q = await quantize(model, { activations: 10, progress: false, calibration });
    expect(() => toOnnx(q)).toThrow(/have 10 bits/);
    expect(() => toOnnx(q, { quantized: false })).not.toThrow();
  });

  it('refuses unknown options', () => {
    const model = tfl.sequential({ layers: [layers.dense({ units: 1, inputShape: [1] })] });
    expect(() => toOnnx(model, { opset: 9 } as ToOnnxOptions)).toThrow(OptionError);
    expect(() => toOnnx(model, { layout: 'nchw' as 'channelsFirst' })).toThrow(OptionError);
    expect(() => fromOnnx(toOnnx(model), { layout: 'nchw' as 'file' })).toThrow(OptionError);
  });
});
