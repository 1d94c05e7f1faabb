// What every operation does with whole numbers.
import { DataError, sizeOf, UnsupportedError } from '@thimble/base';
import type { Graph, GraphNode } from './graph.ts';
import type { IntegerRun } from './integer-executor.ts';
import {
  type CodedValue,
  codeOf,
  dequantize,
  type IntegerValue,
  type RealValue,
} from './integer-value.ts';
import { eachWindow, type Windows, windowsOf } from './integer-windows.ts';

interface Site {
  graph: Graph;
  node: GraphNode;
  inputs: IntegerValue[];
  run: IntegerRun;
}
type Rule = (site: Site) => IntegerValue;

const LARGEST_BIAS = 2 ** 30;
const LARGEST_EXACT = 2 ** 24;

/** A kernel or bias as whole numbers. */
interface Kernel {
  codes: Int32Array;
  shape: number[];
  /** One step, or one per output channel. */
  scale: Float32Array;
}

/** The codes of a kernel whose outputs are along `out`, the zero point taken off. */
function kernelOf({ graph, node }: Site, role: string, out: number): Kernel {
  const { encoding, data } = graph.weights[node.weights[role]!]!;
  const { values, shape } = encoding;
  if (values.type !== 'affine' || values.group !== undefined || !data) {
    throw new UnsupportedError(
      `runInteger: the ${role} of "${node.name}" is not stored as affine codes with one step, or one per channel. Quantise it (quantizeAware), without groups.`,
    );
  }
  if (values.axis !== null && values.axis !== out) {
    throw new UnsupportedError(
      `runInteger: the steps of the ${role} of "${node.name}" are along axis ${values.axis}, not along its outputs, axis ${out}.`,
    );
  }
  const { scale } = values;
  const inner = shape.slice(out + 1).reduce((n, size) => n * size, 1);
  const codes = Int32Array.from(data, (value, i) =>
    Math.round(value / scale[Math.floor(i / inner) % scale.length]!),
  );
  return { codes, shape, scale };
}

function codedInput({ node, inputs }: Site): CodedValue {
  const [input] = inputs;
  if (input?.kind !== 'coded' || input.scale.length !== 1) {
    throw new UnsupportedError(
      `runInteger: what "${node.name}" gets has no codes. Quantise its activations (quantizeAware) and train or calibrate the model.`,
    );
  }
  return input;
}

/** Steps of the sums: `F(s_x s_w)` for each of `channels`, or one. */
function sumScale(input: CodedValue, kernel: Float32Array, repeat: number): Float32Array {
  const scale = new Float32Array(kernel.length === 1 ? 1 : kernel.length * repeat);
  for (let i = 0; i < scale.length; i++) {
    scale[i] = kernel[kernel.length === 1 ? 0 : Math.floor(i / repeat)]! * input.scale[0]!;
  }
  return scale;
}

function biasOf({ graph, node }: Site, channels: number, scale: Float32Array): Int32Array {
  const codes = new Int32Array(channels);
  const key = node.weights.bias;
  const bias = key === undefined ? undefined : graph.weights[key]!.data;
  if (bias) {
    for (let c = 0; c < channels; c++) {
      codes[c] = codeOf(bias[c]!, scale[c % scale.length]!, -LARGEST_BIAS, LARGEST_BIAS);
    }
  }
  return codes;
}

/** Notes a node whose sums may be too large for float32 to be exact; throws beyond int32. */
function checkSums(site: Site, largest: number, sums: Float64Array, bias: Int32Array): Int32Array {
  let most = 0;
  for (const code of bias) most = Math.max(most, Math.abs(code));
  if (largest + most > LARGEST_EXACT) site.run.beyondFloat32.push(site.node.name);
  for (const sum of sums) {
    if (sum < -(2 ** 31) || sum >= 2 ** 31) {
      throw new DataError(`runInteger: a sum of "${site.node.name}", ${sum}, is beyond int32.`);
    }
  }
  return Int32Array.from(sums);
}

