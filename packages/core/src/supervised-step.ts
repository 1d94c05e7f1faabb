// The ordinary step: forward pass, losses against the labels, penalties, gradients.
import * as tf from '@tensorflow/tfjs-core';
import type { LayersModel } from '@tensorflow/tfjs-layers';
import { checkOptions, UnsupportedError } from '@thimble/base';
import { ensureBuilt, penalties } from './model-weights.ts';
import {
  metricSum,
  type Objective,
  type ObjectiveOptions,
  objectiveOf,
  outputLosses,
  requireLoss,
} from './objective.ts';
import type { Step, StepContext, StepResult, TrainingHooks } from './training.ts';

/** A tensor or several as a list. */
export function toList<T>(value: T | T[]): T[] {
  return Array.isArray(value) ? value : [value];
}

/** The model's outputs for a batch, in training or in inference mode. */
export function forward(model: LayersModel, xs: tf.Tensor[], training: boolean): tf.Tensor[] {
  return toList(model.call(xs, { training }));
}

/**
 * The value of `loss` and its gradients, aligned with `variables`; zeros where the loss does not
 * depend on a variable. A step of one's own wants it: tf.variableGrads leaks what it saved for the
 * backward pass when the function throws.
 *
 * @example
 * const { loss, gradients } = lossAndGradients(() => tf.mean(tf.square(w)), [w]);
 */
export function lossAndGradients(
  loss: () => tf.Scalar,
  variables: tf.Variable[],
): { loss: tf.Scalar; gradients: tf.Tensor[] } {
  if (variables.length === 0) {
    throw new UnsupportedError(
      'The model has no trainable weights. Set trainable to true on the layers that are to learn.',
    );
  }
  try {
    const { value, grads } = tf.variableGrads(loss, variables);
    return {
      loss: value,
      gradients: variables.map((variable) => grads[variable.name] ?? tf.zerosLike(variable)),
    };
  } catch (error) {
    const { state } = tf.engine();
    if (state.gradientDepth === 0 && state.activeTape) {
      for (const node of state.activeTape) tf.dispose(node.saved ?? []);
      state.activeTape = undefined as unknown as typeof state.activeTape;
    }
    throw error;
  }
}

/** Their sum. */
export function total(terms: tf.Scalar[]): tf.Scalar {
  return terms.reduce((sum, term) => tf.add(sum, term));
}

/** The forward pass of a training step, within the hooks that want to be around it. */
function hookedForward(context: StepContext, hooks: readonly TrainingHooks[]): tf.Tensor[] {
  let run = () => forward(context.model, context.batch.xs, true);
  for (const hook of hooks) {
    if (!hook.forward) continue;
    const inner = run;
    run = () => hook.forward!(inner, context);
  }
  return run();
}

/** The step for an objective that is already put together. */
export function stepFor(objective: Objective): Step {
  return (context: StepContext, hooks: readonly TrainingHooks[]): StepResult => {
    const { model, variables, batch } = context;
    let outputs: tf.Tensor[] = [];
    let each: (tf.Scalar | undefined)[] = [];
    try {
      const { loss, gradients } = lossAndGradients(() => {
        const fresh = hookedForward(context, hooks);
        outputs = fresh.map((output) => tf.keep(tf.clone(output)));
        each = outputLosses(objective, batch.ys, fresh);
        const weighted = each.flatMap((value, i) => {
          const { weight } = objective[i]!;
          return value ? [weight === 1 ? value : tf.mul(value, weight)] : [];
        }) as tf.Scalar[];
        if (objective.length > 1) for (const value of each) if (value) tf.keep(value);
        let value = total(weighted);
        for (const hook of hooks) value = hook.loss?.(value, fresh, context) ?? value;
        return total([value, ...penalties(model)]);
      }, variables);
      const logs: Record<string, tf.Scalar> = {};
      const totals: Record<string, tf.Scalar> = {};
      objective.forEach(({ name, metrics }, i) => {
        const value = each[i];
        if (objective.length > 1 && value) logs[`${name}_loss`] = tf.clone(value);
        for (const metric of metrics) {
          const sum = metricSum(metric, batch.ys[i]!, outputs[i]!, batch.size);
          if (metric.count) totals[metric.key] = sum;
          else logs[metric.key] = tf.div(sum, batch.size);
        }
      });
      return { loss, gradients, logs, totals };
    } finally {
      tf.dispose(outputs);
      if (objective.length > 1) for (const value of each) value?.dispose();
    }
  };
}

/**
 * The step that `fit` takes by default: the model in training mode, the mean loss of each output times
 * its weight, the hooks' losses, the layers' penalties, and the gradients of their sum. Logs are
 * `<metric>` for one output and `<output>_loss`, `<output>_<metric>` for several.
 *
 * @throws OptionError for unknown losses, metrics or outputs, at the first step.
 *
 * @example
 * await fit(model, data, { step: supervisedStep({ loss: 'meanSquaredError', metrics: ['mae'] }) });
 */
export function supervisedStep(options: ObjectiveOptions): Step {
  checkOptions('supervisedStep', options, ['loss', 'lossWeights', 'metrics']);
  const steps = new WeakMap<LayersModel, Step>();
  return (context, hooks) => {
    let step = steps.get(context.model);
    if (!step) {
      ensureBuilt('supervisedStep', context.model);
      const objective = objectiveOf('supervisedStep', context.model, options);
      requireLoss('supervisedStep', objective);
      step = stepFor(objective);
      steps.set(context.model, step);
    }
    return step(context, hooks);
  };
}
