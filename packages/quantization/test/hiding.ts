// A mask, for tests of how other transforms get on with one.
import * as tf from '@tensorflow/tfjs-core';
import { registerTransform, type WeightTransform } from '@thimble/core';

/** w' = w * m; m is a weight that is not trained. */
export function hiding(mask: readonly number[]): WeightTransform<{ mask: tf.Variable }> {
  return {
    getClassName: () => 'ThimbleTestHiding',
    getConfig: () => ({ mask: [...mask] }),
    build({ shape, addWeight }) {
      const initial = tf.tensor([...mask], shape);
      const state = { mask: addWeight('mask', shape, initial, false) };
      initial.dispose();
      return state;
    },
    apply: (weight, state) => tf.mul(weight, state.mask),
    bake: (weight, state) => tf.mul(weight, state.mask),
    encoding: (_weight, state) => ({ mask: Uint8Array.from(state.mask.dataSync()) }),
  };
}
registerTransform('ThimbleTestHiding', (config) => hiding(config.mask as number[]));
