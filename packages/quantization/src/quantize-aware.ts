// Quantises what a layer, or every layer of a model, computes with.
import type { LayersModel, layers } from '@tensorflow/tfjs-layers';
import { checkOptions, NoMatchError, OptionError, UnsupportedError } from '@thimble/base';
import {
  checkKernelNames,
  expectedKernels,
  parametrize,
  parametrizedWeights,
  stackedCells,
  type WeightTransform,
  walkLayers,
} from '@thimble/core';
import type { ActivationQuantizer } from './activation.ts';
import { type FakeQuantOptions, fakeQuant } from './fake-quant.ts';
import {
  type FakeQuantActivationsOptions,
  fakeQuantActivations,
} from './fake-quant-activations.ts';
import {
  checkOutput,
  checkQuantizers,
  hasQuantizedActivations,
  type QuantizedActivations,
  quantizeActivations,
} from './quantized-call.ts';
import { hasSharedValues } from './shared-values.ts';
import { checkModel } from './targets.ts';

/** How to quantise one layer. */
export interface LayerQuantization {
  /**
   * For the kernels: bits, or options of `fakeQuant` beside its defaults here (8 bits, symmetric, narrow,
   * per channel unless in groups or one codebook is shared by all), or a transform such as `lsq({ bits: 2 })`; false for none.
   */
  weights?: number | Partial<FakeQuantOptions> | WeightTransform | false;
  /**
   * For what a layer gets: bits, or options of `fakeQuantActivations` (8 bits by default), or a quantiser
   * such as `pact({ bits: 4 })`; with `{ input, output }` for either end; false for none.
   */
  activations?:
    | number
    | Partial<FakeQuantActivationsOptions>
    | ActivationQuantizer
    | QuantizedActivations
    | false;
}

/** Options of {@link quantizeAware}. */
export interface QuantizeAwareOptions extends LayerQuantization {
  /** Names of layers to leave as they are. */
  ignore?: readonly string[];
  /** Other weights and activations for single layers, by name: 8 bits for the first and the last, say. */
  perLayer?: Readonly<Record<string, LayerQuantization>>;
}

const OWNER = 'quantizeAware';

/**
 * Quantises the kernels of a layer and the activations that it gets, or those of every layer of a model that
 * multiplies or adds up numbers, so that training makes up for what is lost by it. Changes the layers in
 * place (names, weights and connections stay) and returns what it was given; a model must be compiled
 * again.
 *
 * - Layers with kernels (dense, convolutions, recurrent, embeddings, wrappers around them): kernels, and
 *   the first input but for embeddings.
 * - Add, average, subtract, multiply and average pooling: every input. All others hand values on: an
 *   activation, maximum or reshape between two such layers loses nothing by rounding after it.
 * - What a model gives is not rounded; with `{ output }` it can be.
 *
 * Masks and other transforms that the kernels have already come before the rounding. Batch normalisation
 * behind a layer with a kernel must be fused with it first (`fuseBatchNorm`), as integers compute it; one that
 * is named in `ignore` stays a layer of its own, unrounded. What trains like this runs in integers: see
 * `runInteger`.
 *
 * @throws {NoMatchError} when there is nothing to quantise, and for names that no layer has; {OptionError}
 *   when a layer is quantised already; {UnsupportedError} for batch normalisation that is not fused, for
 *   activations of stacked recurrent cells, and for a layer whose kernels have unknown names. Nothing is changed then.
 * @example
 * quantizeAware(model, { weights: { bits: 8 }, activations: { bits: 8 } });
 * model.compile({ optimizer: 'adam', loss: 'categoricalCrossentropy' });
 */
export function quantizeAware<T extends LayersModel | layers.Layer>(
  target: T,
  options: QuantizeAwareOptions = {},
): T {
  checkModel(OWNER, target);
  checkOptions(OWNER, options, ['weights', 'activations', 'ignore', 'perLayer']);
  const { ignore = [], perLayer = {} } = options;
  const all = walkLayers(target);
  checkNames(all, [...ignore, ...Object.keys(perLayer)]);
  const plans: (() => void)[] = [];
  const roundedNow = new Set<layers.Layer>();
  const seen = new Set<layers.Layer>();
  for (const layer of all) {
    if (seen.has(layer)) continue;
    if ('layers' in layer) continue; // a model: its layers have their turn
    for (const inner of walkLayers(layer)) seen.add(inner);
    if (ignore.includes(layer.name)) continue;
    const own = perLayer[layer.name] ?? {};
    checkOptions(`${OWNER}: perLayer of "${layer.name}"`, own, ['weights', 'activations']);
    const quantization = { ...options, ...own };
    if (quantization.weights !== false) {
      checkKernelNames(OWNER, walkLayers(layer), 'name the layer in ignore');
    }
    const plan = planFor(layer, quantization);
    if (plan) plans.push(plan);
    if (plan && quantization.weights !== false) roundedNow.add(layer);
  }
  if (plans.length === 0) {
    throw new NoMatchError(
      `${OWNER}: nothing in "${target.name}" multiplies or adds up numbers, or all of it was left out. ` +
        `Its layers: ${all.map(({ name }) => name).join(', ')}.`,
    );
  }
  checkFused(all, roundedNow, ignore);
  for (const plan of plans) plan();
  return target;
}

