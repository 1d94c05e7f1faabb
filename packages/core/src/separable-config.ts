// TensorFlow.js leaves the depth multiplier out of the config of a separable convolution, so that one with
// another multiplier than 1 cannot be loaded again, nor rebuilt. This puts it in.
import type { serialization } from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';

interface Separable {
  depthMultiplier: number;
  getConfig(): serialization.ConfigDict;
}

// Named, or TensorFlow.js would number the user's next layer one higher.
const sample = tfl.layers.separableConv2d({ filters: 1, kernelSize: 1, name: 'sample' });
let owner: object = Object.getPrototypeOf(sample);
while (!Object.hasOwn(owner, 'getConfig')) owner = Object.getPrototypeOf(owner);
const separable = owner as Separable;
const stock = separable.getConfig;
separable.getConfig = function (this: Separable): serialization.ConfigDict {
  return { ...stock.call(this), depthMultiplier: this.depthMultiplier };
};
