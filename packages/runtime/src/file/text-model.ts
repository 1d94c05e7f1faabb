// Short texts in few bytes: every bit is predicted from the bytes before it, by a model that has read the
// usual words of a network's description beforehand.
import { MixedBits } from './adaptive-bits.ts';
import type { BitCoder } from './arithmetic-decoder.ts';

const ORDERS = 6;
/** Contexts of each order; other bytes than the last share them by hashing. */
const TABLE = 1 << 16;

/** What the model has read. Part of the format: a change makes a new version. */
const PRIMER =
  '{"name":"sequential_1","nodes":[["input","input_1",[],[[28,28,1]]],["flatten","flatten_Flatten1",0,[[784]],{"dataFormat":"channelsLast"}],' +
  '["reshape","reshape_1",0,[[16,16,3]],{"targetShape":[16,16,3]}],["embedding","embedding_1",0,[[null,8]],{"inputDim":1000,"outputDim":8,"maskZero":false,"inputLength":null},["embeddings"]],' +
  '["lstm","lstm_1",0,[[16]],{"units":16,"activation":"tanh","recurrentActivation":"hardSigmoid","useBias":true,"unitForgetBias":true,"dropout":0,"recurrentDropout":0,"implementation":1,"returnSequences":false,"returnState":false,"goBackwards":false,"stateful":false,"unroll":false},["kernel","recurrentKernel","bias"]],' +
  '["separableConv2d","separable_conv2d_SeparableConv2D1",0,[[14,14,64]],{"filters":64,"depthMultiplier":1,"rank":2,"kernelSize":[3,3],"strides":[2,2],"padding":"same","dataFormat":"channelsLast","dilationRate":[1,1],"activation":"linear","useBias":false},["depthwiseKernel","pointwiseKernel"]],' +
  '["depthwiseConv2d","depthwise_conv2d_1",0,[[14,14,32]],{"kernelSize":[3,3],"strides":[1,1],"padding":"same","dataFormat":"channelsLast","dilationRate":[1,1],"activation":"linear","useBias":false,"depthMultiplier":1},["depthwiseKernel"]],' +
  '["batchNormalization","batch_normalization_BatchNormalization1",0,[[14,14,32]],{"axis":-1,"momentum":0.99,"epsilon":0.001,"center":true,"scale":true},["gamma","beta","movingMean","movingVariance"]],' +
  '["activation","activation_Activation1",0,[[14,14,32]],{"activation":"relu"}],["reLU","re_lu_ReLU1",0,[[14,14,32]],{"maxValue":6}],["add","add_Add1",[3,4],[[14,14,32]]],["concatenate","concatenate_1",[[3,0],[4,1]],[[14,14,64]],{"axis":-1}],' +
  '["globalAveragePooling2d","global_average_pooling2d_1",0,[[64]],{"dataFormat":"channelsLast"}],["averagePooling2d","average_pooling2d_1",0,[[7,7,32]],{"poolSize":[2,2],"padding":"valid","strides":[2,2],"dataFormat":"channelsLast"}],' +
  '["input","conv1_input",[],[[28,28,1]]],["conv2d","conv1",0,[[24,24,20]],{"filters":20,"rank":2,"kernelSize":[5,5],"strides":[1,1],"padding":"valid","dataFormat":"channelsLast","dilationRate":[1,1],"activation":"relu","useBias":true},["kernel","bias"]],' +
  '["maxPooling2d","max_pooling2d_MaxPooling2D1",0,[[12,12,20]],{"poolSize":[2,2],"padding":"valid","strides":[2,2],"dataFormat":"channelsLast"}],["conv2d","conv2d_Conv2D1",0,[[8,8,50]],{"filters":50,"rank":2,"kernelSize":[3,3],"strides":[1,1],"padding":"same","dataFormat":"channelsLast","dilationRate":[1,1],"activation":"linear","useBias":true},["kernel","bias"]],' +
  '["dropout","dropout_Dropout1",0,[[500]],{"rate":0.5,"noiseShape":null,"seed":null}],["dense","dense_Dense1",0,[[100]],{"units":100,"activation":"relu","useBias":true},["kernel","bias"]],["dense","fc1",0,[[300]],{"units":300,"activation":"relu","useBias":true},["kernel","bias"]],["dense","output",0,[[10]],{"units":10,"activation":"softmax","useBias":true},["kernel","bias"]]],' +
  '"inputs":["conv2d_Conv2D1_input"],"outputs":[["output",0]],"labels":["0","1","2","3","4","5","6","7","8","9"],"preprocessing":{"mean":[0.5],"scale":[255]},"report":{"steps":[{"name":"prune"},{"name":"quantize","bits":8}],"bytes":1234}}';

/** Predicts a text byte by byte, each from its highest bit on, in contexts of the last 0 to 6 bytes. */
class TextModel {
  readonly #bits: MixedBits;
  readonly #hashes = new Int32Array(ORDERS);
  readonly #last = new Uint8Array(8);
  #count = 0;

  constructor(coder: BitCoder) {
    const mixing = { sets: 256, memory: 128, rate: 0.02, weight: 0.4 };
    this.#bits = new MixedBits(coder, ORDERS, ORDERS * TABLE, mixing);
  }

  byte(value: number): number {
    const [bits, hashes] = [this.#bits, this.#hashes];
    this.#contexts();
    let partial = 1;
    for (let shift = 7; shift >= 0; shift--) {
      for (let k = 0; k < ORDERS; k++) {
        const mixed = Math.imul(hashes[k]! + partial, 0x2c1b3c6d);
        bits.contexts[k] = k * TABLE + ((mixed ^ (mixed >>> 15)) & (TABLE - 1));
      }
      partial = partial * 2 + bits.bit((value >> shift) & 1, partial);
    }
    const byte = partial & 255;
    this.#last[this.#count++ & 7] = byte;
    return byte;
  }

  /** The hashes of the last 0, 1, 2, 3, 4 and 6 bytes. */
  #contexts(): void {
    let hash = 0;
    let length = 0;
    for (let k = 0; k < ORDERS; k++) {
      const wanted = k < 5 ? k : 6;
      for (; length < wanted; length++) {
        hash = Math.imul(hash + this.#last[(this.#count - 1 - length) & 7]! + 1, 0x3d4d51cb);
        hash ^= hash >>> 13;
      }
      this.#hashes[k] = Math.imul(hash + k, 0x9e3779b1);
    }
  }
}

/** Passes the bits of the primer through. */
class Switch implements BitCoder {
  coder: BitCoder = { bit: (_, bit) => bit };

  bit(one: number, bit: number): number {
    return this.coder.bit(one, bit);
  }
}

/** Codes the bytes of a text in place: an encoder reads them, a decoder writes them. */
export function codeText(coder: BitCoder, text: Uint8Array): void {
  const through = new Switch();
  const model = new TextModel(through);
  for (let i = 0; i < PRIMER.length; i++) model.byte(PRIMER.charCodeAt(i));
  through.coder = coder;
  for (let i = 0; i < text.length; i++) text[i] = model.byte(text[i]!);
}
