// Dense layers as calls of kernels.
import { CURVES } from '@thimble/kernels/inference';
import { codesOf, type DenseChoice, sharedValues, signsOf } from './choices.ts';
import { codingOf } from './coding.ts';
import type { Dense } from './operations.ts';
import type { Place, Program } from './program.ts';
import { rawBits } from './raw-bits.ts';
import { emitDenseMagnitude, emitXnorDense } from './xnor.ts';

const INFINITE = [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY] as const;
const PANEL = 16;
const BLOCK = 8;

/** A dense layer by the kernel that was chosen. */
export function emitDense(program: Program, dense: Dense, choice: DenseChoice): void {
  if (choice !== 'xnor' && dense.signs?.magnitude) {
    const { low, high, bias, signs, ...rest } = dense;
    const none = { low: Number.NEGATIVE_INFINITY, high: Number.POSITIVE_INFINITY };
    const plain = { ...signs, magnitude: false };
    emitDense(program, { ...rest, ...none, bias: bias.map(() => 0), signs: plain }, choice);
    emitDenseMagnitude(program, dense);
    return;
  }
  const { input, output, inputs, outputs, low, high } = dense;
  const panels = Math.ceil(outputs / PANEL);
  if (choice === 'xnor') {
    emitXnorDense(program, dense, signsOf(dense)!);
    return;
  }
  if (choice === 'int8' || choice === 'int4') {
    emitIntegers(program, dense, choice);
    return;
  }
  const x = dense.signs ? signed(program, dense) : input.start;
  const cut = [low, high] as const;
  if (choice === 'gemv') {
    const w = program.weights(floatPanels(dense, 0));
    program.call('gemv', x, w, output.start, inputs, panels, ...cut);
  } else if (choice === 'skip') {
    const w = program.weights(floatPanels(dense, 1));
    const list = { piece: program.piece(8 * (inputs + 2)), offset: 0 };
    program.call('gemvSkip', x, w, output.start, inputs, panels, ...cut, list);
  } else if (choice === 'codebook') {
    emitCodebook(program, dense);
  } else if (choice === 'blocks') {
    const w = program.weights(blocksOf(dense));
    program.call('gemvSparse', x, w, output.start, Math.ceil(outputs / BLOCK), ...cut);
  } else {
    program.call('gemvList', x, program.weights(entriesOf(dense)), output.start, outputs, ...cut);
  }
}

/** Panels of 16 biases and then 16 weights of each input, with `more` rows of zeros. */
function floatPanels({ data, inputs, outputs, scale, bias }: Dense, more: number): Float32Array {
  const length = PANEL * (1 + inputs + more);
  const panels = new Float32Array(Math.ceil(outputs / PANEL) * length);
  const [from, to] = [rawBits(data), rawBits(panels)];
  for (let o = 0; o < outputs; o += PANEL) {
    const start = (o / PANEL) * length;
    const end = Math.min(outputs, o + PANEL);
    for (let j = o; j < end; j++) panels[start + j - o] = bias[j]!;
    for (let i = 0, at = start + PANEL; i < inputs; i++, at += PANEL) {
      for (let j = o; j < end; j++) to[at + j - o] = from[i * outputs + j]!;
    }
  }
  if (scale.every((factor) => factor === 1)) return panels;
  for (let at = 0; at < panels.length; at += PANEL) {
    if (at % length === 0) continue;
    const o = PANEL * Math.floor(at / length);
    for (let j = 0; o + j < outputs && j < PANEL; j++) panels[at + j]! *= scale[o + j]!;
  }
  return panels;
}

/** Numbers of values instead of values: half a byte a weight. */
function emitCodebook(program: Program, dense: Dense): void {
  const { input, output, data, inputs, outputs, scale, bias, low, high } = dense;
  const values = sharedValues(dense)!;
  const numbers = new Map([...values].map((value, number) => [value, number]));
  const raw = new Uint8Array(values.buffer);
  const table = new Uint8Array(4 * PANEL);
  for (let at = 0; at < raw.length; at++) table[(at & 3) * PANEL + (at >> 2)] = raw[at]!;
  const panels = Math.ceil(outputs / PANEL);
  const length = 8 * PANEL + Math.ceil(inputs / 2) * PANEL;
  const bytes = new Uint8Array(panels * length);
  const reals = new Float32Array(bytes.buffer);
  for (let o = 0; o < outputs; o++) {
    const at = Math.floor(o / PANEL) * length;
    const lane = o % PANEL;
    reals[at / 4 + lane] = scale[o]!;
    reals[at / 4 + PANEL + lane] = bias[o]!;
    for (let i = 0; i < inputs; i++) {
      const place = at + 8 * PANEL + (i >> 1) * PANEL + lane;
      bytes[place]! |= numbers.get(data[i * outputs + o]!)! << (4 * (i & 1));
    }
  }
  const places = [program.weights(bytes), output.start, inputs, panels, low, high] as const;
  program.call('gemvCodebook', input.start, ...places, program.weights(table));
}

