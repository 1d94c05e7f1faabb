// Passes data through a model to see what its layers answer and how the loss depends on them.
import * as tf from '@tensorflow/tfjs-core';
import type { LayersModel } from '@tensorflow/tfjs-layers';
import { checkInteger, checkOptions, OptionError } from '@thimble/base';
import { type FitData, toSource } from './batches.ts';
import { checkData, exampleShapes } from './check-data.ts';
import { eachBatch, type PassOptions } from './evaluate.ts';
import type { Layer } from './internals.ts';
import { withLayerOutputs } from './layer-outputs.ts';
import { ensureBuilt } from './model-weights.ts';
import { type ObjectiveOptions, objectiveOf, outputLosses, requireLoss } from './objective.ts';
import { forward, lossAndGradients, total } from './supervised-step.ts';
import type { Batch } from './training.ts';

/** What to look at while data passes. */
export interface ProbeOptions extends PassOptions {
  /** Layers whose outputs to show; default none. */
  layers?: readonly Layer[];
  /** Weights to show the gradient of; default none. Needs a loss. */
  variables?: readonly tf.Variable[];
  /** Whether to show the gradients of the layers' outputs too; default false. Needs a loss. */
  outputGradients?: boolean;
  /** The loss of the gradients; default that of `model.compile`. */
  loss?: ObjectiveOptions['loss'];
  /** Look at the first so many examples only; default all. */
  limit?: number;
}

/** What one batch showed. The tensors are gone when `visit` has returned. */
export interface Probe {
  readonly batch: Batch;
  /** For each layer its outputs, one for each time that it was called. */
  readonly outputs: tf.Tensor[][];
  /** What the layers got; of several inputs the first. */
  readonly inputs: tf.Tensor[][];
  /** All inputs of each call. */
  readonly allInputs: tf.Tensor[][][];
  /** The mean loss's gradients by these outputs; empty lists where they were not asked for. */
  readonly outputGradients: tf.Tensor[][];
  /** The mean loss's gradients by the variables. */
  readonly gradients: tf.Tensor[];
}

const KNOWN = [
  'layers',
  'variables',
  'outputGradients',
  'loss',
  'limit',
  'batchSize',
  'progress',
  'signal',
];

/**
 * Passes examples through a model in inference mode (dropout off, batch normalisation by its running
 * statistics) and shows `visit`, batch by batch, the outputs of layers, and the gradients of the mean loss
 * of the batch by those outputs and by weights. The penalties of the layers are no part of the loss.
 *
 * @throws OptionError for gradients without a loss; ShapeError, DataError where the data does not fit.
 * @example
 * let zeros = 0;
 * await probe(model, train, { layers: [model.layers[1]], limit: 200 }, ({ outputs }) => {
 *   zeros += tf.tidy(() => tf.sum(tf.cast(tf.equal(outputs[0][0], 0), 'float32')).dataSync()[0]);
 * });
 */
export async function probe(
  model: LayersModel,
  data: FitData,
  options: ProbeOptions,
  visit: (probe: Probe) => void | Promise<void>,
): Promise<void> {
  checkOptions('probe', options, KNOWN);
  const { layers = [], variables = [], outputGradients = false, loss, limit } = options;
  const { batchSize = 32 } = options;
  checkInteger('probe', 'batchSize', batchSize, 1);
  if (limit !== undefined) checkInteger('probe', 'limit', limit, 1);
  ensureBuilt('probe', model);
  const wantsLoss = variables.length > 0 || outputGradients;
  const objective = objectiveOf('probe', model, { loss });
  if (wantsLoss) requireLoss('probe', objective);
  if (outputGradients && layers.length === 0) {
    throw new OptionError('probe: outputGradients needs layers to look at.');
  }
  const source = await toSource(data, exampleShapes(model), 'probe');
  await checkData('probe', source, model, wantsLoss ? objective : undefined, batchSize);
  const places = new Map(layers.map((layer, i) => [layer, i]));

  const passOf = (batch: Batch): Pick<Probe, 'inputs' | 'allInputs' | 'outputs'> =>
    tf.tidy(() => {
      const seen = {
        inputs: layers.map(() => [] as tf.Tensor[]),
        allInputs: layers.map(() => [] as tf.Tensor[][]),
        outputs: layers.map(() => [] as tf.Tensor[]),
      };
      const keep = (
        layer: Layer,
        output: tf.Tensor,
        _call: number,
        _input: tf.Tensor,
        all: readonly tf.Tensor[],
      ): undefined => {
        const place = places.get(layer)!;
        const inputs = all.map((input) => tf.keep(tf.clone(input)));
        seen.inputs[place]!.push(inputs[0]!);
        seen.allInputs[place]!.push(inputs);
        seen.outputs[place]!.push(tf.keep(tf.clone(output)));
      };
      withLayerOutputs(layers, keep, () => forward(model, batch.xs, false));
      return seen as never;
    });

  /** Zeros are added to the outputs, and the gradients by these zeros are those by the outputs. */
  const gradientsOf = (batch: Batch, shifts: tf.Variable[][]): tf.Tensor[] =>
    tf.tidy(() => {
      const shift = (layer: Layer, output: tf.Tensor, call: number) => {
        const by = shifts[places.get(layer)!]?.[call];
        return by && tf.add(output, by);
      };
      const result = lossAndGradients(() => {
        const outputs = withLayerOutputs(layers, shift, () => forward(model, batch.xs, false));
        const each = outputLosses(objective, batch.ys, outputs);
        return total(
          each.flatMap((value, i) =>
            value ? [tf.mul(value, objective[i]!.weight)] : [],
          ) as tf.Scalar[],
        );
      }, [...variables, ...shifts.flat()]);
      return result.gradients;
    });

  await eachBatch(
    source,
    { ...options, batchSize },
    'probing',
    async (batch) => {
      const { inputs, allInputs, outputs } = passOf(batch);
      const shifts = outputGradients
        ? outputs.map((calls) =>
            calls.map((output) => tf.tidy(() => tf.variable(tf.zerosLike(output)))),
          )
        : [];
      let gradients: tf.Tensor[] = [];
      try {
        if (wantsLoss) gradients = gradientsOf(batch, shifts);
        let next = variables.length;
        await visit({
          batch,
          inputs,
          allInputs,
          outputs,
          outputGradients: shifts.map((calls) => calls.map(() => gradients[next++]!)),
          gradients: gradients.slice(0, variables.length),
        });
      } finally {
        tf.dispose([allInputs, outputs, shifts, gradients] as unknown as tf.TensorContainer);
      }
    },
    limit,
  );
}
