// What every operation does with channels: which ones it makes, reads, hands on, joins or must keep.
import type { GraphNode } from '@thimble/graph';
import type { ChannelFlow, SizedOption } from './channel-flow.ts';
import { type Ids, joined, repeated, tiled } from './channel-ids.ts';

/** One application of an operation. */
export interface Site {
  node: GraphNode;
  /** The channels along the last axis of each input; of length 0 where their number is not known. */
  inputs: Ids[];
  flow: ChannelFlow;
}

/** Gives the channels along the last axis of every output. */
type Rule = (site: Site) => Ids[];

/** Applies the rule of an operation. One that is not known keeps all channels that reach or leave it. */
export function follow(site: Site): Ids[] {
  const { node } = site;
  const rule = rules[node.op];
  if (rule) return rule(site);
  const reason = `the op "${node.op}" of "${node.layer}" is not known to the channel graph`;
  site.flow.unknown.add(reason);
  keep(site, reason);
  return node.outputs.map((_, output) => site.flow.makeFixed(node, output, reason));
}

/** Operations that give back what they get, position by position or channel by channel. */
const same: Rule = (site) => {
  if (channelsFirst(site)) return firstAxis(site);
  activate(site, site.inputs[0]!);
  return site.node.outputs.map(() => site.inputs[0]!);
};

const input: Rule = ({ node, flow }) => [flow.makeFixed(node, 0, 'an input of the model')];

/** Kernels [..., in, out], and [in, out] of a dense layer. */
const kernel =
  (option: SizedOption['option']): Rule =>
  (site) =>
    convolve(site, option, -2, -1);

/** Kernels [..., out, in]. */
const transposedKernel: Rule = (site) => convolve(site, 'filters', -1, -2);

function convolve(site: Site, option: SizedOption['option'], into: number, out: number): Ids[] {
  const { node, inputs, flow } = site;
  const shape = flow.shapeOf(node, 'kernel')!;
  const ids = flow.make(node, shape.at(out)!, option);
  flow.use(node, 'kernel', shape.length + out, 'out', ids);
  flow.use(node, 'bias', 0, 'out', ids);
  if (channelsFirst(site)) return firstAxis(site, ids);
  flow.use(node, 'kernel', shape.length + into, 'in', inputs[0]!);
  activate(site, ids);
  return [ids];
}

/** Kernel [h, w, channels, multiplier]; the outputs of one channel lie side by side. */
const depthwise: Rule = (site) => {
  if (channelsFirst(site)) return firstAxis(site);
  const { node, inputs, flow } = site;
  const ids = repeated(inputs[0]!, flow.shapeOf(node, 'depthwiseKernel')![3]!);
  flow.use(node, 'depthwiseKernel', 2, 'through', inputs[0]!);
  flow.use(node, 'bias', 0, 'through', ids);
  activate(site, ids);
  return [ids];
};

/** A depthwise kernel, and a kernel [1, 1, channels x multiplier, out] on what it makes. */
const separable: Rule = (site) => {
  const { node, inputs, flow } = site;
  const ids = flow.make(node, flow.shapeOf(node, 'pointwiseKernel')![3]!, 'filters');
  flow.use(node, 'pointwiseKernel', 3, 'out', ids);
  flow.use(node, 'bias', 0, 'out', ids);
  if (channelsFirst(site)) return firstAxis(site, ids);
  const between = repeated(inputs[0]!, flow.shapeOf(node, 'depthwiseKernel')![3]!);
  flow.use(node, 'depthwiseKernel', 2, 'through', inputs[0]!);
  flow.use(node, 'pointwiseKernel', 2, 'in', between);
  activate(site, ids);
  return [ids];
};

const embedding: Rule = (site) => {
  const { node, flow } = site;
  keep(site, `looked up in "${node.layer}"`);
  const ids = flow.make(node, flow.shapeOf(node, 'embeddings')![1]!, 'outputDim');
  flow.use(node, 'embeddings', 1, 'out', ids);
  return [ids];
};

/**
 * Kernels [..., in, gates x units] and [..., units, gates x units]: each unit has a column in every gate,
 * and a state that it shares with the inputs and outputs for states.
 */
