// Operations of ONNX that move values or put them together.
import { ShapeError, sizeOf, UnsupportedError } from '@thimble/base';
import type { Shape } from '@thimble/graph';
import { intOf, intsOf, textOf } from './import-attributes.ts';
import { wholeNumbers, zeroPadded } from './import-parts.ts';
import type { OnnxNode } from './messages.ts';
import { at, type OnnxReader, type Value } from './reader.ts';

type Rule = (reader: OnnxReader, node: OnnxNode) => void;

/** The value in the sizes that ONNX wants, the batch left out. */
function reshapeTo(reader: OnnxReader, node: OnnxNode, value: Value, sizes: Shape): Value {
  const name = node.outputs[0]!;
  const given = reader.sizes(value);
  const { shape, layout, image } = value;
  if (String(sizes) === String(given)) return value;
  if (layout === 'pooled') {
    const { image: _, ...vector } = value;
    if (sizes.length === 1) return { ...vector, layout: 'last' };
  }
  if (layout === 'first' && sizes.length === 1) {
    const flat = reader.reshaped(value, sizes, 'flat', name);
    const single = shape.slice(0, -1).every((size) => size === 1);
    return single ? { ...flat, layout: 'last' } : { ...flat, image: shape };
  }
  if (layout === 'flat' && String(sizes) === String([image!.at(-1), ...image!.slice(0, -1)])) {
    return reader.reshaped(value, image!, 'first', name);
  }
  return reader.reshaped(reader.last(value, `${name}_input`), sizes, 'last', name);
}

export const flatten: Rule = (reader, node) => {
  const axis = intOf(node, 'axis', 1);
  const value = reader.value(node, 0);
  if (axis !== 1) throw new UnsupportedError(`${at(node)} has axis ${axis}; only 1 is read.`);
  reader.values.set(node.outputs[0]!, reshapeTo(reader, node, value, [entries(node, value)]));
};

function entries(node: OnnxNode, { shape }: Value): number {
  if (!shape.includes(null)) return sizeOf(shape as number[]);
  throw new UnsupportedError(`${at(node)} is of open sizes. Export the model with fixed sizes.`);
}

export const reshape: Rule = (reader, node) => {
  const value = reader.value(node, 0);
  const wanted = wholeNumbers(node, reader.constant(node, 1));
  const given = reader.sizes(value);
  const size = entries(node, value);
  const sizes = wanted.slice(1).map((n, i) => (n === 0 ? (given[i] ?? 0) : n) as number);
  const open = sizes.indexOf(-1);
  if (open >= 0) {
    const rest = sizes.reduce((product, n, i) => (i === open ? product : product * n), 1);
    sizes[open] = size / rest;
  }
  if (
    wanted.length < 2 ||
    sizeOf(sizes) !== size ||
    sizes.some((n) => !(Number.isInteger(n) && n > 0))
  ) {
    throw new ShapeError(
      `${at(node)} makes [${wanted}] of [batch,${given}]; the batch must stay in front.`,
    );
  }
  reader.values.set(node.outputs[0]!, reshapeTo(reader, node, value, sizes));
};

/** Squeeze and Unsqueeze. */
export const squeeze: Rule = (reader, node) => {
  const value = reader.value(node, 0);
  const given = [null, ...reader.sizes(value)];
  const axes = intsOf(node, 'axes') ?? wholeNumbers(node, reader.constant(node, 1));
  const adds = node.op === 'Unsqueeze';
  const total = given.length + (adds ? axes.length : 0);
  const chosen = new Set(axes.map((axis) => (axis < 0 ? axis + total : axis)));
  const good = [...chosen].every(
    (axis) => axis >= 1 && axis < total && (adds || given[axis] === 1),
  );
  if (!good || chosen.size !== axes.length) {
    throw new ShapeError(`${at(node)} has the axes [${axes}] for [batch,${given.slice(1)}].`);
  }
  const rest = adds ? [...given] : given.filter((_, axis) => !chosen.has(axis));
  for (const axis of adds ? [...chosen].sort((a, b) => a - b) : []) rest.splice(axis, 0, 1);
  reader.values.set(node.outputs[0]!, reshapeTo(reader, node, value, rest.slice(1)));
};