function largestOf(codes: Int32Array): number {
  let largest = 0;
  for (const code of codes) largest = Math.max(largest, Math.abs(code));
  return largest;
}

const dense: Rule = (site) => {
  const input = codedInput(site);
  const { codes, shape, scale: steps } = kernelOf(site, 'kernel', 1);
  const [rows, columns] = shape as [number, number];
  const scale = sumScale(input, steps, 1);
  const bias = biasOf(site, columns, scale);
  const count = input.data.length / rows;
  const sums = new Float64Array(count * columns);
  for (let n = 0; n < count; n++) {
    for (let j = 0; j < columns; j++) {
      let sum = bias[j]!;
      for (let i = 0; i < rows; i++) sum += input.data[n * rows + i]! * codes[i * columns + j]!;
      sums[n * columns + j] = sum;
    }
  }
  const largest = largestOf(input.data) * largestColumn(codes, columns);
  const data = checkSums(site, largest, sums, bias);
  return activated(site, {
    kind: 'coded',
    shape: [...input.shape.slice(0, -1), columns],
    data,
    scale,
  });
};

/** The largest sum of magnitudes over an output. */
function largestColumn(codes: Int32Array, columns: number): number {
  const sums = new Float64Array(columns);
  for (let i = 0; i < codes.length; i++) sums[i % columns]! += Math.abs(codes[i]!);
  return sums.reduce((most, sum) => Math.max(most, sum), 0);
}

const convolution: Rule = (site) => {
  const input = codedInput(site);
  const {
    codes,
    shape,
    scale: steps,
  } = kernelOf(
    site,
    'kernel',
    site.graph.weights[site.node.weights.kernel!]!.encoding.shape.length - 1,
  );
  const windows = windowsOf(site.node, input.shape, shape.slice(0, -2));
  const [depth, filters] = shape.slice(-2) as [number, number];
  const scale = sumScale(input, steps, 1);
  const bias = biasOf(site, filters, scale);
  const sums = new Float64Array(windows.positions * filters);
  for (let at = 0; at < sums.length; at++) sums[at] = bias[at % filters]!;
  eachWindow(windows, (position, from, tap) => {
    for (let i = 0; i < depth; i++) {
      const x = input.data[from * depth + i]!;
      const row = (tap * depth + i) * filters;
      for (let f = 0; f < filters; f++) sums[position * filters + f]! += x * codes[row + f]!;
    }
  });
  const largest = largestOf(input.data) * largestColumn(codes, filters);
  const data = checkSums(site, largest, sums, bias);
  return activated(site, { kind: 'coded', shape: [...windows.shape, filters], data, scale });
};

const depthwise: Rule = (site) => {
  const input = codedInput(site);
  const { codes, shape, scale: steps } = kernelOf(site, 'depthwiseKernel', 2);
  const windows = windowsOf(site.node, input.shape, shape.slice(0, 2));
  const [depth, multiplier] = shape.slice(-2) as [number, number];
  const filters = depth * multiplier;
  const scale = sumScale(input, steps, multiplier);
  const bias = biasOf(site, filters, scale);
  const sums = new Float64Array(windows.positions * filters);
  for (let at = 0; at < sums.length; at++) sums[at] = bias[at % filters]!;
  eachWindow(windows, (position, from, tap) => {
    for (let f = 0; f < filters; f++) {
      const x = input.data[from * depth + Math.floor(f / multiplier)]!;
      sums[position * filters + f]! += x * codes[tap * filters + f]!;
    }
  });
  const largest = largestOf(input.data) * largestColumn(codes, filters);
  const data = checkSums(site, largest, sums, bias);
  return activated(site, { kind: 'coded', shape: [...windows.shape, filters], data, scale });
};

const averagePooling: Rule = (site) => {
  const input = codedInput(site);
  return average(input, windowsOf(site.node, input.shape));
};

const globalAveragePooling: Rule = (site) => {
  const input = codedInput(site);
  const { shape, ...made } = average(input, wholeOf(site.node, input.shape));
  return { ...made, shape: [shape[0]!, shape.at(-1)!] };
};