const recurrent =
  (option: SizedOption['option'], states: number): Rule =>
  (site) => {
    const { node, inputs, flow } = site;
    const shape = flow.shapeOf(node, 'recurrentKernel')!;
    const ids = flow.make(node, shape.at(-2)!, option);
    const gates = tiled(ids, shape.at(-1)!);
    const axis = shape.length - 1;
    for (const weight of ['kernel', 'recurrentKernel']) flow.use(node, weight, axis, 'out', gates);
    flow.use(node, 'recurrentKernel', axis - 1, 'in', ids);
    flow.use(node, 'bias', 0, 'out', gates);
    if (channelsFirst(site)) return firstAxis(site, ids);
    flow.use(node, 'kernel', axis - 1, 'in', inputs[0]!);
    const given = inputs.slice(1);
    if (given.length <= states && given.every(({ length }) => length === ids.length)) {
      for (const state of given) flow.channels.join(state, ids);
    } else {
      for (const kept of [ids, ...given]) {
        flow.channels.fix(kept, `the states or constants given to "${node.layer}"`);
      }
    }
    for (const name of ['activation', 'recurrentActivation']) activate(site, ids, name);
    return node.outputs.map(() => ids);
  };

const batchNormalization: Rule = (site) => {
  const { node, inputs, flow } = site;
  const isLast = lastAxis(node, node.attributes.axis);
  if (isLast === undefined) return unclear(site);
  if (isLast) {
    for (const weight of ['gamma', 'beta', 'movingMean', 'movingVariance']) {
      flow.use(node, weight, 0, 'through', inputs[0]!);
    }
  }
  return inputs;
};

const layerNormalization: Rule = (site) => {
  const { node, inputs } = site;
  if ([node.attributes.axis].flat().some((axis) => lastAxis(node, axis) !== false)) {
    keep(site, `layer normalization over the channels in "${node.layer}"`);
  }
  return inputs;
};

const prelu: Rule = ({ node, inputs, flow }) => {
  const shape = flow.shapeOf(node, 'alpha')!;
  const ids = inputs[0]!;
  if (shape.at(-1) === ids.length) flow.use(node, 'alpha', shape.length - 1, 'through', ids);
  return inputs;
};

const softmax: Rule = (site) => {
  const { node, inputs } = site;
  if (lastAxis(node, node.attributes.axis) !== false) keep(site, softmaxReason(node));
  return inputs;
};

const dropout: Rule = (site) => {
  const { node, inputs } = site;
  const noise = node.attributes.noiseShape;
  if (Array.isArray(noise) && Number(noise.at(-1) ?? 1) > 1) {
    keep(site, `the noise shape of "${node.layer}"`);
  }
  return inputs;
};

const masking: Rule = (site) => {
  keep(site, `"${site.node.layer}" looks for steps in which all channels have one value`);
  return site.inputs;
};

/** Add and its like: index by index, an axis of length 1 against every index. */
const elementwise: Rule = (site) => {
  const { node, inputs, flow } = site;
  if (inputs.some(({ length }) => length === 0)) return unknownSize(site);
  const count = Math.max(...inputs.map(({ length }) => length));
  const wide = inputs.filter(({ length }) => length === count);
  for (const ids of inputs) {
    if (ids.length < count)
      flow.channels.fix(ids, `broadcast over the channels in "${node.layer}"`);
  }
  for (const ids of wide) flow.channels.join(wide[0]!, ids);
  if (wide.length < inputs.length) flow.mixed.push(wide[0]!);
  return [wide[0]!];
};

const concatenate: Rule = (site) => {
  const { node, inputs, flow } = site;
  const isLast = lastAxis(node, node.attributes.axis);
  if (isLast === undefined) return unclear(site);
  if (inputs.some(({ length }) => length === 0)) return unknownSize(site);
  if (isLast) return [joined(inputs)];
  for (const ids of inputs) flow.channels.join(inputs[0]!, ids);
  return [inputs[0]!];
};

const flatten: Rule = (site) => (channelsFirst(site) ? firstAxis(site) : reshaped(site));

const reshape: Rule = (site) => {
  const [ids] = reshaped(site);
  site.flow.count(site.node, 'targetShape', ids!);
  return [ids!];
};

/**
 * Row by row, the last axis of a value holds either all channels once or several times, or a part of
 * them. In the second case the parts lie over one another, and only whole columns of them can go.
 */
function reshaped(site: Site): Ids[] {
  const { node, inputs, flow } = site;
  const ids = inputs[0]!;
  const length = node.outputs[0]!.at(-1) ?? 0;
  if (length > 0 && ids.length > 0 && length % ids.length === 0) return [tiled(ids, length)];
  if (length > 1 && ids.length % length === 0) {
    const column = ids.slice(0, length);
    flow.channels.join(tiled(column, ids.length), ids);
    return [column];
  }
  return moved(site, `"${node.layer}" spreads the channels over several axes`);
}

