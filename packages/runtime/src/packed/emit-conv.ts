// Convolutions as calls of kernels.
import { CURVES } from '@thimble/kernels/inference';
import { type ConvChoice, codesOf, isDirect, signsOf } from './choices.ts';
import { codingOf } from './coding.ts';
import { cellsOf, type Finish, listsOf, type Source } from './lists.ts';
import type { Conv } from './operations.ts';
import { type Planes, planesOf, readable, tableOf } from './planes.ts';
import type { Place, Program } from './program.ts';
import type { Value } from './values.ts';
import { isPadded } from './windows.ts';
import { emitMagnitude, emitXnor } from './xnor.ts';

/** Says how the values around a convolution must lie: before any layout is asked for. */
export function layConv(conv: Conv): void {
  const { input, output, window, residual } = conv;
  if (residual) output.joinTo(residual);
  const { dilationWidth, strideHeight, strideWidth, width, top, left, bottom, right } = window;
  if (!isDirect(conv)) {
    // Signs of rows that have the pitch of the output are one run.
    if (strideHeight * strideWidth === 1) output.joinTo(input);
    const reach = Math.floor(((width - 1) * dilationWidth) / strideWidth);
    // Where phases are rows of the image, the padding behind a row is that before the next.
    const row = strideWidth === 1 ? input.width + Math.max(left, right) : output.width + reach;
    output.widen(row);
    return;
  }
  output.joinTo(input);
  if (!isPadded(window)) return;
  input.borders.push({
    gap: Math.max(left, right),
    front: (pitch) => top * pitch + left,
    back: (pitch) => bottom * pitch + right,
  });
}

/** A convolution by the kernel that was chosen. */
export function emitConv(program: Program, conv: Conv, choice: ConvChoice): void {
  if (choice !== 'xnor' && conv.signs?.magnitude) {
    const { low, high, bias, signs, ...rest } = conv;
    const none = { low: Number.NEGATIVE_INFINITY, high: Number.POSITIVE_INFINITY };
    const plain = { ...signs, magnitude: false };
    emitConv(program, { ...rest, ...none, bias: bias.map(() => 0), signs: plain }, choice);
    emitMagnitude(program, conv);
    return;
  }
  if (choice === 'xnor') {
    emitXnor(program, conv, signsOf(conv)!);
    return;
  }
  const { kernel, window, output, residual, low, high } = conv;
  const planes = readable(program, conv, conv.signs ? signed(program, conv) : planesOf(conv.input));
  const whole = choice.endsWith('Int');
  const group = choice.startsWith('pairs') ? 2 : 1;
  const separate = kernel.separate;
  const coded = whole ? codePlanes(program, conv, planes) : undefined;
  const read = coded?.planes ?? planes;
  const source: Source = {
    step: 4 * read.step,
    pitch: 4 * read.pitch,
    phases: !isDirect(conv),
    halves: whole ? (separate ? 'neighbours' : 'planes') : 'none',
  };
  const cells = cellsOf(kernel, window, source);
  const channelStep = separate
    ? source.step * (source.phases ? window.strideHeight * window.strideWidth : 1)
    : undefined;
  const weights = coded ? { ...kernel, data: coded.codes } : kernel;
  const finish: Finish = coded ?? conv;
  const lists = program.weights(listsOf(weights, cells, group, finish, channelStep));
  const count = Math.ceil(kernel.outputs / group);
  const stream = [read.origin, lists, output.origin, output.step, count, output.strips] as const;
  const steps = coded ? [coded.steps, stored(program, output)] : [];
  const last = Math.max(0, ...cells.delta) + 4 * read.step;
  program.readsBeyond(last);
  if (separate) {
    program.call(whole ? 'convSeparateInt' : 'convSeparate', ...stream, low, high, ...steps);
    return;
  }
  const names = { pairs: 'convPairs', singles: 'convSingles' } as const;
  const name = names[group === 2 ? 'pairs' : 'singles'];
  const ending = [residual?.origin ?? 0, low, high] as const;
  program.call(whole ? `${name}Int` : name, ...stream, ...ending, ...steps);
}

interface Coded extends Finish {
  planes: Planes;
  codes: Float32Array;
  steps: Place;
}

/** The input's codes in pairs, with the step that the layer says, or one by the largest value. */
function codePlanes(program: Program, conv: Conv, planes: Planes): Coded {
  const { input, kernel } = conv;
  const { codes: whole, scale } = codesOf(conv)!;
  const { steps, low, high, finish } = codingOf(program, conv, whole, scale);
  const coded = { ...finish, codes: Float32Array.from(whole as Int32Array), steps };
  const alone = kernel.separate;
  if (input.codes && !alone) return { ...coded, planes };
  const count = alone ? planes.count : Math.ceil(planes.count / 2);
  const length = count * planes.step;
  const piece = program.piece(4 * length);
  const start = { piece, offset: 0 };
  if (!input.codes) {
    if (!conv.codes) {
      const size = [input.channels, input.height, input.width] as const;
      program.call('stepOf', input.origin, input.step, input.pitch, ...size, high, steps);
    }
    program.call(
      'codePlanes',
      ...[planes.start, 4 * planes.step, start, 4 * planes.step],
      ...[planes.count, planes.step, low, high, steps, Number(alone)],
    );
  }
  if (alone) program.call('pairNeighbours', input.codes ? planes.start : start, start, length);
  const origin = { piece, offset: 4 * planes.front };
  return { ...coded, planes: { ...planes, start, origin, count } };
}

/** The codes that an output is to hold, for the kernels of whole numbers; 0 where it holds floats. */
function stored(program: Program, { codes }: Value): Place | number {
  if (!codes) return 0;
  const table = Float32Array.of(codes.step, codes.low, codes.high, 0);
  new Uint32Array(table.buffer)[3] = Number(codes.alone);
  return program.weights(table);
}

/** The signs of the input as -1 and 1, for a binary kernel that has zeros. */
function signed(program: Program, { input, signs }: Conv): Planes {
  const { layout, channels } = input;
  const start = { piece: program.piece(input.piece.bytes), offset: 0 };
  const table = program.weights(tableOf(signs!.scale, signs!.shift));
  const infinite = [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY] as const;
  program.call(
    'scalePlanes',
    ...[input.start, start, input.step, channels, layout.step, table, ...infinite],
  );
  program.call('activate', start, layout.step * channels, CURVES.sign, -1, 1);
  return { ...planesOf(input), start, origin: { ...start, offset: input.origin.offset } };
}