/** Sums over windows; where windows differ in size the values are real. */
function average(input: CodedValue, windows: Windows): CodedValue | RealValue {
  const channels = input.shape.at(-1)!;
  const sums = new Int32Array(windows.positions * channels);
  const counts = new Int32Array(windows.positions);
  eachWindow(windows, (position, from) => {
    counts[position]!++;
    for (let c = 0; c < channels; c++) {
      sums[position * channels + c]! += input.data[from * channels + c]!;
    }
  });
  const shape = [...windows.shape, channels];
  const steps = Float32Array.from(counts, (count) => input.scale[0]! / count);
  if (steps.every((step) => step === steps[0])) {
    return { kind: 'coded', shape, data: sums, scale: steps.slice(0, 1) };
  }
  const data = Float32Array.from(sums, (sum, i) => sum * steps[Math.floor(i / channels)]!);
  return { kind: 'real', shape, data };
}

/** The largest of each window; of the real numbers where channels have steps of their own order. */
const maxPooling: Rule = (site) => largestIn(site, windowsOf(site.node, site.inputs[0]!.shape));

const globalMaxPooling: Rule = (site) => {
  const { shape, ...made } = largestIn(site, wholeOf(site.node, site.inputs[0]!.shape));
  return { ...made, shape: [shape[0]!, shape.at(-1)!] } as IntegerValue;
};

function largestIn({ inputs }: Site, windows: Windows): IntegerValue {
  const input = inputs[0]!;
  const channels = input.shape.at(-1)!;
  const size = windows.positions * channels;
  const data = input.kind === 'coded' ? new Int32Array(size) : new Float32Array(size);
  const started = new Uint8Array(windows.positions);
  eachWindow(windows, (position, from) => {
    for (let c = 0; c < channels; c++) {
      const at = position * channels + c;
      const x = input.data[from * channels + c]!;
      if (!started[position] || x > data[at]!) data[at] = x;
    }
    started[position] = 1;
  });
  return { ...input, shape: [...windows.shape, channels], data } as IntegerValue;
}

/** One window over all positions. */
function wholeOf(node: GraphNode, shape: number[]): Windows {
  const sizes = shape.slice(1, -1);
  const attributes = { ...node.attributes, poolSize: sizes, strides: sizes, padding: 'valid' };
  return windowsOf({ ...node, attributes }, shape);
}

const handOn: Rule = ({ inputs }) => inputs[0]!;

/** The axes in another arrangement, values in the same order. */
const reshape: Rule = ({ node, inputs }) => {
  const input = inputs[0]!;
  if (node.attributes.dataFormat === 'channelsFirst') {
    throw new UnsupportedError(`runInteger: "${node.name}" has its channels first.`);
  }
  return { ...input, shape: [input.shape[0]!, ...(node.outputs[0] as number[])] };
};

/** Values put together by `combine` in float32, from left to right. */
const elementwise =
  (
    combine: (sum: number, next: number) => number,
    finish?: (sum: number, n: number) => number,
  ): Rule =>
  ({ node, inputs }) => {
    const [first, ...others] = inputs.map((input) => dequantize(input)) as [Float32Array];
    const size = inputs[0]!.shape[0]! * sizeOf(node.outputs[0] as number[]);
    if (inputs.some(({ data }) => data.length !== size)) {
      throw new UnsupportedError(
        `runInteger: "${node.name}" broadcasts inputs of different shapes.`,
      );
    }
    const data = Float32Array.from(first);
    for (const other of others as Float32Array[]) {
      for (let i = 0; i < data.length; i++) data[i] = combine(data[i]!, other[i]!);
    }
    if (finish) for (let i = 0; i < data.length; i++) data[i] = finish(data[i]!, inputs.length);
    return { kind: 'real', shape: inputs[0]!.shape, data };
  };

