// Batch normalisation folded into the layers before it: the same outputs from fewer layers.
import * as tf from '@tensorflow/tfjs-core';
import type { LayersModel, LayerVariable } from '@tensorflow/tfjs-layers';
import { UnsupportedError } from '@thimble/base';
import { axesOf } from './axes.ts';
import { finalize } from './finalize.ts';
import { internals, type Layer, localName, variablesOf } from './internals.ts';
import { layerFromConfig } from './parametrized-layer.ts';
import { innerLayers } from './walk.ts';

/** A batch normalisation that stayed in the model. */
export interface KeptBatchNorm {
  name: string;
  reason: string;
}

/** What {@link foldBatchNorm} did. */
export interface FoldReport {
  /** The layers of batch normalisation that are gone, and the layers that they are part of now. */
  folded: { name: string; into: string }[];
  kept: KeptBatchNorm[];
}

/**
 * A plain model in which batch normalisation is part of the layer before it. With the statistics at test
 * time (mean m, variance v) it is a scale and a shift per channel:
 *
 * - `a = gamma / sqrt(v + epsilon)`; kernel `w a` along its outputs, bias `(b - m) a + beta`
 *
 * Outputs are equal but for rounding. Folded is what follows a dense, conv1d, conv2d, conv2dTranspose,
 * depthwiseConv2d or separableConv2d layer without activation that nothing else uses. All others stay;
 * {@link foldReport} names them with the reason. Transforms are baked first, as by `finalize`; the model
 * given stays as it was and shares nothing with the new one, which is not compiled.
 *
 * @throws {UnsupportedError} when the model is not built yet.
 * @example
 * const model = tfl.sequential({
 *   layers: [
 *     tfl.layers.conv2d({ filters: 4, kernelSize: 3, inputShape: [8, 8, 1] }),
 *     tfl.layers.batchNormalization(),
 *     tfl.layers.reLU(),
 *   ],
 * });
 * const folded = await foldBatchNorm(model);
 * console.log(folded.layers.length, foldReport(folded).folded);
 */
export async function foldBatchNorm(model: LayersModel): Promise<LayersModel> {
  const plain = await finalize(model);
  try {
    const report: FoldReport = { folded: [], kept: [] };
    const config = plain.getConfig() as unknown as ModelConfig;
    const folds = new Map<Layer, Layer>();
    foldIn(plain, config, folds, report);
    const copied = copyOf(config) as tf.serialization.ConfigDict;
    const folded = layerFromConfig(plain.getClassName(), copied, {}, true) as LayersModel;
    tf.tidy(() => copyLayers(plain, folded, folds));
    reports.set(folded, report);
    return folded;
  } finally {
    plain.dispose();
  }
}

/** What a model made by {@link foldBatchNorm} has of its batch normalisation, and what became of the rest. */
export function foldReport(folded: LayersModel): FoldReport {
  const report = reports.get(folded);
  if (!report) {
    throw new UnsupportedError(`foldReport: model "${folded.name}" was not made by foldBatchNorm.`);
  }
  return report;
}

const reports = new WeakMap<LayersModel, FoldReport>();

/** The place of an output: name of the layer, its application, its output. */
type Reference = [name: string, node: number, tensor: number, ...unknown[]];

interface LayerConfig {
  name?: string;
  className: string;
  config: { [key: string]: unknown };
  /** Absent in a Sequential. */
  inboundNodes?: Reference[][];
}

interface ModelConfig {
  layers: LayerConfig[];
  outputLayers?: Reference[];
}

/** Takes foldable layers out of the config of a model and of the models inside it. */
function foldIn(
  model: LayersModel,
  config: ModelConfig,
  folds: Map<Layer, Layer>,
  report: FoldReport,
): void {
  const layers = new Map(model.layers.map((layer) => [layer.name, layer]));
  const nameOf = (entry: LayerConfig) => entry.name ?? (entry.config.name as string);
  for (const entry of config.layers.slice()) {
    const name = nameOf(entry);
    const layer = layers.get(name)!;
    if (internals(layer).layers) {
      foldIn(layer as LayersModel, entry.config as unknown as ModelConfig, folds, report);
      continue;
    }
    // In a wrapper it has no layer before it that could be seen here.
    if (innerLayers(layer).some(isBatchNorm)) {
      report.kept.push({ name, reason: `it is inside a wrapper, ${layer.getClassName()}` });
    }
    if (!isBatchNorm(layer)) continue;
    const before = layerBefore(config, entry);
    const target = typeof before === 'string' ? undefined : layers.get(nameOf(before));
    const reason = typeof before === 'string' ? before : whyNot(target!, layer);
    if (reason !== undefined) {
      report.kept.push({ name, reason });
      continue;
    }
    const into = (before as LayerConfig).config;
    into.useBias = true;
    into.biasInitializer ??= { className: 'Zeros', config: {} };
    config.layers.splice(config.layers.indexOf(entry), 1);
    redirect(config, name, target!.name);
    folds.set(target!, layer);
    report.folded.push({ name, into: target!.name });
  }
}

function isBatchNorm(layer: Layer): boolean {
  return layer.getClassName() === 'BatchNormalization';
}

