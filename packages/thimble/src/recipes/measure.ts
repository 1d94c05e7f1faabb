// What a network is trained for, and how it does.
import type { LayersModel } from '@tensorflow/tfjs-layers';
import { OptionError } from '@thimble/base';
import {
  type BatchSource,
  evaluate,
  type LossName,
  type ObjectiveOptions,
  summarize,
} from '@thimble/core';
import { forEveryExit } from '@thimble/dynamic';
import type { Attribute } from '@thimble/graph';
import type { Job } from './step.ts';

/** The cost of a network, and how it does on data. */
export interface Measured {
  params: number;
  nonzero: number;
  /** Multiply-accumulates for one example, pruned ones counted. */
  macs: number;
  /** Of the weights, before entropy coding. */
  bytes: number;
  /** Loss and metrics on the validation data; of a network with early exits for each of them. */
  validation: Record<string, number>;
  /** Loss and metrics on the test data, where there is any: before and after alone. */
  test?: Record<string, number>;
}

/** What a step came to. */
export interface StepReport extends Measured {
  name: string;
  options: object;
  seconds: number;
  /** True where it was done by an earlier run. */
  kept: boolean;
  /** What the step itself tells. */
  details: Record<string, Attribute>;
}

/** The loss that is given, compiled, or told by the last activation; and the metrics that go with it. */
export function objectiveOf(
  owner: string,
  model: LayersModel,
  given: ObjectiveOptions['loss'],
): Job['objective'] {
  const loss = given ?? (model as { loss?: ObjectiveOptions['loss'] }).loss ?? lossOf(owner, model);
  const classes = typeof loss === 'string' && /crossentropy|hinge/i.test(loss);
  return { loss, metrics: classes ? 'accuracy' : 'meanAbsoluteError' };
}

function lossOf(owner: string, model: LayersModel): LossName {
  const { sourceLayer } = model.outputs.at(-1)!;
  const { activation } = sourceLayer.getConfig() as { activation?: unknown };
  if (activation === 'softmax' || sourceLayer.getClassName() === 'Softmax') {
    return 'categoricalCrossentropy';
  }
  if (activation === 'sigmoid') return 'binaryCrossentropy';
  throw new OptionError(
    `${owner}: what "${model.name}" is trained for cannot be told from its last layer. Give the option loss, for ` +
      "example 'categoricalCrossentropyFromLogits' or 'meanSquaredError'.",
  );
}

/** Loss and metrics on a part of the data. */
export async function scores(
  {
    original,
    objective,
    progress,
    signal,
  }: Pick<Job, 'original' | 'objective' | 'progress' | 'signal'>,
  model: LayersModel,
  data: BatchSource,
): Promise<Record<string, number>> {
  const exits = model.outputs.length > original.outputs.length;
  return evaluate(model, exits ? await forEveryExit(model, data) : data, {
    ...objective,
    batchSize: 256,
    progress,
    ...(signal ? { signal } : {}),
  });
}

/** What a network costs now. */
export function costs(model: LayersModel): Omit<Measured, 'validation' | 'test'> {
  const { params, nonzero, macs, bytes } = summarize(model).total;
  return { params, nonzero, macs, bytes };
}
