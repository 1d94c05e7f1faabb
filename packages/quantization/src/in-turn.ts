// The answers of one layer after the other while what they depend on is being changed.
import * as tf from '@tensorflow/tfjs-core';
import type { LayersModel, layers } from '@tensorflow/tfjs-layers';
import { eachBatch, exampleShapes, toSource, trace } from '@thimble/core';
import { DEFAULT_EXAMPLES, type ReferenceOptions, showAnswer } from './layer-pairs.ts';

/** What a layer gives: of several outputs all. */
type Given = tf.Tensor | tf.Tensor[];

interface Calling {
  call(inputs: Given, kwargs: Record<string, unknown>): Given;
}

/**
 * Shows `visit` the answers of each of the layers before bias and activation, with what they get, batch by batch,
 * and calls `after` when a layer has answered to all; what is changed there later layers see. The layers come in
 * the order of computation.
 *
 * A pass ends at the layer that it is for, and begins where the last one ended: what the layers before gave is held
 * in memory for all examples, as long as others want it. Only what comes after layers that are called several
 * times, or that make masks, is computed anew for each layer.
 */
export async function eachInTurn(
  model: LayersModel,
  wanted: readonly layers.Layer[],
  { calibration, examples = DEFAULT_EXAMPLES, batchSize = 100, signal }: ReferenceOptions,
  visit: (place: number, answer: tf.Tensor) => void,
  after: (place: number) => void,
): Promise<void> {
  const source = await toSource(calibration, exampleShapes(model));
  const limit = Math.min(examples, source.size);
  const held = new Held(model, wanted);
  try {
    for (const [place, layer] of wanted.entries()) {
      let index = 0;
      const pass = { batchSize, progress: false, signal } as const;
      const show = (given: Given) => {
        showAnswer(layer, Array.isArray(given) ? given[0]! : given, (answer) =>
          visit(place, answer),
        );
      };
      const runOne = async ({ xs }: { xs: tf.Tensor[] }) =>
        tf.tidy(() => held.runTo(layer, index++, show, () => model.call(xs, { training: false })));
      await eachBatch(source, pass, 'looking', runOne, limit);
      after(place);
      held.end(layer);
    }
  } finally {
    held.dispose();
  }
}

/** Ends a run of a model early. */
const ENOUGH = Symbol('enough');

/** What layers gave that will not change any more. */
class Held {
  /** The layers whose calls can be left out later: of each the layers that it gets its inputs from. */
  readonly #before = new Map<layers.Layer, layers.Layer[]>();
  readonly #after = new Map<layers.Layer, layers.Layer[]>();
  /** Layers that are yet to be changed. */
  readonly #waiting: Set<layers.Layer>;
  readonly #done = new Set<layers.Layer>();
  /** By layer and batch; empty tensors where nobody wants it any more. */
  readonly #given = new Map<layers.Layer, Given[]>();
  readonly #all: layers.Layer[];

  constructor(model: LayersModel, wanted: readonly layers.Layer[]) {
    const { graph, layers: byPath } = trace(model);
    const layerOf = new Map(graph.nodes.map(({ name, layer }) => [name, byPath.get(layer)]));
    const times = new Map<unknown, number>();
    for (const layer of layerOf.values()) times.set(layer, (times.get(layer) ?? 0) + 1);
    this.#all = [...new Set(layerOf.values())].filter((layer) => layer !== undefined);
    for (const { name, inputs, attributes } of graph.nodes) {
      const layer = layerOf.get(name);
      if (!layer) continue;
      const before = inputs.flatMap(({ node }) => layerOf.get(node) ?? []);
      for (const one of before) this.#after.set(one, [...(this.#after.get(one) ?? []), layer]);
      const once = times.get(layer) === 1 && !attributes.timeDistributed;
      if (once && !makesMasks(layer)) this.#before.set(layer, before);
    }
    this.#waiting = new Set(wanted);
  }

  /** Runs `body`, which calls the model, until `layer` has been called, and shows what it gets. */
  runTo(layer: layers.Layer, batch: number, show: (given: Given) => void, body: () => void): void {
    const restore = this.#all.map((one) => {
      const target = one as unknown as Calling;
      const own = Object.hasOwn(one, 'call');
      const { call } = target;
      const watched: Calling['call'] = (inputs, kwargs) => {
        const known = this.#done.has(one) && this.#given.get(one)![batch];
        if (known) return each(known, (one) => tf.clone(one));
        if (one === layer) {
          target.call = call; // To show an answer the layer is called.
          show(inputs);
          target.call = watched;
          if (this.#before.has(one)) throw ENOUGH;
        }
        const given = call.call(one, inputs, kwargs);
        if (this.#isLasting(one)) this.#hold(one, batch, given);
        return given;
      };
      target.call = watched;
      return () => {
        if (own) target.call = call;
        else Reflect.deleteProperty(one, 'call');
      };
    });
    try {
      body();
    } catch (error) {
      if (error !== ENOUGH) throw error;
    } finally {
      for (const undo of restore) undo();
    }
  }

  /** All batches have come to the layer, and it has been changed. */
  end(layer: layers.Layer): void {
    this.#waiting.delete(layer);
    for (const one of this.#given.keys()) this.#done.add(one);
    for (const [one, batches] of this.#given) {
      if (!this.#after.get(one)?.every((next) => this.#done.has(next))) continue;
      this.#given.set(one, batches.map(emptied));
    }
  }

  dispose(): void {
    for (const batches of this.#given.values()) tf.dispose(batches);
  }

  /** True when what the layer gives now it will give in every later run. */
  #isLasting(layer: layers.Layer): boolean {
    const before = this.#waiting.has(layer) ? undefined : this.#before.get(layer);
    return before?.every((one) => this.#given.has(one)) ?? false;
  }

  #hold(layer: layers.Layer, batch: number, given: Given): void {
    const batches = this.#given.get(layer) ?? [];
    this.#given.set(layer, batches);
    batches[batch] = each(given, (one) => tf.keep(tf.clone(one)));
  }
}

function makesMasks(layer: layers.Layer): boolean {
  const { maskZero } = layer as layers.Layer & { maskZero?: boolean };
  return maskZero === true || (layer.constructor as { className?: string }).className === 'Masking';
}

function each(given: Given, make: (one: tf.Tensor) => tf.Tensor): Given {
  return Array.isArray(given) ? given.map(make) : make(given);
}

/** A tensor of no examples in place of each. */
function emptied(given: Given): Given {
  return each(given, (one) => {
    const empty = tf.keep(tf.zeros([0, ...one.shape.slice(1)], one.dtype));
    one.dispose();
    return empty;
  });
}
