// Short texts in few bytes: usual phrases of a network's description become one byte each, and every byte is
// predicted from those before it.
import { MixedBits } from './adaptive-bits.ts';
import type { BitCoder } from './arithmetic-decoder.ts';

/**
 * What the bytes from 128 on stand for. Part of the format: phrases may be added at the end, never changed.
 */
export const PHRASES: readonly string[] = [
  '{"name":"',
  '","nodes":[["input","',
  '_input",[],[[28,28,1]]],["',
  '_input",[],[[',
  '"sequential_',
  'dense","',
  'conv2d","',
  '","useBias":true},["kernel","bias"]],["',
  '","useBias":true},["kernel","bias"]]]',
  '"useBias":true',
  '"useBias":false},["kernel"]],["',
  '"useBias":false',
  '{"units":',
  ',"activation":"relu',
  ',"activation":"softmax',
  ',"activation":"linear',
  ',"activation":"',
  ',0,[[',
  ']],{"',
  ']]],["',
  ']],["',
  ']]',
  '{"filters":',
  ',"rank":2,"kernelSize":[3,3],"strides":[1,1],"padding":"same","dataFormat":"channelsLast","dilationRate":[1,1]',
  ',"rank":2,"kernelSize":[',
  '],"strides":[1,1],"padding":"valid","dataFormat":"channelsLast","dilationRate":[1,1]',
  '],"strides":[1,1],"padding":"same","dataFormat":"channelsLast","dilationRate":[1,1]',
  '],"strides":[2,2],"padding":"same","dataFormat":"channelsLast","dilationRate":[1,1]',
  '],"padding":"valid","strides":[2,2],"dataFormat":"channelsLast"}],["',
  '"rank":',
  '"kernelSize":[',
  '"strides":[',
  '"padding":"same"',
  '"padding":"valid"',
  '"dataFormat":"channelsLast"',
  '"dilationRate":[',
  '"poolSize":[',
  'maxPooling2d","max_pooling2d_MaxPooling2D',
  'maxPooling2d","',
  'averagePooling2d","average_pooling2d_AveragePooling2D',
  'averagePooling2d","',
  'globalAveragePooling2d","global_average_pooling2d_GlobalAveragePooling2D',
  'globalAveragePooling2d","',
  'flatten","flatten_Flatten',
  'flatten","',
  'batchNormalization","batch_normalization_BatchNormalization',
  'batchNormalization","',
  '"axis":-1,"momentum":0.99,"epsilon":0.001,"center":true,"scale":true},["gamma","beta","movingMean","movingVariance"]],["',
  '"axis":',
  '"momentum":',
  '"epsilon":',
  '"center":true,"scale":true',
  '["gamma","beta","movingMean","movingVariance"]',
  'activation","activation_Activation',
  'activation","',
  '{"activation":"',
  'dropout","dropout_Dropout',
  'dropout","',
  '{"rate":',
  '"noiseShape":null,"seed":null',
  'depthwiseConv2d","',
  'separableConv2d","',
  'depthwise_conv2d_DepthwiseConv2D',
  'separable_conv2d_SeparableConv2D',
  '"depthMultiplier":',
  '["depthwiseKernel","bias"]',
  '["depthwiseKernel","pointwiseKernel","bias"]',
  '["depthwiseKernel"',
  '"pointwiseKernel"',
  '"kernel"',
  '"recurrentKernel"',
  '"bias"',
  'reLU","re_lu_ReLU',
  '{"maxValue":',
  'add","add_Add',
  'concatenate","concatenate_Concatenate',
  'zeroPadding2d","',
  'reshape","',
  '{"targetShape":[',
  'embedding","',
  '{"inputDim":',
  ',"outputDim":',
  ',"maskZero":false,"inputLength":null},["embeddings"]],["',
  'lstm","',
  'gru","',
  '"recurrentActivation":"hardSigmoid"',
  '"recurrentActivation":"sigmoid"',
  '"unitForgetBias":true',
  '"dropout":0,"recurrentDropout":0,"implementation":1',
  '"returnSequences":false',
  '"returnSequences":true',
  '"returnState":false',
  '"goBackwards":false',
  '"stateful":false',
  '"unroll":false',
  '"resetAfter":',
  '["kernel","recurrentKernel","bias"]',
  'dense_Dense',
  'conv2d_Conv2D',
  'output"',
  '"inputs":[',
  '"outputs":[["',
  '"labels":["',
  '"preprocessing":',
  '"report":',
  '"timeDistributed":true',
  '"linear"',
  '"relu"',
  '"tanh"',
  '"sigmoid"',
  'false',
  'true',
  'null',
  '","',
  '":"',
  '":',
  '],[',
  '"],"',
  '],',
  ',"',
  ',0,[[null,',
];

const ORDERS = 3;
/** Contexts of each order; the bytes before share them by hashing. */
const TABLE = 1 << 13;

/** Predicts bytes, each from its highest bit on, in contexts of the last 0, 1 and 2 bytes. */
class TextModel {
  readonly #bits: MixedBits;
  #last = 0;
  #before = 0;

  constructor(coder: BitCoder) {
    const mixing = { memory: 64, rate: 0.02, weight: 0.45 };
    this.#bits = new MixedBits(coder, ORDERS, ORDERS * TABLE, mixing);
  }

  byte(value: number): number {
    const { contexts } = this.#bits;
    const one = Math.imul(this.#last + 1, 0x9e3779b1);
    const two = Math.imul(one ^ (this.#before + 1), 0x85ebca6b);
    let partial = 1;
    for (let shift = 7; shift >= 0; shift--) {
      contexts[0] = partial;
      contexts[1] = TABLE + placeOf(one + partial);
      contexts[2] = 2 * TABLE + placeOf(two + partial);
      partial = partial * 2 + this.#bits.bit((value >> shift) & 1);
    }
    this.#before = this.#last;
    this.#last = partial & 255;
    return this.#last;
  }
}

function placeOf(hash: number): number {
  const mixed = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d);
  return (mixed ^ (mixed >>> 12)) & (TABLE - 1);
}

/** Codes bytes in place: an encoder reads them, a decoder writes them. */
export function codeText(coder: BitCoder, bytes: Uint8Array): void {
  const model = new TextModel(coder);
  for (let i = 0; i < bytes.length; i++) bytes[i] = model.byte(bytes[i]!);
}

/** The text that bytes stand for; undefined where a byte stands for nothing. */
export function textOfPhrases(bytes: Uint8Array): string | undefined {
  const parts: string[] = [];
  for (const byte of bytes) {
    const part = byte < 128 ? String.fromCharCode(byte) : PHRASES[byte - 128];
    if (part === undefined) return undefined;
    parts.push(part);
  }
  return parts.join('');
}
