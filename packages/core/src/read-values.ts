// The numbers of a tensor that is made for them alone.
import * as tf from '@tensorflow/tfjs-core';

/**
 * A copy of the values of a tensor that `make` gives; what it makes is disposed. `tf.tidy(() => ... dataSync())`
 * would look at each number that it returns for tensors: seconds for a million, and an error for 17 million.
 *
 * @example
 * const kernel = readValues(() => layerWeight(layer, 'kernel').read());
 */
export function readValues(make: () => tf.Tensor): Float32Array {
  let values = new Float32Array(0);
  tf.tidy(() => {
    values = Float32Array.from(make().dataSync());
  });
  return values;
}
