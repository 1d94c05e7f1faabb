// Operations as calls of kernels, and how their values must lie.
import { emitRearrange, layRearrange } from './emit-rearrange.ts';
import type { Combine, Concatenate, Operation, Pad, Pool, Reshape, Scale } from './operations.ts';
import { tableOf } from './planes.ts';
import type { Place, Program } from './program.ts';
import type { Value } from './values.ts';

type Plain = Exclude<Operation, { kind: 'conv' | 'dense' }>;

const INFINITE = [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY] as const;

/** Says how the values of an operation must lie: before any layout is asked for. */
export function layOut(operation: Plain): void {
  if (operation.kind === 'rearrange') layRearrange(operation);
  if (operation.kind !== 'combine' && operation.kind !== 'concatenate') return;
  if (!operation.output.planes) return;
  for (const input of operation.inputs) operation.output.joinTo(input);
}

/** Any operation but a convolution and a dense layer. */
export function emitPlain(program: Program, operation: Plain): void {
  switch (operation.kind) {
    case 'scale':
      emitScale(program, operation);
      return;
    case 'combine':
      emitCombine(program, operation);
      return;
    case 'concatenate':
      emitConcatenate(program, operation);
      return;
    case 'reshape':
      emitReshape(program, operation);
      return;
    case 'pool':
      emitPool(program, operation);
      return;
    case 'pad':
      emitPad(program, operation);
      return;
    case 'rearrange':
      emitRearrange(program, operation);
      return;
  }
}

/** What an operation ends with beside the cut, and the zeros that the readers of its value need. */
export function emitEnding(program: Program, operation: Operation): void {
  const { output, curve, round } = operation;
  if (curve === 'softmax') emitSoftmax(program, output);
  else if (curve) {
    program.call('activate', output.start, output.extent, curve.kind, curve.alpha, curve.beta);
  }
  if (round) {
    const { low, high, zeroPoint, scale } = round;
    const range = [low - zeroPoint, high - zeroPoint, scale] as const;
    const from = onlyRounds(operation) ? operation.input : output;
    program.call('roundToCodes', from.start, output.start, output.extent, ...range);
  }
  if (!output.isSealed) return;
  const { front, pitch } = output.layout;
  const { count, height, width } = output;
  program.call('seal', output.origin, output.step, count, front, height, width, pitch, output.back);
}

/** Softmax over the channels. */
function emitSoftmax(program: Program, output: Value): void {
  const { channels, size } = output;
  if (!output.planes) {
    program.call('softmax', output.start, size / channels, channels);
    return;
  }
  const image = { piece: program.piece(4 * size + 64), offset: 0 };
  program.call('toImage', ...placed(output), image, ...sizes(output));
  program.call('softmax', image, size / channels, channels);
  program.call('fromImage', image, ...placed(output), ...sizes(output));
}

function placed({ origin, step, pitch }: Value): [Place, number, number] {
  return [origin, step, pitch];
}

function sizes({ channels, height, width }: Value): [number, number, number] {
  return [channels, height, width];
}

/** Whether an operation leaves values as they are, but for the rounding at its end. */
function onlyRounds(operation: Operation): operation is Scale {
  if (operation.kind !== 'scale' || operation.curve || !operation.round) return false;
  const { scale, shift, low, high } = operation;
  const isCut = low > Number.NEGATIVE_INFINITY || high < Number.POSITIVE_INFINITY;
  return !isCut && scale.every((factor) => factor === 1) && shift.every((value) => value === 0);
}

function emitScale(program: Program, operation: Scale): void {
  if (onlyRounds(operation)) return;
  const { input, output, scale, shift, low, high } = operation;
  scaleTo(program, input, output, scale, shift, [low, high]);
}

function scaleTo(
  program: Program,
  input: Value,
  output: Value,
  scale: Float32Array,
  shift: Float32Array,
  cut: readonly [number, number],
): void {
  if (input.planes) {
    const table = program.weights(tableOf(scale, shift));
    const { channels, layout } = input;
    program.call(
      'scalePlanes',
      input.start,
      output.start,
      input.step,
      channels,
      layout.step,
      table,
      ...cut,
    );
    return;
  }
  const all = (values: Float32Array): Place =>
    program.weights(
      Float32Array.from({ length: input.extent }, (_, i) => values[i % values.length]!),
    );
  program.call(
    'scaleVector',
    input.start,
    output.start,
    input.extent,
    all(scale),
    all(shift),
    ...cut,
  );
}

function emitCombine(program: Program, { inputs, output, how, factor, low, high }: Combine): void {
  let [left] = inputs as [Value];
  for (const [i, right] of inputs.entries()) {
    if (i === 0) continue;
    const cut = i === inputs.length - 1 && factor === 1 ? ([low, high] as const) : INFINITE;
    program.call('combine', left.start, right.start, output.start, output.extent, how, ...cut);
    left = output;
  }
  if (factor === 1) return;
  const scale = new Float32Array(output.channels).fill(factor);
  scaleTo(program, output, output, scale, new Float32Array(output.channels), [low, high]);
}

function emitConcatenate(program: Program, { inputs, output }: Concatenate): void {
  let offset = 0;
  for (const input of inputs) {
    const bytes = input.planes ? input.channels * input.step : 4 * input.size;
    program.call('copy', input.start, { ...output.start, offset }, bytes);
    offset += bytes;
  }
}

function emitReshape(program: Program, { input, output }: Reshape): void {
  if (!input.planes) {
    if (output.planes) program.call('fromImage', input.start, ...placed(output), ...sizes(output));
    else program.call('copy', input.start, output.start, 4 * input.size);
    return;
  }
  if (!output.planes) {
    program.call('toImage', ...placed(input), output.start, ...sizes(input));
    return;
  }
  const image = { piece: program.piece(4 * input.size), offset: 0 };
  program.call('toImage', ...placed(input), image, ...sizes(input));
  program.call('fromImage', image, ...placed(output), ...sizes(output));
}

function emitPool(program: Program, { input, output, window, mean }: Pool): void {
  if (!window) {
    program.call('poolWhole', ...placed(input), output.start, ...sizes(input), Number(mean));
    return;
  }
  const { height, width, strideHeight, strideWidth, top, left } = window;
  program.call(
    'poolPlanes',
    ...placed(input),
    ...placed(output),
    ...[input.channels, input.height, input.width, output.height, output.width],
    ...[height, width, strideHeight, strideWidth, top, left, Number(mean)],
  );
}

function emitPad(program: Program, { input, output, top, left }: Pad): void {
  program.call(
    'padPlanes',
    ...placed(input),
    ...placed(output),
    ...sizes(input),
    ...[output.height, 1, 1, top, left, 0],
  );
}