export const transpose: Rule = (reader, node) => {
  const name = node.outputs[0]!;
  const value = reader.value(node, 0);
  const rank = reader.sizes(value).length;
  const perm = intsOf(node, 'perm') ?? Array.from({ length: rank + 1 }, (_, i) => rank - i);
  const axes = Array.from({ length: rank }, (_, i) => i + 1);
  if (
    perm[0] !== 0 ||
    perm
      .slice(1)
      .toSorted((a, b) => a - b)
      .join() !== axes.join()
  ) {
    throw new UnsupportedError(`${at(node)} has the axes [${perm}]; the batch must stay in front.`);
  }
  const toFirst = [0, rank, ...axes.slice(0, -1)].join();
  const toLast = [0, ...axes.slice(1), 1].join();
  if (rank > 1 && value.layout === 'last' && perm.join() === toFirst) {
    reader.values.set(name, { ...value, layout: 'first' });
  } else if (value.layout === 'first' && perm.join() === toLast) {
    reader.values.set(name, { ...value, layout: 'last' });
  } else {
    const last = reader.last(value, `${name}_input`);
    reader.values.set(name, reader.permute(last, perm.slice(1), name));
  }
};

export const pad: Rule = (reader, node) => {
  const value = reader.value(node, 0);
  const mode = textOf(node, 'mode') ?? 'constant';
  const pads = intsOf(node, 'pads') ?? wholeNumbers(node, reader.constant(node, 1));
  const filler = node.inputs[2] ? reader.constant(node, 2).data[0] : 0;
  const rank = reader.sizes(value).length;
  const [before, after] = [pads.slice(0, pads.length / 2), pads.slice(pads.length / 2)];
  const spatial = value.layout === 'first' ? [2, 3] : [1, 2];
  const only = pads.every((n, i) => n === 0 || spatial.includes(i % (rank + 1)));
  const good = pads.length === 2 * rank + 2 && pads.every((n) => n >= 0 && n <= 2 ** 16);
  if (
    mode !== 'constant' ||
    filler !== 0 ||
    rank !== 3 ||
    !only ||
    !good ||
    value.layout === 'pooled'
  ) {
    throw new UnsupportedError(
      `${at(node)} is not zeros around the rows and columns of images, which alone is read.`,
    );
  }
  const rows = (list: number[]) => spatial.map((axis) => list[axis]!);
  const made = zeroPadded(reader, node, value, rows(before), rows(after));
  reader.values.set(node.outputs[0]!, { ...made, layout: value.layout });
};

export const slice: Rule = (reader, node) => {
  const name = node.outputs[0]!;
  let value = reader.value(node, 0);
  const sizes = reader.sizes(value);
  const list = (index: number, missing: number[]) =>
    node.inputs[index] ? wholeNumbers(node, reader.constant(node, index)) : missing;
  const starts = list(1, []);
  const ends = list(2, []);
  const axes = list(
    3,
    starts.map((_, i) => i),
  );
  const steps = list(
    4,
    starts.map(() => 1),
  );
  if (sizes.length !== 3 || value.layout === 'pooled' || steps.some((step) => step !== 1)) {
    throw new UnsupportedError(`${at(node)} is not a part of an image, which alone is read.`);
  }
  const cut: [number, number][] = [
    [0, 0],
    [0, 0],
    [0, 0],
  ];
  axes.forEach((given, i) => {
    const axis = (given < 0 ? given + 4 : given) - 1;
    const size = sizes[axis];
    if (axis < 0 || size === undefined || size === null) {
      throw new UnsupportedError(`${at(node)} cuts axis ${given} of [batch,${sizes}].`);
    }
    const place = (n: number) => Math.min(size, Math.max(0, n < 0 ? n + size : n));
    const graphAxis = value.layout === 'last' ? axis : (axis + 2) % 3;
    cut[graphAxis] = [place(starts[i]!), size - place(ends[i] ?? size)];
  });
  const crop = (first: number, cropping: [number, number][], as: string) => {
    const shape = value.shape.map((size, i) => {
      const ends = cropping[i - first];
      return ends && size !== null ? size - ends[0] - ends[1] : size;
    });
    const dataFormat = first === 1 ? 'channelsFirst' : 'channelsLast';
    const parts = {
      op: 'cropping2d',
      attributes: { cropping, dataFormat },
      inputs: [value],
      shape,
    };
    value = reader.add(as, parts, value.layout);
  };
  const isCut = ([before, behind]: [number, number]) => before > 0 || behind > 0;
  // "Channels first", the layer cuts the last two axes.
  if (isCut(cut[2]!)) crop(1, [cut[1]!, cut[2]!], isCut(cut[0]!) ? `${name}_channels` : name);
  if (isCut(cut[0]!) || (isCut(cut[1]!) && !isCut(cut[2]!))) {
    crop(0, [cut[0]!, isCut(cut[2]!) ? [0, 0] : cut[1]!], name);
  }
  reader.values.set(name, value);
};

