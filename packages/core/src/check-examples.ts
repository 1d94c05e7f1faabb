// Checks data before work that would come to it late.
import type { LayersModel } from '@tensorflow/tfjs-layers';
import { checkData } from './check-data.ts';
import { ensureBuilt } from './model-weights.ts';
import { type ObjectiveOptions, objectiveOf } from './objective.ts';
import type { BatchSource } from './training.ts';

/** What examples are for. */
export interface ExamplesPurpose {
  /** The loss that their labels have to fit; default that of `model.compile`. Without any they are not looked at. */
  loss?: ObjectiveOptions['loss'];
  /** Of a source of batches the first is checked, of this size; default 32. */
  batchSize?: number;
}

/**
 * Checks examples as `fit` and `evaluate` do: number, shapes, values that are not finite, labels out of range.
 *
 * @param owner what messages begin with
 * @throws {ShapeError}, {DataError} where the examples do not fit the model or the loss.
 * @example
 * await checkExamples('mine', model, await toSource(test, {}, 'mine'), { loss: 'categoricalCrossentropy' });
 */
export async function checkExamples(
  owner: string,
  model: LayersModel,
  source: BatchSource,
  { loss, batchSize = 32 }: ExamplesPurpose = {},
): Promise<void> {
  ensureBuilt(owner, model);
  await checkData(owner, source, model, objectiveOf(owner, model, { loss }), batchSize);
}