const permute: Rule = (site) => {
  const dims = site.node.attributes.dims as number[];
  if (dims.at(-1) === dims.length) return site.inputs;
  return moved(site, `"${site.node.layer}" moves the channels to another axis`);
};

/** Every channel that comes in must stay. */
function keep({ inputs, flow }: Site, reason: string): void {
  for (const ids of inputs) flow.channels.fix(ids, reason);
}

/** The last axis of the output does not hold channels. */
function moved(site: Site, reason: string): Ids[] {
  keep(site, reason);
  return site.node.outputs.map((_, output) => site.flow.positions(site.node, output, reason));
}

function channelsFirst({ node }: Site): boolean {
  return node.attributes.dataFormat === 'channelsFirst';
}

function firstAxis(site: Site, made?: Ids): Ids[] {
  const reason = `"${site.node.layer}" has its channels first`;
  if (made) site.flow.channels.fix(made, reason);
  return moved(site, reason);
}

function unknownSize(site: Site): Ids[] {
  return moved(site, `"${site.node.layer}" takes an input whose last axis is of no known size`);
}

/** For an axis counted from the front inside TimeDistributed, where the front is not known. */
function unclear(site: Site): Ids[] {
  return moved(site, `the axis of "${site.node.layer}" is not clear: count it from the end, as -1`);
}

/** Whether an argument `axis`, which counts the batch axis, means the last one; undefined if unclear. */
function lastAxis({ attributes, outputs }: GraphNode, axis: unknown): boolean | undefined {
  const number = typeof axis === 'number' ? axis : -1;
  if (number < 0) return number === -1;
  return attributes.timeDistributed ? undefined : number === outputs[0]!.length;
}

const ELEMENTWISE: ReadonlySet<unknown> = new Set(
  [
    ['elu', 'selu', 'relu', 'relu6', 'linear', 'sigmoid', 'hardSigmoid', 'softplus', 'softsign'],
    ['tanh', 'gelu', 'gelu_new', 'geluNew', 'mish', 'swish'],
  ].flat(),
);

function softmaxReason({ layer }: GraphNode): string {
  return `softmax over the channels in "${layer}"`;
}

/** Keeps the channels when the activation of the layer looks at several of them at once. */
function activate({ node, flow }: Site, ids: Ids, name: string = 'activation'): void {
  const activation = node.attributes[name] ?? 'linear';
  if (ELEMENTWISE.has(activation)) return;
  const known = /softmax$/i.test(String(activation));
  flow.channels.fix(
    ids,
    known ? softmaxReason(node) : `the activation "${activation}" of "${node.layer}" is not known`,
  );
}

const rules: Record<string, Rule> = {
  input,
  dense: kernel('units'),
  conv1d: kernel('filters'),
  conv2d: kernel('filters'),
  conv3d: kernel('filters'),
  conv2dTranspose: transposedKernel,
  conv3dTranspose: transposedKernel,
  depthwiseConv2d: depthwise,
  separableConv2d: separable,
  embedding,
  simpleRNN: recurrent('units', 1),
  gru: recurrent('units', 1),
  lstm: recurrent('units', 2),
  convLstm2d: recurrent('filters', 2),
  batchNormalization,
  layerNormalization,
  prelu,
  softmax,
  activation: same,
  elu: same,
  reLU: same,
  leakyReLU: same,
  thresholdedReLU: same,
  dropout,
  alphaDropout: dropout,
  gaussianDropout: dropout,
  gaussianNoise: dropout,
  spatialDropout1d: dropout,
  masking,
  add: elementwise,
  average: elementwise,
  maximum: elementwise,
  minimum: elementwise,
  multiply: elementwise,
  concatenate,
  flatten,
  reshape,
  permute,
  repeatVector: same,
  reverse: same,
  maxPooling1d: same,
  maxPooling2d: same,
  maxPooling3d: same,
  averagePooling1d: same,
  averagePooling2d: same,
  averagePooling3d: same,
  globalAveragePooling1d: same,
  globalAveragePooling2d: same,
  globalMaxPooling1d: same,
  globalMaxPooling2d: same,
  zeroPadding2d: same,
  cropping2d: same,
  upSampling2d: same,
  rescaling: same,
  resizing: same,
  centerCrop: same,
};
