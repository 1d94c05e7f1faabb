// Looks at what layers give while a model runs.
import type * as tf from '@tensorflow/tfjs-core';
import { internals, type Layer } from './internals.ts';

/**
 * Runs the synchronous `body` and shows `visit` the output of each of the layers at every call, in the
 * order in which they are called; of several outputs the first. A tensor that `visit` returns takes the
 * place of the output; with nothing returned the output stays. `call` counts the calls of a layer from 0:
 * a shared layer is called several times; `input` is what it gets, of several inputs the first, and `inputs` are
 * all of them. The layers are as they were afterwards, also when `body` throws.
 *
 * The outputs belong to the model: `visit` must clone and keep what it wants to have later.
 *
 * @example
 * const sizes: number[] = [];
 * tf.tidy(() => {
 *   const note = (_, output) => { sizes.push(output.size); };
 *   withLayerOutputs(model.layers, note, () => model.predict(x));
 * });
 */
export function withLayerOutputs<T>(
  layers: readonly Layer[],
  visit: (
    layer: Layer,
    output: tf.Tensor,
    call: number,
    input: tf.Tensor,
    inputs: readonly tf.Tensor[],
  ) => tf.Tensor | undefined,
  body: () => T,
): T {
  const restore = layers.map((layer) => {
    const target = internals(layer);
    const own = Object.hasOwn(layer, 'call');
    const original = target.call;
    let calls = 0;
    target.call = (inputs, kwargs) => {
      const given = original.call(layer, inputs, kwargs);
      const [first, ...others] = Array.isArray(given) ? given : [given];
      const all = Array.isArray(inputs) ? inputs : [inputs];
      const taken = visit(layer, first!, calls++, all[0]!, all) ?? first!;
      return Array.isArray(given) ? [taken, ...others] : taken;
    };
    return () => {
      if (own) target.call = original;
      else Reflect.deleteProperty(layer, 'call');
    };
  });
  try {
    return body();
  } finally {
    for (const undo of restore.reverse()) undo();
  }
}
