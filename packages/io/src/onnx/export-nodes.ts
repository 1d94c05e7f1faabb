// What every operation becomes in ONNX.
import { sizeOf, UnsupportedError } from '@thimble/base';
import type { GraphNode, Shape } from '@thimble/graph';
import { activated, activationNode } from './export-activations.ts';
import { bias, type Kernel, kernel, type Site, storedWeight, vector } from './export-weights.ts';
import { checkLast, type Sizes, windows } from './export-windows.ts';
import type { Value } from './writer.ts';

type Rule = (site: Site) => Value;

/** The value that a node gives. */
export function exportNode(site: Site): Value {
  const { node } = site;
  const rule = RULES[node.op];
  const timed = node.attributes.timeDistributed && !POINTWISE.has(node.op);
  if (!rule || timed || node.outputs.length !== 1) {
    throw new UnsupportedError(
      `toOnnx: layer "${node.layer}" is a ${node.op}${timed ? ' in TimeDistributed' : ''}, which cannot be written as ONNX. ` +
        `Replace it, or cut the model before it. Known are: ${Object.keys(RULES).join(', ')}.`,
    );
  }
  return rule(site);
}

/** Operations that compute alike with any axes in front. */
const POINTWISE = new Set([
  'dense',
  'activation',
  'reLU',
  'leakyReLU',
  'elu',
  'softmax',
  'dropout',
]);

const handOn: Rule = ({ inputs }) => inputs[0]!;

const dense: Rule = (site) => {
  const { node, writer, inputs } = site;
  const [rows, units] = storedWeight(site, 'kernel')!.encoding.shape as [number, number];
  let [input] = inputs as [Value];
  if (input.shape.length > 1) input = writer.last(input);
  const outputs = { stored: 1, onnx: 1 };
  const dims = [rows, units];
  const order =
    input.layout === 'flat'
      ? {
          view: [...(input.image as number[]), units],
          perm: channelsFirst(input.image!),
          dims,
          outputs,
        }
      : { view: dims, perm: [0, 1], dims, outputs };
  const made = kernel(site, 'kernel', order);
  const offset = bias(site, units, made);
  const shape = node.outputs[0]!;
  const { as, end } = activated(site);
  if (shape.length === 1) {
    const parts = [input.name, made.name, ...(offset ? [offset] : [])];
    return end({ name: writer.add('Gemm', parts, {}, as), shape, layout: 'last' });
  }
  let name = writer.add('MatMul', [input.name, made.name], {}, offset ? `${as}/product` : as);
  if (offset) name = writer.add('Add', [name, offset], {}, as);
  return end({ name, shape, layout: 'last' });
};

/** For an image's axes and one behind them: the channels in front. */
function channelsFirst(image: Shape): number[] {
  const axes = image.map((_, i) => i);
  return [axes.length - 1, ...axes.slice(0, -1), axes.length];
}

function conv(
  site: Site,
  name: string,
  input: Value,
  { name: weights }: Kernel,
  offset: string | undefined,
  size: Sizes,
  group: number,
  shape: Shape,
): Value {
  const given = site.writer.first(input);
  const parts = [given.name, weights, ...(offset ? [offset] : [])];
  const attributes = { group, ...windows(site.node, size, input.shape, shape) };
  return { name: site.writer.add('Conv', parts, attributes, name), shape, layout: 'first' };
}

const convolution: Rule = (site) => {
  const view = storedWeight(site, 'kernel')!.encoding.shape;
  const last = view.length - 1;
  const size = view.slice(0, -2);
  const perm = [last, last - 1, ...size.map((_, i) => i)];
  const dims = perm.map((axis) => view[axis]!);
  const made = kernel(site, 'kernel', { view, perm, dims, outputs: { stored: last, onnx: 0 } });
  const offset = bias(site, view[last]!, made);
  const { as, end } = activated(site);
  const window = { kernel: size, dilated: true };
  return end(conv(site, as, site.inputs[0]!, made, offset, window, 1, site.node.outputs[0]!));
};

/** The kernel [rows, columns, channels, multiplier] of a depthwise convolution. */
function depthwiseKernel(site: Site): {
  made: Kernel;
  size: number[];
  channels: number;
  filters: number;
} {
  const view = storedWeight(site, 'depthwiseKernel')!.encoding.shape;
  const [rows, columns, channels, multiplier] = view as [number, number, number, number];
  const filters = channels * multiplier;
  const made = kernel(site, 'depthwiseKernel', {
    view,
    perm: [2, 3, 0, 1],
    dims: [filters, 1, rows, columns],
    outputs: { stored: 2, onnx: 0 },
  });
  return { made, size: [rows, columns], channels, filters };
}

