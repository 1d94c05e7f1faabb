// The networks of the example, each binary one with the float network that it is measured against.
import * as tfl from '@tensorflow/tfjs-layers';
import { layers, withSeed } from 'thimble';

const { activation, conv2d, dense, dropout, flatten, maxPooling2d } = tfl.layers;
const inputShape: [number, number, number] = [28, 28, 1];
const CLASSES = 10;
/** The moving averages of xnor layers and of the authors' networks. */
const batchNormalization = () => tfl.layers.batchNormalization({ momentum: 0.9, epsilon: 1e-4 });
const relu = { activation: 'relu' } as const;

/** Which part of the experiment a network belongs to; each has one way of training. */
export type Part = 'binaryConnect' | 'xnor' | 'bnn';

/** A network to train. */
export interface Entry {
  name: string;
  part: Part;
  make(): tfl.Sequential;
}

type Regulariser = 'none' | 'deterministic' | 'stochastic' | 'dropout';

/**
 * BinaryConnect's perceptron: every dense layer without a bias, batch normalization behind it, ReLU; the
 * output has no activation, for the squared hinge loss. With binary weights, the paper's initial values and
 * learning rates of the weights.
 */
function perceptron(regulariser: Regulariser, units: number): tfl.layers.Layer[] {
  const product = (size: number): tfl.layers.Layer => {
    if (regulariser === 'none' || regulariser === 'dropout') {
      return dense({ units: size, useBias: false });
    }
    const kernelInitializer = tfl.initializers.randomUniform({ minval: -1, maxval: 1 });
    const own = { units: size, useBias: false, kernelInitializer };
    return layers.binaryDense({ ...own, mode: regulariser, scaleLearningRate: true });
  };
  const hidden = () => [
    product(units),
    batchNormalization(),
    activation(relu),
    ...(regulariser === 'dropout' ? [dropout({ rate: 0.5 })] : []),
  ];
  const hiddens = [hidden(), hidden(), hidden()].flat();
  return [flatten({ inputShape }), ...hiddens, product(CLASSES), batchNormalization()];
}

/** LeNet-5 with batch normalization; with xnor layers in the middle, the first and the last layer real. */
function lenet5(xnor: boolean): tfl.layers.Layer[] {
  const middle = xnor
    ? [layers.xnorConv2d({ filters: 50, kernelSize: 5, ...relu })]
    : [batchNormalization(), conv2d({ filters: 50, kernelSize: 5, ...relu })];
  const late = xnor
    ? [layers.xnorDense({ units: 500, ...relu })]
    : [batchNormalization(), dense({ units: 500, ...relu })];
  return [
    conv2d({ filters: 20, kernelSize: 5, inputShape }),
    batchNormalization(),
    activation(relu),
    maxPooling2d({ poolSize: 2 }),
    ...middle,
    maxPooling2d({ poolSize: 2 }),
    flatten(),
    ...late,
    dense({ units: CLASSES }),
  ];
}

/** A perceptron with binary weights and activations; only the image is real. */
function binarised(units: number): tfl.layers.Layer[] {
  const next = (size: number) => layers.xnorDense({ units: size, scaling: 'none', useBias: false });
  return [
    flatten({ inputShape }),
    layers.binaryDense({ units, useBias: false }),
    next(units),
    next(units),
    next(CLASSES),
    batchNormalization(),
  ];
}

/** All networks of the experiment, from one seed. */
export function networks(seed: number, units: { perceptron: number; bnn: number }): Entry[] {
  const entry = (part: Part, name: string, build: () => tfl.layers.Layer[]): Entry => ({
    part,
    name,
    make: () => withSeed(seed, () => tfl.sequential({ name, layers: build() })),
  });
  const connected = (name: string, regulariser: Regulariser) =>
    entry('binaryConnect', name, () => perceptron(regulariser, units.perceptron));
  return [
    connected('MLP, float', 'none'),
    connected('MLP, float, dropout', 'dropout'),
    connected('MLP, BinaryConnect deterministic', 'deterministic'),
    connected('MLP, BinaryConnect stochastic', 'stochastic'),
    entry('xnor', 'LeNet-5, float', () => lenet5(false)),
    entry('xnor', 'LeNet-5, XNOR', () => lenet5(true)),
    entry('bnn', 'BNN twin, float', () => perceptron('none', units.bnn)),
    entry('bnn', 'BNN', () => binarised(units.bnn)),
  ];
}
