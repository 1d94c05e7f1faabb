// Dense layers as calls of kernels.
import { CURVES } from '@thimble/kernels/inference';
import { codesOf, type DenseChoice, sharedValues, signsOf } from './choices.ts';
import { codingOf } from './coding.ts';
import { blocksOf, codePanels, floatPanels, listsOfOutputs, numberPanels } from './dense-forms.ts';
import type { Dense } from './operations.ts';
import type { Place, Program } from './program.ts';
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
    program.call(
      'gemvList',
      x,
      program.weights(listsOfOutputs(dense)),
      output.start,
      outputs,
      ...cut,
    );
  }
}

/** Numbers of values instead of values: half a byte a weight. */
function emitCodebook(program: Program, dense: Dense): void {
  const { input, output, inputs, outputs, low, high } = dense;
  const values = sharedValues(dense)!;
  const raw = new Uint8Array(values.buffer);
  const table = new Uint8Array(4 * PANEL);
  for (let at = 0; at < raw.length; at++) table[(at & 3) * PANEL + (at >> 2)] = raw[at]!;
  const panels = Math.ceil(outputs / PANEL);
  const bytes = numberPanels(dense, values);
  const places = [program.weights(bytes), output.start, inputs, panels, low, high] as const;
  program.call('gemvCodebook', input.start, ...places, program.weights(table));
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
  const panels = Math.ceil(outputs / PANEL);
  const kernel = choice === 'int8' ? 'gemvInt' : 'gemvInt4';
  const w = program.weights(codePanels(whole, inputs, coding.finish, choice === 'int8' ? 8 : 4));
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
  program.call('activate', x, length, CURVES.sign, -1, 1);
  return x;
}