/** Throws for batch normalisation that will scale what a rounded kernel gives. */
function checkFused(
  all: readonly layers.Layer[],
  rounded: ReadonlySet<layers.Layer>,
  ignore: readonly string[],
): void {
  for (const norm of all) {
    if (!('movingVariance' in norm) || ignore.includes(norm.name)) continue;
    const [node] = norm.inboundNodes;
    const before = (node as unknown as { inboundLayers: layers.Layer[] } | undefined)
      ?.inboundLayers[0];
    if (!before || !rounded.has(before)) continue;
    throw new UnsupportedError(
      `${OWNER}: batch normalisation "${norm.name}" scales what "${before.name}" gives, so that its rounded kernel ` +
        'is not what integers multiply with. Call quantizeAware(await fuseBatchNorm(model)), or name it in ignore ' +
        'to leave it as it is.',
    );
  }
}

function checkNames(all: readonly layers.Layer[], names: readonly string[]): void {
  const known = new Set(all.map(({ name }) => name));
  const missing = names.find((name) => !known.has(name));
  if (missing !== undefined) {
    throw new NoMatchError(
      `${OWNER}: there is no layer "${missing}". The layers: ${[...known].join(', ')}.`,
    );
  }
}

/** Layers without kernels whose results are sums or products of what they get. */
const ARITHMETIC = /^(Add|Average|Subtract|Multiply|(Global)?AveragePooling[12]D)$/;

/** Layers whose kernels were given a rounding here, built or not. */
const rounded = new WeakSet<layers.Layer>();

/** Checks what is to be done with a layer; undefined where there is nothing. */
function planFor(
  layer: layers.Layer,
  { weights, activations }: LayerQuantization,
): (() => void) | undefined {
  const kernels = expectedKernels(layer);
  const { className } = layer.constructor as unknown as { className: string };
  if (kernels.length === 0 && !ARITHMETIC.test(className)) return undefined;
  const rounding = kernels.length > 0 ? weightsOf(weights, hasSharedValues(layer)) : undefined;
  const ends = kernels.includes('embeddings') ? undefined : activationsOf(activations);
  const twice = (rounding && isRounded(layer, kernels)) || (ends && hasQuantizedActivations(layer));
  if (twice) {
    throw new OptionError(
      `${OWNER}: layer "${layer.name}" is quantised already. Quantise it once, or name it in ignore.`,
    );
  }
  const source = rounding?.source && sourceOf(layer);
  if (source) {
    throw new OptionError(
      `${OWNER}: ${rounding.getClassName()} and ${source} both replace what layer "${layer.name}" stores: keep one.`,
    );
  }
  if (ends) checkOutput(OWNER, layer, ends);
  if (!rounding && !ends) return undefined;
  if (ends && stackedCells(layer)) {
    throw new UnsupportedError(
      `${OWNER}: layer "${layer.name}" has stacked cells, whose weights can be rounded, but not what it gets. Give it ` +
        '{ activations: false } in perLayer, or put layers such as tf.layers.lstm one behind the other.',
    );
  }
  return () => {
    if (rounding) {
      parametrize(layer, Object.fromEntries(kernels.map((kernel) => [kernel, [rounding]])));
      rounded.add(layer);
    }
    if (ends) quantizeActivations(layer, ends);
  };
}

function isRounded(layer: layers.Layer, kernels: readonly string[]): boolean {
  return (
    rounded.has(layer) ||
    parametrizedWeights(layer).some(
      (each) => kernels.includes(each.weight) && each.encoding().values.type === 'affine',
    )
  );
}

/** The transform that the kernels of a layer are made by, if there is one. */
function sourceOf(layer: layers.Layer): string | undefined {
  const links = parametrizedWeights(layer).flatMap((weight) => weight.links);
  return links.find(({ transform }) => transform.source)?.transform.getClassName();
}

function weightsOf(
  weights: LayerQuantization['weights'],
  shared: boolean,
): WeightTransform | undefined {
  if (weights === false) return undefined;
  if (isObjectWith(weights, 'apply')) return weights as WeightTransform;
  const given = typeof weights === 'number' ? { bits: weights } : (weights ?? {});
  if (typeof given !== 'object') {
    throw new OptionError(
      `${OWNER}: weights must be bits, options of fakeQuant, a transform or false, not "${String(given)}".`,
    );
  }
  const perChannel = !shared && !('groupSize' in given);
  return fakeQuant({
    bits: 8,
    symmetric: true,
    narrowRange: true,
    perChannel,
    ...(given as Partial<FakeQuantOptions>),
  }) as WeightTransform;
}

function activationsOf(
  activations: LayerQuantization['activations'],
): QuantizedActivations | undefined {
  if (activations === false) return undefined;
  if (isObjectWith(activations, 'input') || isObjectWith(activations, 'output')) {
    checkQuantizers(OWNER, activations as QuantizedActivations);
    return activations as QuantizedActivations;
  }
  if (isObjectWith(activations, 'quantize')) return { input: activations as ActivationQuantizer };
  const given = typeof activations === 'number' ? { bits: activations } : (activations ?? {});
  return {
    input: fakeQuantActivations({
      bits: 8,
      ...(given as Partial<FakeQuantActivationsOptions>),
    }) as ActivationQuantizer,
  };
}

function isObjectWith(value: unknown, key: string): boolean {
  return typeof value === 'object' && value !== null && key in value;
}
