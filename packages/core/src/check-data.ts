// Looks for mistakes in training data before an epoch is lost to them.
import type { LayersModel } from '@tensorflow/tfjs-layers';
import { DataError, Random, ShapeError } from '@thimble/base';
import { ColumnSource, disposeBatch, drawBatch, type ExampleShapes } from './batches.ts';
import type { LossSpec } from './losses.ts';
import type { Objective } from './objective.ts';
import type { BatchSource } from './training.ts';

interface Numbers {
  values: ArrayLike<number>;
  shape: readonly number[];
}

/**
 * The shape of one example at each input and output; absent where it is not fixed.
 *
 * @example
 * exampleShapes(model).inputs; // [[28, 28, 1]]
 */
export function exampleShapes(model: LayersModel): ExampleShapes {
  const fixed = ({ shape }: { shape: (number | null)[] }) => {
    const example = shape.slice(1);
    return example.includes(null) ? undefined : (example as number[]);
  };
  return { inputs: model.inputs.map(fixed), outputs: model.outputs.map(fixed) };
}

function fits(shape: readonly number[], wanted: readonly (number | null)[]): boolean {
  return (
    shape.length === wanted.length && shape.every((n, i) => wanted[i] == null || wanted[i] === n)
  );
}

function show(shape: readonly (number | null)[]): string {
  return `[${shape.map((n) => n ?? '?').join(', ')}]`;
}

function checkFinite(owner: string, what: string, values: ArrayLike<number>, width: number): void {
  for (let i = 0; i < values.length; i++) {
    if (!Number.isFinite(values[i])) {
      throw new DataError(
        `${owner}: ${what} has ${values[i]} in example ${Math.floor(i / width)}. Remove or replace such examples.`,
      );
    }
  }
}

function checkLabelShape(
  owner: string,
  name: string,
  shape: readonly number[],
  output: readonly (number | null)[],
  loss: LossSpec,
): void {
  if (loss.target === 'any') return;
  if (loss.target === 'classes') {
    const positions = output.slice(0, -1);
    if (fits(shape, positions) || fits(shape, [...positions, 1])) return;
    throw new ShapeError(
      `${owner}: the labels of "${name}" have shape ${show(shape)} per example, but ${loss.name} takes class numbers, ${show([...positions, 1])} per example. For one-hot labels use '${oneHotName(loss)}'.`,
    );
  }
  if (fits(shape, output)) return;
  const width = output.at(-1);
  const classes = loss.name.startsWith('categorical') && shape.at(-1) === 1 && width !== 1;
  const remedy = classes
    ? ` For class numbers use 'sparse${loss.name[0]!.toUpperCase()}${loss.name.slice(1)}', or make them one-hot with ${width} classes.`
    : '';
  throw new ShapeError(
    `${owner}: the labels of "${name}" have shape ${show(shape)} per example, but the output has ${show(output)}.${remedy}`,
  );
}

function oneHotName(loss: LossSpec): string {
  return `c${loss.name.slice('sparseC'.length)}`;
}

function checkLabelRange(
  owner: string,
  name: string,
  { values, shape }: Numbers,
  classes: number | null,
  loss: LossSpec,
): void {
  const width = shape.reduce((size, n) => size * n, 1);
  for (let i = 0; i < values.length; i++) {
    const value = values[i]!;
    if (loss.target === 'classes') {
      if (Number.isInteger(value) && value >= 0 && (classes === null || value < classes)) continue;
      throw new DataError(
        `${owner}: label ${value} of "${name}" in example ${Math.floor(i / width)} is no class number from 0 to ${(classes ?? 0) - 1}. Number the classes from 0, or give the output more units.`,
      );
    }
    if (loss.target === 'probabilities' && (value < 0 || value > 1)) {
      throw new DataError(
        `${owner}: label ${value} of "${name}" in example ${Math.floor(i / width)} is not from 0 to 1, as ${loss.name} takes it.`,
      );
    }
  }
}

async function numbersOf(
  source: BatchSource,
  batchSize: number,
): Promise<{ xs: Numbers[]; ys: Numbers[] }> {
  if (source instanceof ColumnSource) return source;
  const indices = Uint32Array.from({ length: Math.min(batchSize, source.size) }, (_, i) => i);
  const batch = drawBatch(source, indices, new Random('check'));
  try {
    for (const tensor of [...batch.xs, ...batch.ys]) {
      if (tensor.shape[0] !== batch.size) {
        throw new ShapeError(
          `The source was asked for ${batch.size} examples and gave a tensor of shape [${tensor.shape}].`,
        );
      }
    }
    const read = (tensors: typeof batch.xs) =>
      Promise.all(tensors.map(async (t) => ({ values: await t.data(), shape: t.shape.slice(1) })));
    return { xs: await read(batch.xs), ys: await read(batch.ys) };
  } finally {
    disposeBatch(batch);
  }
}

/**
 * Throws where data does not fit the model or its losses: number and shape of inputs and labels, values
 * that are not finite, labels out of range. All of the data when it is in memory, else the first batch.
 * Without an objective, labels are left unchecked.
 */
export async function checkData(
  owner: string,
  source: BatchSource,
  model: LayersModel,
  objective: Objective | undefined,
  batchSize: number,
): Promise<void> {
  if (!Number.isInteger(source.size) || source.size < 1) {
    throw new DataError(`${owner}: there are no examples (size is ${source.size}).`);
  }
  const { xs, ys } = await numbersOf(source, batchSize);
  if (xs.length !== model.inputs.length) {
    throw new ShapeError(
      `${owner}: the model has ${model.inputs.length} inputs (${model.inputNames.join(', ')}), but the data ${xs.length}.`,
    );
  }
  xs.forEach(({ values, shape }, i) => {
    const name = model.inputNames[i]!;
    const wanted = model.inputs[i]!.shape.slice(1);
    if (!fits(shape, wanted)) {
      throw new ShapeError(
        `${owner}: examples for the input "${name}" have shape ${show(shape)}, but the model takes ${show(wanted)}. Reshape the data or build the model for it.`,
      );
    }
    checkFinite(owner, `input "${name}"`, values, values.length / source.size || 1);
  });
  if (!objective) return;
  if (ys.length !== objective.length) {
    throw new ShapeError(
      `${owner}: the model has ${objective.length} outputs (${model.outputNames.join(', ')}), but the data labels for ${ys.length}.`,
    );
  }
  ys.forEach((numbers, i) => {
    const { name, loss } = objective[i]!;
    if (!loss) return;
    const output = model.outputs[i]!.shape.slice(1);
    checkLabelShape(owner, name, numbers.shape, output, loss);
    checkFinite(owner, `labels of "${name}"`, numbers.values, numbers.values.length / source.size);
    checkLabelRange(owner, name, numbers, output.at(-1) ?? null, loss);
  });
}