/** The layer whose output a batch normalisation takes, and nothing else takes; or why there is none. */
function layerBefore(config: ModelConfig, entry: LayerConfig): LayerConfig | string {
  if (!entry.inboundNodes) {
    return config.layers[config.layers.indexOf(entry) - 1] ?? 'it is the first layer';
  }
  if (entry.inboundNodes.length !== 1) return 'it is applied more than once';
  const [source] = entry.inboundNodes[0]!;
  const before = config.layers.find(({ name }) => name === source![0])!;
  if ((before.inboundNodes?.length ?? 0) > 1) return `"${source![0]}" is applied more than once`;
  const uses = references(config).filter(([name]) => name === source![0]);
  if (uses.length > 1) return `"${source![0]}" is used by other layers too`;
  return before;
}

/** All places at which outputs are used. */
function references({ layers, outputLayers = [] }: ModelConfig): Reference[] {
  return [...layers.flatMap(({ inboundNodes = [] }) => inboundNodes.flat()), ...outputLayers];
}

function redirect(config: ModelConfig, from: string, to: string): void {
  for (const reference of references(config)) {
    if (reference[0] === from) [reference[0], reference[1], reference[2]] = [to, 0, 0];
  }
}

/** The kernel that makes the channels, by class. */
const KERNELS: Record<string, string> = {
  Dense: 'kernel',
  Conv1D: 'kernel',
  Conv2D: 'kernel',
  Conv2DTranspose: 'kernel',
  DepthwiseConv2D: 'depthwise_kernel',
  SeparableConv2D: 'pointwise_kernel',
};

/** Why batch normalisation cannot become part of the layer; undefined where it can. */
function whyNot(target: Layer, norm: Layer): string | undefined {
  const className = target.getClassName();
  if (!(className in KERNELS)) return `it comes after "${target.name}", a ${className}`;
  const { activation, dataFormat } = target.getConfig();
  if (activation !== 'linear' && activation !== undefined && activation !== null) {
    return `"${target.name}" has the activation ${activation} before it`;
  }
  const rank = (target.outputShape as unknown[]).length;
  const channels = dataFormat === 'channelsFirst' ? 1 : rank - 1;
  const { axis } = norm as unknown as { axis: number };
  if ((axis + rank) % rank !== channels) {
    return `its axis ${axis} is not that of the channels of "${target.name}"`;
  }
  return undefined;
}

/** A deep copy: building a model from a config changes it. */
function copyOf(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(copyOf);
  if (value === null || typeof value !== 'object' || value.constructor !== Object) return value;
  return Object.fromEntries(Object.entries(value).map(([key, entry]) => [key, copyOf(entry)]));
}

function copyLayers(from: Layer, to: Layer, folds: Map<Layer, Layer>): void {
  const [sources, copies] = [innerLayers(from), innerLayers(to)];
  const byName = new Map(sources.map((source) => [source.name, source]));
  copies.forEach((copy, i) => {
    // Inside a wrapper nothing was taken out; names of cells may differ.
    const source = internals(to).layers ? byName.get(copy.name)! : sources[i]!;
    const norm = folds.get(source);
    const values = norm ? foldedValues(source, norm) : valuesOf(source);
    for (const variable of variablesOf(copy)) {
      const value = values.get(localName(variable));
      if (value) (variable.read() as tf.Variable).assign(value);
    }
    copyLayers(source, copy, folds);
  });
}

function valuesOf(layer: Layer): Map<string, tf.Tensor> {
  const read = (variable: LayerVariable) =>
    [localName(variable), variable.read() as tf.Tensor] as const;
  return new Map(variablesOf(layer).map(read));
}

/** The kernel and bias of a layer with batch normalisation in them. */
function foldedValues(target: Layer, norm: Layer): Map<string, tf.Tensor> {
  const values = valuesOf(target);
  const statistics = valuesOf(norm);
  const { epsilon } = norm as unknown as { epsilon: number };
  const numbers = (name: string) => statistics.get(name)?.dataSync();
  const [mean, variance] = [numbers('moving_mean')!, numbers('moving_variance')!];
  const [gamma, beta] = [numbers('gamma'), numbers('beta')];
  const scale = Float64Array.from(
    variance,
    (v, channel) => (gamma?.[channel] ?? 1) / Math.sqrt(v + epsilon),
  );
  const name = KERNELS[target.getClassName()]!;
  const kernel = values.get(name)!;
  const entries = Float32Array.from(kernel.dataSync());
  const channelOf = channelsOf(target, name, kernel.shape);
  for (let i = 0; i < entries.length; i++) entries[i]! *= scale[channelOf(i)]!;
  values.set(name, tf.tensor(entries, kernel.shape));
  const bias = values.get('bias')?.dataSync();
  const shifts = Float32Array.from(
    scale,
    (a, channel) => ((bias?.[channel] ?? 0) - mean[channel]!) * a + (beta?.[channel] ?? 0),
  );
  values.set('bias', tf.tensor(shifts));
  return values;
}

/** The channel of the output that each entry of a kernel is for. */
function channelsOf(target: Layer, name: string, shape: number[]): (entry: number) => number {
  if (name === 'depthwise_kernel') {
    const size = shape.at(-1)! * shape.at(-2)!;
    return (entry) => entry % size;
  }
  const { out } = axesOf(target, name, shape);
  const inner = shape.slice(out + 1).reduce((n, size) => n * size, 1);
  return (entry) => Math.floor(entry / inner) % shape[out]!;
}