const depthwise: Rule = (site) => {
  const { made, size, channels, filters } = depthwiseKernel(site);
  const offset = bias(site, filters, made);
  const { as, end } = activated(site);
  // The depthwise layer of tfjs takes a dilation rate and computes without.
  const window = { kernel: size, dilated: false };
  const [shape] = site.node.outputs as [Shape];
  return end(conv(site, as, site.inputs[0]!, made, offset, window, channels, shape));
};

const separable: Rule = (site) => {
  const { node } = site;
  const [shape] = node.outputs as [Shape];
  const { made, size, channels, filters } = depthwiseKernel(site);
  const window = { kernel: size, dilated: true };
  const middle = [...shape.slice(0, -1), filters];
  const name = `${node.name}/depthwise`;
  const first = conv(site, name, site.inputs[0]!, made, undefined, window, channels, middle);
  const view = storedWeight(site, 'pointwiseKernel')!.encoding.shape;
  const second = kernel(site, 'pointwiseKernel', {
    view,
    perm: [3, 2, 0, 1],
    dims: [view[3]!, view[2]!, 1, 1],
    outputs: { stored: 3, onnx: 0 },
  });
  // What comes in between is not rounded, so that the bias is floats.
  const offset = node.weights.bias === undefined ? undefined : vector(site, 'bias', view[3]!);
  const { as, end } = activated(site);
  const plain = { ...node, attributes: { ...node.attributes, strides: 1, dilationRate: 1 } };
  const point = { kernel: [1, 1], dilated: false };
  return end(conv({ ...site, node: plain }, as, first, second, offset, point, 1, shape));
};

const batchNormalization: Rule = (site) => {
  const { node, writer } = site;
  const shape = node.outputs[0]!;
  const { axis, epsilon } = node.attributes as { axis: number; epsilon: number };
  if (axis !== -1 && axis !== shape.length) {
    throw new UnsupportedError(
      `toOnnx: batch normalisation "${node.layer}" is along axis ${axis}; ONNX has it for channels alone. Use axis -1.`,
    );
  }
  const channels = shape.at(-1)!;
  const input = shape.length === 1 ? writer.last(site.inputs[0]!) : writer.first(site.inputs[0]!);
  const weights = [
    vector(site, 'gamma', channels, 1),
    vector(site, 'beta', channels, 0),
    vector(site, 'movingMean', channels),
    vector(site, 'movingVariance', channels),
  ];
  const name = writer.add('BatchNormalization', [input.name, ...weights], { epsilon }, node.name);
  return { ...input, name };
};

const pooling =
  (op: string): Rule =>
  ({ node, writer, inputs }) => {
    const input = writer.first(inputs[0]!);
    const shape = node.outputs[0]!;
    const { poolSize } = node.attributes;
    const size = { kernel: [poolSize ?? 2].flat() as number[], dilated: false };
    const name = writer.add(op, [input.name], windows(node, size, input.shape, shape), node.name);
    return { name, shape, layout: 'first' };
  };

const globalPooling =
  (op: string): Rule =>
  ({ node, writer, inputs }) => {
    checkLast(node);
    const input = writer.first(inputs[0]!);
    const pooled = writer.add(op, [input.name], {}, `${node.name}/pooled`);
    const name = writer.flat(pooled, node.name);
    return { name, shape: node.outputs[0]!, layout: 'last' };
  };

const flatten: Rule = ({ node, writer, inputs }) => {
  checkLast(node);
  const [input] = inputs as [Value];
  const shape = node.outputs[0]!;
  if (input.shape.length === 1) return input;
  const name = writer.flat(input.name, node.name);
  const single = sizeOf(input.shape.slice(0, -1) as number[]) === 1;
  if (input.layout === 'last' || single) return { name, shape, layout: 'last' };
  return { name, shape, layout: 'flat', image: input.shape };
};

const reshape: Rule = ({ node, writer, inputs }) => {
  const shape = node.outputs[0]!;
  const { name } = writer.last(inputs[0]!);
  return { name: writer.reshape(name, shape, node.name), shape, layout: 'last' };
};

const permute: Rule = ({ node, writer, inputs }) => {
  const shape = node.outputs[0]!;
  const perm = [0, ...(node.attributes.dims as number[])];
  const { name } = writer.last(inputs[0]!);
  return { name: writer.add('Transpose', [name], { perm }, node.name), shape, layout: 'last' };
};

/** All with their channels in front where one has them there; all as the graph has them otherwise. */
function alike({ writer, inputs }: Site): Value[] {
  const first = inputs.some(({ layout }) => layout === 'first');
  return inputs.map((input) => (first ? writer.first(input) : writer.last(input)));
}

const concatenate: Rule = (site) => {
  const { node, writer } = site;
  const inputs = alike(site);
  const shape = node.outputs[0]!;
  const { layout } = inputs[0]!;
  const { axis = -1 } = node.attributes as { axis?: number };
  const at = axisIn(layout, axis < 0 ? axis + shape.length : axis - 1, shape);
  const names = inputs.map(({ name }) => name);
  return { name: writer.add('Concat', names, { axis: at }, node.name), shape, layout };
};

