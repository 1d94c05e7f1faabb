// A network as a TFLite file, for LiteRT.js: the layers that the benchmarks have, in floats, or in 8 bits with
// floats at both ends where the graph says how its values are coded.
import type { Graph, GraphNode, GraphWeight } from '@thimble/graph';
import { type Builder, type Table, writeTable } from './flat-table.ts';
import { type Coding, codingOf } from './tflite-codes.ts';
import {
  byte,
  FLOAT32,
  INT8,
  INT32,
  int,
  OPERATORS,
  OPTIONS,
  type Operator,
  RELU,
} from './tflite-schema.ts';

/** A value between layers: its tensor, its shape without the batch, its code. */
interface Value {
  tensor: number;
  shape: number[];
  coding: Coding | undefined;
}

/** Options of {@link toTflite}. */
export interface TfliteOptions {
  /** The range of what the last dense layer gives before softmax; needed in 8 bits. */
  logits?: { min: number; max: number };
}

/**
 * The file of a network without batch normalisation, for one example, with a softmax at its end.
 *
 * @throws {Error} for a layer that it does not know, by name.
 */
export function toTflite(builder: Builder, graph: Graph, options: TfliteOptions = {}): Uint8Array {
  const writer = new Writer(graph, options);
  writer.write();
  builder.finish(writeTable(builder, writer.model()), 'TFL3');
  return builder.asUint8Array();
}

class Writer {
  readonly #graph: Graph;
  readonly #logits: TfliteOptions['logits'];
  readonly #coded: boolean;
  readonly #tensors: Table[] = [];
  /** The first buffer is empty, for all tensors that are computed. */
  readonly #buffers: Table[] = [{}];
  readonly #operators: Table[] = [];
  readonly #kinds: Operator[] = [];
  readonly #values = new Map<string, Value>();
  /** ReLUs that are computed by the layer before them. */
  readonly #fused = new Set<string>();
  #ends: [input: number, output: number] = [0, 0];

  constructor(graph: Graph, { logits }: TfliteOptions) {
    this.#graph = graph;
    this.#logits = logits;
    this.#coded = graph.nodes.some(({ codes }) => codes?.inputs?.some(Boolean));
  }

