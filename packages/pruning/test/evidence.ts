// Evidence made by hand, so that criteria can be tested without a network.
import '@thimble/testing';
import { Random } from '@thimble/base';
import type {
  ActivationEvidence,
  ChannelEvidence,
  ContributionEvidence,
  KernelEvidence,
  WeightEvidence,
} from '@thimble/pruning';

/** Evidence of a dense kernel [in, out] unless shape and axes say otherwise; all of it is kept. */
export function weightEvidence(
  values: readonly number[],
  rest: {
    shape?: readonly number[];
    axes?: Partial<WeightEvidence['axes']>;
    kept?: readonly number[];
    gradient?: readonly number[];
    history?: readonly number[];
    initial?: readonly number[];
    layer?: string;
    seed?: number;
  } = {},
): WeightEvidence {
  const { shape = [values.length, 1], axes, kept, gradient, history, initial } = rest;
  return {
    layer: rest.layer ?? 'layer',
    weight: 'kernel',
    shape,
    axes: { out: shape.length - 1, in: shape.length - 2, space: [], gates: 1, ...axes },
    values: Float32Array.from(values),
    kept: Uint8Array.from(kept ?? values.map(() => 1)),
    ...(gradient && { gradient: Float32Array.from(gradient) }),
    ...(history && { history: Float32Array.from(history) }),
    ...(initial && { initial: Float32Array.from(initial) }),
    random: new Random(rest.seed ?? 0),
  };
}

export type Kernel = ChannelEvidence['kernels'][number];

/** A kernel of a group; its channels are numbered by the indices of its axis unless given. */
export function kernel(
  role: Kernel['role'],
  values: readonly number[],
  shape: readonly number[],
  rest: Partial<Omit<KernelEvidence, 'values' | 'shape' | 'channels'>> & {
    channels?: readonly number[];
  } = {},
): Kernel {
  const rank = shape.length;
  const axes = {
    out: rank - 1,
    in: rank - 2,
    space: Array.from({ length: Math.max(0, rank - 2) }, (_, i) => i),
    gates: 1,
    ...rest.axes,
  };
  const axis = rest.axis ?? (role === 'in' ? axes.in : axes.out);
  const indices = Array.from({ length: shape[axis]! }, (_, i) => i);
  return {
    role,
    layer: rest.layer ?? 'layer',
    weight: rest.weight ?? 'kernel',
    shape,
    values: Float32Array.from(values),
    axis,
    axes,
    channels: Int32Array.from(rest.channels ?? indices),
  };
}

/** Evidence of one group of channels. */
export function channelEvidence(
  size: number,
  rest: {
    name?: string;
    kernels?: readonly Kernel[];
    activations?: ActivationEvidence;
    contributions?: ContributionEvidence;
    madeBy?: ChannelEvidence['madeBy'];
  } = {},
): ChannelEvidence {
  const { name = 'group', kernels = [], activations, contributions, madeBy } = rest;
  return {
    group: {
      name,
      size,
      producers: name.split('+'),
      consumers: [],
      members: [],
      watched: [],
    },
    kernels,
    ...(activations && { activations }),
    ...(contributions && { contributions }),
    random: new Random(0),
    madeBy: madeBy ?? (() => undefined),
  };
}

/** What channels did, a row for each example. */
export function activations(
  rows: readonly (readonly number[])[],
  rest: {
    labels?: readonly number[];
    zeros?: readonly (readonly number[])[];
    taylor?: readonly (readonly number[])[];
  } = {},
): ActivationEvidence {
  return {
    examples: rows.length,
    mean: Float32Array.from(rows.flat()),
    zeros: Float32Array.from((rest.zeros ?? rows.map((row) => row.map(() => 0))).flat()),
    ...(rest.taylor && { taylor: Float32Array.from(rest.taylor.flat()) }),
    labels: Int32Array.from(rest.labels ?? rows.map(() => 0)),
  };
}

/** Contributions from a table [samples, channels]; the answers are the sums of its rows unless given. */
export function contributions(
  rows: readonly (readonly number[])[],
  answers: readonly number[] = rows.map((row) => row.reduce((a, b) => a + b, 0)),
): ContributionEvidence {
  const n = rows[0]!.length;
  const gram = new Float64Array(n * n);
  const correlations = new Float64Array(n);
  rows.forEach((row, s) => {
    for (let i = 0; i < n; i++) {
      correlations[i]! += row[i]! * answers[s]!;
      for (let j = 0; j < n; j++) gram[i * n + j]! += row[i]! * row[j]!;
    }
  });
  return {
    samples: rows.length,
    gram,
    correlations,
    energy: answers.reduce((sum, y) => sum + y * y, 0),
  };
}
