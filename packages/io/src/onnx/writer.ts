// An ONNX graph in the making: names, initializers, nodes, and values whose channels may be moved to the front.
import { sizeOf } from '@thimble/base';
import type { ActivationCode, Shape } from '@thimble/graph';
import {
  ATTRIBUTES,
  ELEMENTS,
  type OnnxAttribute,
  type OnnxNode,
  type OnnxTensor,
} from './messages.ts';

/** A value of the ONNX graph. */
export interface Value {
  name: string;
  /** As the graph has it: channels last, without the batch axis. */
  shape: Shape;
  /**
   * Where ONNX has the channels: 'last' as the graph does, 'first', or 'flat': a vector that was made of an
   * image with its channels first.
   */
  layout: 'last' | 'first' | 'flat';
  /** Of a 'flat' value: the shape of that image, channels last. */
  image?: Shape;
}

export type Attributes = Record<string, number | string | number[] | undefined>;

/** Numbers of an initializer, and its sizes. */
export interface Numbers {
  data: Float32Array | Int8Array | Uint8Array | Int32Array | BigInt64Array;
  dims: number[];
}

export class OnnxWriter {
  readonly nodes: OnnxNode[] = [];
  readonly initializers: OnnxTensor[] = [];
  readonly #names = new Set<string>(['']);
  /** What was made already, by what it was made of. */
  readonly #made = new Map<string, string>();