/** All inputs with the same layout: channels first where one has them so. */
function alike(reader: OnnxReader, node: OnnxNode): Value[] {
  const name = node.outputs[0]!;
  const inputs = node.inputs.map((_, i) => reader.value(node, i));
  const ranks = new Set<number>(inputs.map((input) => reader.sizes(input).length));
  if (inputs.length === 0 || ranks.size > 1) {
    throw new UnsupportedError(
      `${at(node)} puts values with different numbers of axes together. Reshape them first.`,
    );
  }
  const inFront = inputs.some(({ layout }) => layout === 'first' || layout === 'pooled');
  const place = inFront && !ranks.has(1) ? 'first' : 'last';
  return inputs.map((input, i) => reader[place](input, `${name}_input${i}`));
}

export const concat: Rule = (reader, node) => {
  const inputs = alike(reader, node);
  const [{ shape, layout }] = inputs as [Value];
  const given = intOf(node, 'axis', 1);
  const axis = (given < 0 ? given + shape.length + 1 : given) - 1;
  const own = layout === 'first' ? (axis + shape.length - 1) % shape.length : axis;
  const fits = inputs.every((input) =>
    input.shape.every((size, i) => i === own || size === shape[i]),
  );
  if (!(axis >= 0 && axis < shape.length && fits)) {
    throw new ShapeError(
      `${at(node)} puts ${inputs.map((input) => `[${reader.sizes(input)}]`)} together along axis ${given}.`,
    );
  }
  const total = inputs.reduce((sum, input) => sum + (input.shape[own] ?? Number.NaN), 0);
  const whole = shape.map((size, i) => (i === own ? (Number.isNaN(total) ? null : total) : size));
  const attributes = { axis: own === shape.length - 1 ? -1 : own + 1 };
  const parts = { op: 'concatenate', attributes, inputs, shape: whole };
  reader.values.set(node.outputs[0]!, reader.add(node.outputs[0]!, parts, layout));
};

const MERGES: Record<string, string> = {
  Add: 'add',
  Sum: 'add',
  Mul: 'multiply',
  Mean: 'average',
  Max: 'maximum',
  Min: 'minimum',
};

/** Values put together number by number. */
export const merge: Rule = (reader, node) => {
  const op = MERGES[node.op ?? ''];
  if (!op) throw new UnsupportedError(`${at(node)} is of two computed values; no layer does that.`);
  const inputs = alike(reader, node);
  const [{ shape, layout }] = inputs as [Value];
  const whole = shape.map((_, i) => {
    const sizes: Shape = inputs.map((input) => input.shape[i]!);
    const known = sizes.filter((size) => size !== null && size !== 1);
    if (known.some((size) => size !== known[0])) {
      throw new ShapeError(`${at(node)} has inputs of sizes that do not fit: ${sizes}.`);
    }
    return known[0] ?? (sizes.includes(null) ? null : 1);
  });
  if (inputs.length === 1) {
    reader.values.set(node.outputs[0]!, inputs[0]!);
    return;
  }
  const made = reader.add(node.outputs[0]!, { op, inputs, shape: whole }, layout);
  const positive = op !== 'minimum' && inputs.every((input) => input.positive);
  reader.values.set(node.outputs[0]!, positive ? { ...made, positive } : made);
};