/** Where ONNX has an axis of the graph, which does not count the batch. */
function axisIn(layout: Value['layout'], axis: number, shape: Shape): number {
  if (layout === 'last') return axis + 1;
  return axis === shape.length - 1 ? 1 : axis + 2;
}

/** One node for two inputs at a time. */
const elementwise =
  (op: string): Rule =>
  (site) => {
    const { node, writer } = site;
    const inputs = sameRanks(site);
    const [first, ...others] = inputs as [Value];
    let { name } = first;
    others.forEach((other: Value, i) => {
      const as = i === others.length - 1 ? node.name : `${node.name}/part`;
      name = writer.add(op, [name, other.name], {}, as);
    });
    return { name, shape: node.outputs[0]!, layout: first.layout };
  };

/** One node for all inputs. */
const variadic =
  (op: string): Rule =>
  (site) => {
    const { node, writer } = site;
    const inputs = sameRanks(site);
    const names = inputs.map(({ name }) => name);
    const shape = node.outputs[0]!;
    return { name: writer.add(op, names, {}, node.name), shape, layout: inputs[0]!.layout };
  };

function sameRanks(site: Site): Value[] {
  const [first] = site.inputs as [Value];
  if (site.inputs.some(({ shape }) => shape.length !== first.shape.length)) {
    throw new UnsupportedError(
      `toOnnx: "${site.node.layer}" puts values with different numbers of axes together. Reshape them first.`,
    );
  }
  return alike(site);
}

const zeroPadding: Rule = ({ node, writer, inputs }) => {
  const [{ layout, name, shape }] = inputs as [Value];
  const { padding } = node.attributes as { padding: number[][] };
  const before = new Array<number>(shape.length + 1).fill(0);
  const after = [...before];
  spatialAxes(node).forEach((axis, i) => {
    const at = axisIn(layout, axis, shape);
    [before[at], after[at]] = padding[i] as [number, number];
  });
  const parts = [name, writer.integers([...before, ...after])];
  return { name: writer.add('Pad', parts, {}, node.name), shape: node.outputs[0]!, layout };
};

const cropping: Rule = ({ node, writer, inputs }) => {
  const [{ layout, name, shape }] = inputs as [Value];
  const { cropping: cut } = node.attributes as { cropping: number[][] };
  const ends: { axis: number; from: number; to: number }[] = [];
  spatialAxes(node).forEach((axis, i) => {
    const [from, behind] = cut[i] as [number, number];
    if (from === 0 && behind === 0) return;
    ends.push({
      axis: axisIn(layout, axis, shape),
      from,
      to: behind === 0 ? 2 ** 31 - 1 : -behind,
    });
  });
  if (ends.length === 0) return inputs[0]!;
  const parts = [
    name,
    writer.integers(ends.map(({ from }) => from)),
    writer.integers(ends.map(({ to }) => to)),
    writer.integers(ends.map(({ axis }) => axis)),
  ];
  return { name: writer.add('Slice', parts, {}, node.name), shape: node.outputs[0]!, layout };
};

/** The axes that are padded or cut; "channels first", the last two are. */
function spatialAxes(node: GraphNode): number[] {
  return node.attributes.dataFormat === 'channelsFirst' ? [1, 2] : [0, 1];
}

const RULES: Readonly<Record<string, Rule>> = {
  dense,
  conv1d: convolution,
  conv2d: convolution,
  depthwiseConv2d: depthwise,
  separableConv2d: separable,
  batchNormalization,
  activation: activationNode,
  reLU: activationNode,
  leakyReLU: activationNode,
  elu: activationNode,
  thresholdedReLU: activationNode,
  softmax: activationNode,
  averagePooling1d: pooling('AveragePool'),
  averagePooling2d: pooling('AveragePool'),
  maxPooling1d: pooling('MaxPool'),
  maxPooling2d: pooling('MaxPool'),
  globalAveragePooling1d: globalPooling('GlobalAveragePool'),
  globalAveragePooling2d: globalPooling('GlobalAveragePool'),
  globalMaxPooling1d: globalPooling('GlobalMaxPool'),
  globalMaxPooling2d: globalPooling('GlobalMaxPool'),
  flatten,
  reshape,
  permute,
  zeroPadding2d: zeroPadding,
  cropping2d: cropping,
  add: elementwise('Add'),
  subtract: elementwise('Sub'),
  multiply: elementwise('Mul'),
  average: variadic('Mean'),
  maximum: variadic('Max'),
  minimum: variadic('Min'),
  concatenate,
  inputLayer: handOn,
  dropout: handOn,
  spatialDropout1d: handOn,
  gaussianDropout: handOn,
  gaussianNoise: handOn,
  alphaDropout: handOn,
};