  /** `name`, or with a number behind it where it is taken. */
  free(name: string): string {
    let free = name;
    for (let i = 1; this.#names.has(free); i++) free = `${name}_${i}`;
    this.#names.add(free);
    return free;
  }

  /** Adds a node with one output, which has the name of the node; returns the name. */
  add(op: string, inputs: string[], attributes: Attributes, name: string): string {
    const output = this.free(name);
    this.nodes.push({
      name: output,
      op,
      inputs,
      outputs: [output],
      attributes: Object.entries(attributes).flatMap(([key, value]) =>
        value === undefined ? [] : [attributeOf(key, value)],
      ),
    });
    return output;
  }

  /** Adds an initializer once for every `key`; returns its name. */
  initializer(name: string, make: () => Numbers, key: string = name): string {
    return this.#once(`initializer ${key}`, () => {
      const { data, dims } = make();
      const free = this.free(name);
      this.initializers.push(tensorOf(free, data, dims));
      return free;
    });
  }

  /** The same value with its channels in front. */
  first(value: Value): Value {
    if (value.layout === 'first' || value.shape.length < 2) return value;
    const axes = value.shape.map((_, i) => i + 1);
    const perm = [0, axes.length, ...axes.slice(0, -1)];
    return { ...value, layout: 'first', name: this.#transposed(value.name, perm, 'first') };
  }

  /** The same value in the graph's own order. */
  last(value: Value): Value {
    const { name, layout, image, shape } = value;
    if (layout === 'last') return value;
    if (layout === 'first') {
      const axes = shape.map((_, i) => i + 1);
      const perm = [0, ...axes.slice(1), 1];
      return { ...value, layout: 'last', name: this.#transposed(name, perm, 'last') };
    }
    const last = this.#once(`last ${name}`, () => {
      const channels = image!.at(-1)!;
      const whole = this.reshape(name, [channels, ...image!.slice(0, -1)], `${name}/image`);
      const turned = this.last({ name: whole, shape: image!, layout: 'first' });
      return this.reshape(turned.name, shape, `${name}/last`);
    });
    return { shape, layout: 'last', name: last };
  }

  /** A value in another shape, the batch axis as it is; one size may be open. */
  reshape(name: string, shape: Shape, as: string): string {
    const dims = [0, ...shape.map((size) => size ?? -1)];
    return this.add('Reshape', [name, this.integers(dims)], {}, as);
  }

  /**
   * A value as a vector for every example: with Reshape, as rounding behind it can be moved in front of that,
   * but not of Flatten, by onnxruntime.
   */
  flat(name: string, as: string): string {
    return this.add('Reshape', [name, this.integers([0, -1])], {}, as);
  }

  /** An initializer of whole numbers, as shapes and paddings are. */
  integers(values: readonly number[]): string {
    const make = () => ({ data: BigInt64Array.from(values, BigInt), dims: [values.length] });
    return this.initializer('integers', make, `integers ${values}`);
  }

  /** An initializer of one number. */
  scalar(value: number): string {
    const make = () => ({ data: Float32Array.of(value), dims: [] });
    return this.initializer('scalar', make, `scalar ${value}`);
  }

  /** The value rounded to codes and back; once for every value and code. */
  rounded(value: Value, code: ActivationCode): Value {
    const { scale, zeroPoint, low, high } = code;
    const step = Math.fround(scale);
    const name = this.#once(`rounded ${[step, zeroPoint, low, high]} ${value.name}`, () => {
      let given = value.name;
      if (low > 0 || high < 255) {
        const ends = [low, high].map((end) => this.scalar(step * (end - zeroPoint)));
        given = this.add('Clip', [given, ...ends], {}, `${value.name}/range`);
      }
      const zero = this.initializer(
        'zeroPoint',
        () => ({ data: Uint8Array.of(zeroPoint), dims: [] }),
        `zeroPoint ${zeroPoint}`,
      );
      const grid = [this.scalar(step), zero];
      const codes = this.add('QuantizeLinear', [given, ...grid], {}, `${value.name}/codes`);
      return this.add('DequantizeLinear', [codes, ...grid], {}, `${value.name}/rounded`);
    });
    return { ...value, name };
  }

  /** Takes out the nodes and initializers whose values nothing uses. */
  prune(outputs: readonly string[]): void {
    const used = new Set(outputs);
    for (let i = this.nodes.length - 1; i >= 0; i--) {
      const { inputs, outputs: made } = this.nodes[i]!;
      if (made.some((name) => used.has(name))) for (const name of inputs) used.add(name);
      else this.nodes.splice(i, 1);
    }
    const kept = this.initializers.filter(({ name }) => used.has(name!));
    this.initializers.splice(0, this.initializers.length, ...kept);
  }

  /** Makes two names change places. */
  swap(a: string, b: string): void {
    const other = (name: string) => (name === a ? b : name === b ? a : name);
    for (const node of this.nodes) {
      node.inputs = node.inputs.map(other);
      node.outputs = node.outputs.map(other);
      node.name = other(node.name!);
    }
    for (const tensor of this.initializers) tensor.name = other(tensor.name!);
  }

  #transposed(name: string, perm: number[], as: string): string {
    return this.#once(`${as} ${name}`, () =>
      this.add('Transpose', [name], { perm }, `${name}/${as}`),
    );
  }

  #once(key: string, make: () => string): string {
    const known = this.#made.get(key) ?? make();
    this.#made.set(key, known);
    return known;
  }
}

function attributeOf(name: string, value: number | string | number[]): OnnxAttribute {
  const attribute: OnnxAttribute = { name, floats: [], ints: [] };
  if (typeof value === 'string') {
    return { ...attribute, s: new TextEncoder().encode(value), type: ATTRIBUTES.string };
  }
  if (Array.isArray(value)) return { ...attribute, ints: value, type: ATTRIBUTES.ints };
  // Whole numbers are ints but for the attributes that ONNX has as floats.
  if (FLOATS.has(name)) return { ...attribute, f: value, type: ATTRIBUTES.float };
  return { ...attribute, i: value, type: ATTRIBUTES.int };
}

const FLOATS = new Set(['alpha', 'beta', 'gamma', 'epsilon']);

function tensorOf(name: string, data: Numbers['data'], dims: number[]): OnnxTensor {
  if (data.length !== sizeOf(dims)) throw new Error(`${name}: ${data.length} for [${dims}]`);
  const type =
    data instanceof Float32Array
      ? ELEMENTS.float
      : data instanceof Int8Array
        ? ELEMENTS.int8
        : data instanceof Uint8Array
          ? ELEMENTS.uint8
          : data instanceof Int32Array
            ? ELEMENTS.int32
            : ELEMENTS.int64;
  const raw = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  return { name, dims, type, raw, floats: [], ints: [], longs: [], doubles: [] };
}