const concatenate: Rule = ({ node, inputs }) => {
  const { axis } = node.attributes;
  const { shape } = inputs[0]!;
  if (axis !== -1 && axis !== shape.length - 1) {
    throw new UnsupportedError(
      `runInteger: "${node.name}" concatenates along axis ${axis}; only the last is known.`,
    );
  }
  const widths = inputs.map((input) => input.shape.at(-1)!);
  const width = widths.reduce((sum, n) => sum + n, 0);
  const rows = inputs[0]!.data.length / widths[0]!;
  const data = new Float32Array(rows * width);
  let offset = 0;
  inputs.forEach((input, k) => {
    const reals = dequantize(input);
    for (let i = 0; i < reals.length; i++) {
      data[Math.floor(i / widths[k]!) * width + offset + (i % widths[k]!)] = reals[i]!;
    }
    offset += widths[k]!;
  });
  return { kind: 'real', shape: [...shape.slice(0, -1), width], data };
};

const activationLayer: Rule = (site) => activated(site, site.inputs[0]!);

const reluLayer: Rule = (site) => {
  const { maxValue } = site.node.attributes;
  const below = relu(site.inputs[0]!);
  if (maxValue === null || maxValue === undefined) return below;
  return perValue(below, (x) => Math.min(x, Math.fround(maxValue as number)));
};

/** The activation function of a node, applied to what it made. */
function activated({ node }: Site, value: IntegerValue): IntegerValue {
  const { activation = 'linear' } = node.attributes;
  switch (activation) {
    case 'linear':
    case null:
      return value;
    case 'relu':
      return relu(value);
    case 'relu6':
      return perValue(relu(value), (x) => Math.min(x, 6));
    case 'sigmoid':
      return perValue(value, (x) => 1 / (1 + Math.exp(-x)));
    case 'tanh':
      return perValue(value, Math.tanh);
    case 'softmax':
      return softmax(value);
    default:
      throw new UnsupportedError(
        `runInteger: "${node.name}" has the activation ${activation}; known are linear, relu, relu6, sigmoid, tanh and softmax.`,
      );
  }
}

function relu(value: IntegerValue): IntegerValue {
  const data = value.data.map((x) => Math.max(0, x));
  return { ...value, data } as IntegerValue;
}

function perValue(value: IntegerValue, f: (x: number) => number): RealValue {
  return { kind: 'real', shape: value.shape, data: dequantize(value).map(f) };
}

const softmaxLayer: Rule = ({ inputs }) => softmax(inputs[0]!);

function softmax(value: IntegerValue): RealValue {
  const data = Float32Array.from(dequantize(value));
  const width = value.shape.at(-1)!;
  for (let start = 0; start < data.length; start += width) {
    const row = data.subarray(start, start + width);
    const most = row.reduce((a, b) => Math.max(a, b));
    const powers = Array.from(row, (x) => Math.exp(x - most));
    const total = powers.reduce((sum, power) => sum + power, 0);
    row.set(powers.map((power) => power / total));
  }
  return { kind: 'real', shape: value.shape, data };
}

/** Rules by operation. */
export const integerRules: Readonly<Record<string, Rule>> = {
  dense,
  conv1d: convolution,
  conv2d: convolution,
  depthwiseConv2d: depthwise,
  averagePooling1d: averagePooling,
  averagePooling2d: averagePooling,
  globalAveragePooling1d: globalAveragePooling,
  globalAveragePooling2d: globalAveragePooling,
  maxPooling1d: maxPooling,
  maxPooling2d: maxPooling,
  globalMaxPooling1d: globalMaxPooling,
  globalMaxPooling2d: globalMaxPooling,
  flatten: reshape,
  reshape,
  dropout: handOn,
  spatialDropout1d: handOn,
  gaussianDropout: handOn,
  gaussianNoise: handOn,
  alphaDropout: handOn,
  inputLayer: handOn,
  activation: activationLayer,
  reLU: reluLayer,
  softmax: softmaxLayer,
  add: elementwise((a, b) => a + b),
  subtract: elementwise((a, b) => a - b),
  multiply: elementwise((a, b) => a * b),
  average: elementwise(
    (a, b) => a + b,
    (sum, n) => sum * Math.fround(1 / n),
  ),
  concatenate,
};
