// The table of cases is complete: every kernel of wasm, cpu and thimble runs in some case, or is on the
// list of those that no case needs.
import '../../src/index.ts';
import * as tf from '@tensorflow/tfjs-core';
import { expect, test } from 'vitest';
import { layerKernels } from '../../src/layers/index.ts';
import { registerChainedOps } from '../helpers.ts';
import { allCases } from './cases/index.ts';

const EXCLUDED: Record<string, string[]> = {
  'rounding to codes, which quantisation asks for by name; its package tests it on both backends': [
    'ThimbleCodes',
    'ThimbleCodesGrad',
    'ThimbleFakeQuant',
    'ThimbleFakeQuantGrad',
  ],
  'signs, which binary layers ask for by name; their package tests them on both backends': [
    'ThimbleBinaryConv2D',
    'ThimbleBinaryMatMul',
    'ThimbleBinarySample',
    'ThimbleBinarySign',
    'ThimbleBinaryWeights',
    'ThimbleBinaryWeightsGrad',
    'ThimbleCentreClip',
  ],
  'masks, which pruning asks for by name; tested in mask.test.ts': ['ThimbleMask'],
  'complex numbers and Fourier transforms, which wasm does not have': [
    'Complex',
    'ComplexAbs',
    'FFT',
    'IFFT',
    'Imag',
    'Real',
  ],
  'strings, which live outside of the heap': [
    'StaticRegexReplace',
    'StringNGrams',
    'StringSplit',
    'StringToHashBucketFast',
  ],
  'ragged and sparse tensors: no layer makes them': [
    'RaggedGather',
    'RaggedRange',
    'RaggedTensorToTensor',
    'SparseFillEmptyRows',
    'SparseReshape',
    'SparseSegmentMean',
    'SparseSegmentSum',
  ],
  'searching for boxes, after a network': [
    'NonMaxSuppressionV3',
    'NonMaxSuppressionV4',
    'NonMaxSuppressionV5',
  ],
  'random numbers: every backend draws others': ['Multinomial'],
  'drawing on a canvas': ['Draw'],
  'run by the layers of tfjs-layers alone': layerKernels.map(({ kernelName }) => kernelName),
  'never called: tf.logicalXor is made of and, or and not': ['LogicalXor'],
};

test('every kernel runs in a case, or is excluded by name', async () => {
  await tf.setBackend('thimble');
  registerChainedOps();
  const ran = new Set<string>();
  for (const kernel of tf.getKernelsForBackend('thimble')) {
    const { kernelFunc, kernelName } = kernel;
    kernel.kernelFunc = (call) => {
      ran.add(kernelName);
      return kernelFunc(call);
    };
  }
  for (const { compute } of allCases) compute(4);
  const excluded = Object.values(EXCLUDED).flat();
  const kernels = ['cpu', 'wasm', 'thimble'].flatMap((backend) =>
    tf.getKernelsForBackend(backend).map(({ kernelName }) => kernelName),
  );
  const missing = kernels.filter((name) => !ran.has(name) && !excluded.includes(name));
  expect([...new Set(missing)].sort(), 'kernels that no case runs').toEqual([]);
  expect(excluded.filter((name) => ran.has(name) || !kernels.includes(name))).toEqual([]);
});

test('every case has a name of its own', () => {
  const names = allCases.map(({ name }) => name);
  expect(names.filter((name, i) => names.indexOf(name) !== i)).toEqual([]);
});
