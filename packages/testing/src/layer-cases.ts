// Small instances of every layer type whose weights can be seen through transforms.
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';

/** What `tfl.regularizers` makes. */
export type Regularizer = ReturnType<typeof tfl.regularizers.l2>;

/** A layer type to run a contract on. */
export interface LayerCase {
  name: string;
  /** A new, unbuilt layer. The regularizer, if given, is for the weights listed in `weights`. */
  make(regularizer?: Regularizer): tfl.layers.Layer;
  /** The weights to see through transforms. */
  weights: string[];
  /** Shape of one input. */
  inputShape: number[];
  /** Inputs are whole numbers from 0 to this, exclusive; absent for real numbers. */
  classes?: number;
  /** True for recurrent layers, whose regularizers TensorFlow.js itself never adds to the loss. */
  recurrent?: boolean;
}

const { layers } = tfl;

/** Every layer type that `parametrize` works on. */
export const layerCases: LayerCase[] = [
  {
    name: 'dense',
    make: (kernelRegularizer) => layers.dense({ units: 3, activation: 'tanh', kernelRegularizer }),
    weights: ['kernel'],
    inputShape: [4],
  },
  {
    name: 'conv1d',
    make: (kernelRegularizer) => layers.conv1d({ filters: 2, kernelSize: 3, kernelRegularizer }),
    weights: ['kernel'],
    inputShape: [5, 2],
  },
  {
    name: 'conv2d',
    make: (kernelRegularizer) =>
      layers.conv2d({ filters: 3, kernelSize: 2, activation: 'tanh', kernelRegularizer }),
    weights: ['kernel', 'bias'],
    inputShape: [3, 3, 2],
  },
  {
    name: 'conv2dTranspose',
    make: (kernelRegularizer) =>
      layers.conv2dTranspose({ filters: 2, kernelSize: 2, strides: 2, kernelRegularizer }),
    weights: ['kernel'],
    inputShape: [2, 2, 3],
  },
  {
    name: 'depthwiseConv2d',
    make: (depthwiseRegularizer) =>
      layers.depthwiseConv2d({ kernelSize: 2, depthMultiplier: 2, depthwiseRegularizer }),
    weights: ['depthwiseKernel'],
    inputShape: [3, 3, 2],
  },
  {
    name: 'separableConv2d',
    make: (regularizer) =>
      layers.separableConv2d({
        filters: 3,
        kernelSize: 2,
        depthwiseRegularizer: regularizer,
        pointwiseRegularizer: regularizer,
      }),
    weights: ['depthwiseKernel', 'pointwiseKernel'],
    inputShape: [3, 3, 2],
  },
  {
    name: 'embedding',
    make: (embeddingsRegularizer) =>
      layers.embedding({ inputDim: 5, outputDim: 3, embeddingsRegularizer }),
    weights: ['embeddings'],
    inputShape: [4],
    classes: 5,
  },
  {
    name: 'simpleRNN',
    make: () => layers.simpleRNN({ units: 3 }),
    weights: ['kernel', 'recurrentKernel'],
    inputShape: [3, 2],
    recurrent: true,
  },
  {
    name: 'lstm',
    make: () => layers.lstm({ units: 2, returnSequences: true }),
    weights: ['kernel', 'recurrentKernel'],
    inputShape: [3, 2],
    recurrent: true,
  },
  {
    name: 'gru',
    make: () => layers.gru({ units: 2 }),
    weights: ['kernel', 'recurrentKernel'],
    inputShape: [3, 2],
    recurrent: true,
  },
  {
    name: 'bidirectional',
    make: () =>
      layers.bidirectional({
        layer: layers.lstm({ units: 2, returnSequences: true }) as tfl.RNN,
        mergeMode: 'concat',
      }),
    weights: ['kernel', 'recurrentKernel'],
    inputShape: [3, 2],
    recurrent: true,
  },
  {
    name: 'timeDistributed',
    make: (kernelRegularizer) =>
      layers.timeDistributed({ layer: layers.dense({ units: 3, kernelRegularizer }) }),
    weights: ['kernel'],
    inputShape: [3, 2],
  },
  {
    name: 'batchNormalization',
    make: (gammaRegularizer) =>
      layers.batchNormalization({
        gammaInitializer: 'randomNormal',
        betaInitializer: 'randomNormal',
        gammaRegularizer,
      }),
    weights: ['gamma'],
    inputShape: [4],
  },
];

/** A fixed batch of inputs for a layer. */
export function inputsFor(
  { inputShape, classes }: Pick<LayerCase, 'inputShape' | 'classes'>,
  batch: number = 4,
): tf.Tensor {
  const shape = [batch, ...inputShape];
  return classes
    ? tf.tidy(() => tf.cast(tf.floor(tf.randomUniform(shape, 0, classes, 'float32', 3)), 'float32'))
    : tf.randomUniform(shape, -1, 1, 'float32', 3);
}