/** Blocks of 8 outputs with the inputs that one of them needs. */
function blocksOf({ data, inputs, outputs, scale, bias }: Dense): Float32Array {
  const kept: number[][] = [];
  for (let o = 0; o < outputs; o += BLOCK) {
    const end = Math.min(outputs, o + BLOCK);
    const rows: number[] = [];
    for (let i = 0; i < inputs; i++) {
      for (let j = o; j < end; j++) {
        if (data[i * outputs + j] === 0) continue;
        rows.push(i);
        break;
      }
    }
    kept.push(rows);
  }
  const groups = kept.map((rows) => Math.ceil(rows.length / 4));
  const reals = new Float32Array(groups.reduce((sum, count) => sum + 12 + 36 * count, 0));
  const words = new Uint32Array(reals.buffer);
  let at = 0;
  for (const [block, rows] of kept.entries()) {
    words[at] = groups[block]!;
    for (let j = 0; j < BLOCK; j++) reals[at + 4 + j] = bias[block * BLOCK + j] ?? 0;
    at += 12;
    for (const [place, i] of rows.entries()) {
      const group = at + 36 * (place >> 2);
      words[group + (place & 3)] = 4 * i;
      for (let j = 0; j < BLOCK; j++) {
        const o = block * BLOCK + j;
        if (o >= outputs) break;
        reals[group + 4 + BLOCK * (place & 3) + j] = data[i * outputs + o]! * scale[o]!;
      }
    }
    at += 36 * groups[block]!;
  }
  return reals;
}

/** Lists of the weights of each output that are not zero. */
function entriesOf({ data, inputs, outputs, scale, bias }: Dense): Float32Array {
  const bits = rawBits(data);
  const kept = new Uint32Array(outputs);
  for (let i = 0, at = 0; i < inputs; i++) {
    for (let o = 0; o < outputs; o++, at++) if (bits[at]! << 1 !== 0) kept[o]!++;
  }
  const starts = new Uint32Array(outputs);
  let length = 0;
  for (let o = 0; o < outputs; o++) {
    starts[o] = length + 2;
    length += 2 + 8 * Math.ceil(kept[o]! / 4);
  }
  const reals = new Float32Array(length);
  const words = new Uint32Array(reals.buffer);
  for (let o = 0; o < outputs; o++) {
    words[starts[o]! - 2] = Math.ceil(kept[o]! / 4);
    reals[starts[o]! - 1] = bias[o]!;
  }
  const places = new Uint32Array(outputs);
  for (let i = 0, at = 0; i < inputs; i++) {
    for (let o = 0; o < outputs; o++, at++) {
      if (bits[at]! << 1 === 0) continue;
      const place = places[o]!++;
      const group = starts[o]! + 8 * (place >> 2) + (place & 3);
      words[group] = 4 * i;
      reals[group + 4] = data[at]! * scale[o]!;
    }
  }
  return reals;
}

/** Whole numbers: the input's codes in pairs times weights of 8 or 4 bits. */
function emitIntegers(program: Program, dense: Dense, choice: 'int8' | 'int4'): void {
  const { input, output, inputs, outputs, low, high, codes } = dense;
  const { codes: whole, scale } = codesOf(dense)!;
  const coding = codingOf(program, dense, whole, scale);
  const { steps } = coding;
  if (!codes) {
    program.call('stepOf', input.start, 0, 0, 1, 1, inputs, coding.high, steps);
  }
  const x = { piece: program.piece(2 * inputs + 32), offset: 0 };
  program.call('codeVector', input.start, x, inputs, coding.low, coding.high, steps);
  const pairs = Math.ceil(inputs / 2);
  const rows = choice === 'int8' ? 2 * PANEL : PANEL;
  const length = 12 * PANEL + pairs * rows;
  const panels = Math.ceil(outputs / PANEL);
  const bytes = new Int8Array(panels * length);
  const reals = new Float32Array(bytes.buffer);
  const integers = new Int32Array(bytes.buffer);
  const { finish } = coding;
  if (choice === 'int4') {
    for (let panel = 0; panel < panels; panel++) {
      bytes.fill(0x88, panel * length + 12 * PANEL, (panel + 1) * length);
    }
  }
  for (let o = 0; o < outputs; o++) {
    const at = Math.floor(o / PANEL) * length;
    const lane = o % PANEL;
    reals[at / 4 + lane] = finish.scale[o]!;
    reals[at / 4 + PANEL + lane] = finish.bias[o]!;
    integers[at / 4 + 2 * PANEL + lane] = finish.whole![o]!;
    for (let i = 0; i < inputs; i++) {
      const code = whole[i * outputs + o]!;
      const row = at + 12 * PANEL + (i >> 1) * rows;
      if (choice === 'int8') bytes[row + 2 * lane + (i & 1)] = code;
      else {
        const shift = 4 * (i & 1);
        const others = bytes[row + lane]! & (0xf0 >> shift);
        bytes[row + lane] = others | ((code + 8) << shift);
      }
    }
  }
  const kernel = choice === 'int8' ? 'gemvInt' : 'gemvInt4';
  const w = program.weights(bytes);
  program.call(kernel, x, w, output.start, pairs, panels, low, high, steps);
}

/** The signs of the input as -1 and 1, for a binary kernel that has zeros. */
function signed(program: Program, { input, inputs, signs }: Dense): Place {
  const length = PANEL * Math.ceil(inputs / PANEL);
  const x = { piece: program.piece(4 * length), offset: 0 };
  const padded = (values: Float32Array): Place => {
    const all = new Float32Array(length);
    all.set(values);
    return program.weights(all);
  };
  const table = [padded(signs!.scale), padded(signs!.shift)] as const;
  program.call('scaleVector', input.start, x, length, ...table, ...INFINITE);
  program.call('activate', x, length, CURVES.sign, 1, 1);
  return x;
}
