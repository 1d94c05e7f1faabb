// What is written, run by onnxruntime-web. Its package takes 140 MB, so that the root does not install it: this
// runs where `npm ci --ignore-scripts --prefix benchmarks/peers` was run, and is reported as skipped elsewhere.
import { existsSync } from 'node:fs';
import * as tf from '@tensorflow/tfjs-core';
import { lower } from '@thimble/core';
import { runInteger } from '@thimble/graph';
import { graphToOnnx, toOnnx } from '@thimble/io';
import { quantize } from '@thimble/quantization';
import { useCpu } from '@thimble/testing';
import { describe, expect, it } from 'vitest';
import { expectClose, inFront, made, NETS, predicted } from './onnx-nets.ts';

useCpu();

const FOLDER = new URL('../../../benchmarks/peers/node_modules/onnxruntime-web/', import.meta.url);
const MODULE = new URL('dist/ort.wasm.min.mjs', FOLDER);

interface Tensor {
  dims: readonly number[];
  data: Float32Array;
}

/** What is used of onnxruntime-web. */
interface Runtime {
  env: { wasm: { numThreads: number; wasmPaths: string } };
  Tensor: new (type: 'float32', data: Float32Array, dims: number[]) => Tensor;
  InferenceSession: {
    create(
      bytes: Uint8Array,
      options: object,
    ): Promise<{
      inputNames: string[];
      outputNames: string[];
      run(inputs: Record<string, Tensor>): Promise<Record<string, Tensor>>;
    }>;
  };
}

/** The outputs of a file for `x`, the graph optimised as much as it can be. */
async function outputsOf(bytes: Uint8Array, x: tf.Tensor): Promise<Tensor[]> {
  const ort = (await import(/* @vite-ignore */ MODULE.href)) as Runtime;
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmPaths = new URL('dist/', FOLDER).href;
  const options = { executionProviders: ['wasm'], graphOptimizationLevel: 'all' };
  const session = await ort.InferenceSession.create(bytes, options);
  const given = new ort.Tensor('float32', Float32Array.from(x.dataSync()), x.shape);
  const outputs = await session.run({ [session.inputNames[0]!]: given });
  return session.outputNames.map((name) => outputs[name]!);
}

describe.skipIf(!existsSync(MODULE))('onnxruntime-web', () => {
  it.each(NETS)('%s gives what the model gives', async (name) => {
    const { model, x } = made(name);
    const wanted = predicted(model, x);
    const last = await outputsOf(toOnnx(model), x);
    const first = await outputsOf(toOnnx(model, { layout: 'channelsFirst' }), inFront(x));
    expect(last).toHaveLength(wanted.length);
    wanted.forEach((output, i) => {
      expect(last[i]!.dims).toEqual(output.shape);
      expectClose(last[i]!.data, output.dataSync(), 1e-5);
      const turned = inFront(output);
      expect(first[i]!.dims).toEqual(turned.shape);
      expectClose(first[i]!.data, turned.dataSync(), 1e-5);
    });
  });

  it.each(NETS.slice(0, 3))('%s in QDQ gives what integers give', async (name) => {
    const { model, x } = made(name);
    const calibration = { xs: x, ys: tf.zeros([4, 10]) };
    const q = await quantize(model, { bits: 8, examples: 4, progress: false, calibration });
    const graph = lower(q);
    const [wanted] = runInteger(graph, [Float32Array.from(x.dataSync())]).outputs;
    const [output] = await outputsOf(graphToOnnx(graph), x);
    // Probabilities; a sum that lies between two codes may fall on either.
    expectClose(output!.data, wanted!, 1e-3);
  });
});