  write(): void {
    for (const node of this.#graph.nodes) this.#node(node);
    this.#ends[1] = this.#values.get(this.#graph.outputs[0]!.node)!.tensor;
  }

  model(): Table {
    const text = (value: string) => ({ type: 'text', value }) as const;
    const codes = this.#kinds.map((kind): Table => {
      const { code, versions } = OPERATORS[kind];
      return {
        0: { type: 'byte', value: Math.min(code, 127) },
        2: { type: 'int', value: versions[this.#coded ? 1 : 0] },
        3: { type: 'int', value: code },
      };
    });
    const subgraph: Table = {
      0: { type: 'tables', values: this.#tensors },
      1: { type: 'ints', values: [this.#ends[0]] },
      2: { type: 'ints', values: [this.#ends[1]] },
      3: { type: 'tables', values: this.#operators },
      4: text('main'),
    };
    return {
      0: { type: 'int', value: 3 },
      1: { type: 'tables', values: codes },
      2: { type: 'tables', values: [subgraph] },
      3: text(this.#graph.name),
      4: { type: 'tables', values: this.#buffers },
    };
  }

  #node(node: GraphNode): void {
    const { op, name, attributes } = node;
    const shape = node.outputs[0] as number[];
    if (op === 'input') {
      const tensor = this.#tensor(name, [1, ...shape], FLOAT32);
      this.#ends[0] = tensor;
      const coding = codingOf(this.#graph, name);
      if (!coding) {
        this.#values.set(name, { tensor, shape, coding });
        return;
      }
      const coded = this.#tensor(`${name} coded`, [1, ...shape], INT8, coding);
      this.#operator('quantize', [tensor], coded);
      this.#values.set(name, { tensor: coded, shape, coding });
      return;
    }
    const inputs = node.inputs.map((source) => this.#values.get(source.node)!);
    const [x] = inputs as [Value];
    if (this.#fused.has(name)) {
      this.#values.set(name, x);
      return;
    }
    switch (op) {
      case 'conv2d':
      case 'depthwiseConv2d': {
        const y = this.#output(node);
        this.#convolution(node, x, y);
        return;
      }
      case 'dense': {
        this.#dense(node, x);
        return;
      }
      case 'add': {
        const y = this.#output(node);
        const tensors = inputs.map(({ tensor }) => tensor);
        this.#operator('add', tensors, y.tensor, { 0: byte(this.#relu(node)) });
        return;
      }
      case 'maxPooling2d':
      case 'averagePooling2d': {
        const [height, width] = attributes.poolSize as [number, number];
        const [down, right] = attributes.strides as [number, number];
        const y = this.#output(node, op === 'maxPooling2d' ? x.coding : undefined);
        this.#operator(op === 'maxPooling2d' ? 'maxPool' : 'averagePool', [x.tensor], y.tensor, {
          0: byte(padding(node)),
          1: int(right),
          2: int(down),
          3: int(width),
          4: int(height),
          5: byte(0),
        });
        return;
      }
      case 'globalAveragePooling2d': {
        const y = this.#output(node);
        const axes = this.#constant(`${name} axes`, [2], INT32, Int32Array.of(1, 2));
        const keepDims = { 0: byte(0) };
        this.#operator('mean', [x.tensor, axes], y.tensor, keepDims);
        return;
      }
      case 'flatten':
      case 'reshape': {
        const y = this.#output(node, x.coding);
        const target = this.#constant(
          `${name} shape`,
          [1 + shape.length],
          INT32,
          Int32Array.of(1, ...shape),
        );
        this.#operator('reshape', [x.tensor, target], y.tensor, {
          0: { type: 'ints', values: [1, ...shape] },
        });
        return;
      }
      case 'softmax':
        this.#softmax(name, x);
        return;
      default:
        throw new Error(`toTflite: the layer "${name}" is a ${op}, which is not written.`);
    }
  }

  #convolution(node: GraphNode, x: Value, y: Value): void {
    const { op, attributes, weights } = node;
    const [down, right] = attributes.strides as [number, number];
    const [dilateDown, dilateRight] = pair(attributes.dilationRate);
    const depthwise = op === 'depthwiseConv2d';
    const kernel = this.#graph.weights[weights.kernel ?? weights.depthwiseKernel!]!;
    const [height, width, inputs, last] = kernel.encoding.shape as [number, number, number, number];
    const outputs = depthwise ? inputs * last : last;
    const channel = (i: number) => (depthwise ? i % outputs : i % last);
    // TFLite has [outputs, height, width, inputs], and [1, height, width, outputs] for depthwise kernels.
    const shape = depthwise ? [1, height, width, outputs] : [outputs, height, width, inputs];
    const from = depthwise ? undefined : outputsFirst(height * width * inputs, outputs);
    const tensors = this.#weights(node, kernel, { x, outputs, channel, shape, from });
    const activation = byte(this.#relu(node));
    const common = { 0: byte(padding(node)), 1: int(right), 2: int(down) };
    const more = depthwise
      ? { 3: int(last), 4: activation, 5: int(dilateRight), 6: int(dilateDown) }
      : { 3: activation, 4: int(dilateRight), 5: int(dilateDown) };
    this.#operator(depthwise ? 'depthwise' : 'conv', [x.tensor, ...tensors], y.tensor, {
      ...common,
      ...more,
    });
  }

  #dense(node: GraphNode, x: Value): void {
    const kernel = this.#graph.weights[node.weights.kernel!]!;
    const [inputs, outputs] = kernel.encoding.shape as [number, number];
    const softmax = node.attributes.activation === 'softmax';
    const y = softmax ? this.#logitsOf(node, x) : this.#output(node);
    const channel = (i: number) => i % outputs;
    const from = outputsFirst(inputs, outputs);
    const tensors = this.#weights(node, kernel, {
      x,
      outputs,
      channel,
      shape: [outputs, inputs],
      from,
    });
    const relu = softmax ? 0 : this.#relu(node);
    this.#operator('dense', [x.tensor, ...tensors], y.tensor, {
      0: byte(relu),
      1: byte(0),
      2: byte(0),
    });
    if (softmax) this.#softmax(node.name, y);
  }

  /** What goes into the softmax of a dense layer. */
  #logitsOf({ name, outputs }: GraphNode, x: Value): Value {
    const shape = outputs[0] as number[];
    if (!x.coding) {
      return {
        tensor: this.#tensor(`${name} logits`, [1, ...shape], FLOAT32),
        shape,
        coding: undefined,
      };
    }
    if (!this.#logits)
      throw new Error('toTflite: a network in 8 bits needs the range of its logits.');
    const min = Math.min(0, this.#logits.min);
    const scale = (Math.max(0, this.#logits.max) - min) / 255;
    const coding = { scale, zeroPoint: Math.round(-128 - min / scale) };
    return { tensor: this.#tensor(`${name} logits`, [1, ...shape], INT8, coding), shape, coding };
  }

  /** Softmax, in floats. */
  #softmax(name: string, x: Value): void {
    let { tensor } = x;
    if (x.coding) {
      const floats = this.#tensor(`${name} floats`, [1, ...x.shape], FLOAT32);
      this.#operator('dequantize', [tensor], floats);
      tensor = floats;
    }
    const y = this.#tensor(name, [1, ...x.shape], FLOAT32);
    this.#operator('softmax', [tensor], y, { 0: { type: 'float', value: 1 } });
    this.#values.set(name, { tensor: y, shape: x.shape, coding: undefined });
  }

  /** The tensors of a kernel and its bias. */
  #weights(
    { name, weights }: GraphNode,
    kernel: GraphWeight,
    to: {
      x: Value;
      outputs: number;
      /** The output channel of an entry. */
      channel: (entry: number) => number;
      shape: number[];
      /** Where each entry of the file comes from. */
      from: Int32Array | undefined;
    },
  ): [kernel: number, bias: number] {
    const { x, outputs, channel, shape, from } = to;
    const data = kernel.data!;
    const ordered = <A extends Float32Array | Int8Array>(values: A): A =>
      from ? (values.map((_, i) => values[from[i]!]!) as A) : values;
    const bias = weights.bias
      ? this.#graph.weights[weights.bias]!.data!
      : new Float32Array(outputs);
    if (!x.coding) {
      return [
        this.#constant(`${name} kernel`, shape, FLOAT32, ordered(data)),
        this.#constant(`${name} bias`, [outputs], FLOAT32, bias),
      ];
    }
    const { values } = kernel.encoding;
    if (values.type !== 'affine') throw new Error(`toTflite: "${name}" is not in 8 bits.`);
    const scales = Array.from(
      { length: outputs },
      (_, o) => values.scale[values.scale.length === 1 ? 0 : o]!,
    );
    const codes = Int8Array.from(data, (w, i) => Math.round(w / scales[channel(i)]!));
    const steps = scales.map((scale) => scale * x.coding!.scale);
    const whole = Int32Array.from(bias, (b, o) => Math.round(b / steps[o]!));
    const axis = shape.length === 4 && shape[0] === 1 && from === undefined ? 3 : 0;
    return [
      this.#constant(`${name} kernel`, shape, INT8, ordered(codes), { scales, axis }),
      this.#constant(`${name} bias`, [outputs], INT32, whole, { scales: steps, axis: 0 }),
    ];
  }

  /** The value that a node gives, coded as those who take it say. */
  #output({ name, outputs }: GraphNode, given?: Coding): Value {
    const shape = outputs[0] as number[];
    const coding = this.#coded ? (given ?? codingOf(this.#graph, name)) : undefined;
    if (this.#coded && !coding) throw new Error(`toTflite: the output of "${name}" has no code.`);
    const tensor = this.#tensor(name, [1, ...shape], coding ? INT8 : FLOAT32, coding);
    const value = { tensor, shape, coding };
    this.#values.set(name, value);
    return value;
  }

  /** The activation of a layer, or of the ReLU that alone takes what it gives. */
  #relu({ name, attributes }: GraphNode): number {
    if (attributes.activation === 'relu') return RELU;
    if ((attributes.activation ?? 'linear') !== 'linear') {
      throw new Error(
        `toTflite: the activation ${attributes.activation} of "${name}" is not written.`,
      );
    }
    const users = this.#graph.nodes.filter(({ inputs }) =>
      inputs.some((source) => source.node === name),
    );
    const [user] = users;
    const plain = user?.op === 'reLU' && (user.attributes.maxValue ?? null) === null;
    const named = user?.op === 'activation' && user.attributes.activation === 'relu';
    if (users.length !== 1 || !(plain || named)) return 0;
    this.#fused.add(user!.name);
    return RELU;
  }

  #constant(
    name: string,
    shape: number[],
    type: number,
    values: Float32Array | Int32Array | Int8Array,
    coding?: { scales: number[]; axis: number },
  ): number {
    const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    this.#buffers.push({ 0: { type: 'bytes', values: bytes } });
    return this.#tensor(name, shape, type, coding, this.#buffers.length - 1);
  }

  #tensor(
    name: string,
    shape: number[],
    type: number,
    coding?: Coding | { scales: number[]; axis: number },
    buffer: number = 0,
  ): number {
    const scales = coding && ('scales' in coding ? coding.scales : [coding.scale]);
    const zeroPoints =
      coding && ('scales' in coding ? coding.scales.map(() => 0) : [coding.zeroPoint]);
    const quantization: Table | undefined = scales && {
      2: { type: 'floats', values: scales },
      3: { type: 'longs', values: zeroPoints! },
      6: { type: 'int', value: coding && 'axis' in coding ? coding.axis : 0 },
    };
    this.#tensors.push({
      0: { type: 'ints', values: shape },
      1: byte(type),
      2: int(buffer),
      3: { type: 'text', value: name },
      4: quantization && { type: 'table', value: quantization },
    });
    return this.#tensors.length - 1;
  }

  #operator(kind: Operator, inputs: number[], output: number, options?: Table): void {
    if (!this.#kinds.includes(kind)) this.#kinds.push(kind);
    const union = OPTIONS[kind];
    this.#operators.push({
      0: int(this.#kinds.indexOf(kind)),
      1: { type: 'ints', values: inputs },
      2: { type: 'ints', values: [output] },
      3: union === undefined ? undefined : byte(union),
      4: options && { type: 'table', value: options },
    });
  }
}

/** SAME is 0, VALID is 1. */
function padding({ attributes }: GraphNode): number {
  return attributes.padding === 'same' ? 0 : 1;
}

function pair(value: unknown): [number, number] {
  return Array.isArray(value) ? [value[0], value[1]] : [Number(value ?? 1), Number(value ?? 1)];
}

/** For [rows, outputs] turned into [outputs, rows]: where each entry comes from. */
function outputsFirst(rows: number, outputs: number): Int32Array {
  return Int32Array.from(
    { length: rows * outputs },
    (_, i) => (i % rows) * outputs + Math.floor(i / rows),
  );
}
