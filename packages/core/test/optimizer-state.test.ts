import '@tensorflow/tfjs-backend-cpu';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { decodeState, encodeState } from '../src/checkpoint-file.ts';
import { OptimizerState } from '../src/optimizer-state.ts';
import { line, useCpu } from './training-models.ts';

beforeAll(useCpu);

const makers: Record<string, () => tf.Optimizer> = {
  sgd: () => tf.train.sgd(0.1),
  momentum: () => tf.train.momentum(0.1, 0.9, true),
  adagrad: () => tf.train.adagrad(0.1),
  adadelta: () => tf.train.adadelta(0.1),
  adam: () => tf.train.adam(0.1),
  adamax: () => tf.train.adamax(0.1, 0.9, 0.999, 1e-7, 0.01),
  rmsprop: () => tf.train.rmsprop(0.1, 0.9, 0.5),
  'rmsprop, centered': () => tf.train.rmsprop(0.1, 0.9, 0.5, 1e-7, true),
  // tfjs-layers' own copies of the classes.
  'compiled adam': () => compiled('adam'),
  'compiled adamax': () => compiled('adamax'),
  'compiled rmsprop': () => compiled('rmsprop'),
};

function compiled(optimizer: string): tf.Optimizer {
  const model = line();
  model.compile({ optimizer, loss: 'meanSquaredError' });
  return model.optimizer;
}

/** A gradient that is different for every variable and step. */
function gradient(variable: tf.Variable, at: number, step: number): tf.Tensor {
  const value = Math.fround(Math.sin(7 * at + 3 * step + 1) / 3);
  return tf.fill(variable.shape, value);
}

/** Steps of the variables at some places, as fit takes them. */
function take(
  optimizer: tf.Optimizer,
  variables: tf.Variable[],
  places: number[],
  steps: number[],
): void {
  for (const step of steps) {
    const chosen = places.map((at) => variables[at]!);
    OptimizerState.of(optimizer).align(chosen);
    const named = chosen.map((variable, i) => ({
      name: variable.name,
      tensor: gradient(variable, places[i]!, step),
    }));
    optimizer.applyGradients(named);
    tf.dispose(named.map(({ tensor }) => tensor));
  }
}

const fresh = () => [1, 2, 3].map((n) => tf.variable(tf.fill([n], n / 10)));
const valuesOf = (variables: tf.Variable[]) => variables.map((v) => Array.from(v.dataSync()));

describe.each(Object.entries(makers))('%s', (_, make) => {
  it('goes on from a saved state bit by bit', async () => {
    const [unbroken, broken] = [fresh(), fresh()];
    const through = make();
    take(through, unbroken, [0, 1, 2], [0, 1, 2, 3, 4, 5]);

    const first = make();
    take(first, broken, [0, 1, 2], [0, 1, 2]);
    const names = broken.map(({ name }) => name);
    const state = await OptimizerState.of(first).capture((name) => `weight ${names.indexOf(name)}`);
    const saved = decodeState(encodeState(state));
    const second = make();
    OptimizerState.of(second).restore(saved, (name) => names[Number(name.split(' ')[1])]);
    take(second, broken, [0, 1, 2], [3, 4, 5]);

    expect(valuesOf(broken)).toEqual(valuesOf(unbroken));
    expect(second.iterations).toBe(through.iterations);
  });

  it('keeps the slots of each weight when others are frozen and come back', () => {
    // What each weight should become: the weights before, with and after the pause of the first one.
    const paused = fresh();
    const optimizer = make();
    take(optimizer, paused, [0, 1, 2], [0, 1]);
    take(optimizer, paused, [1, 2], [2, 3]);
    take(optimizer, paused, [0, 1, 2], [4]);

    const alone = fresh();
    const untouched = make();
    take(untouched, alone, [1, 2], [0, 1, 2, 3, 4]);
    expect(valuesOf(paused).slice(1)).toEqual(valuesOf(alone).slice(1));
    expect(valuesOf(paused)[0]).not.toEqual(valuesOf(fresh())[0]);
  });

  it('disposes of everything that it holds', () => {
    const variables = fresh();
    const optimizer = make();
    const before = tf.memory().numTensors;
    take(optimizer, variables, [0, 1, 2], [0]);
    take(optimizer, variables, [1], [1]);
    OptimizerState.of(optimizer).dispose();
    expect(tf.memory().numTensors).toBeLessThanOrEqual(before);
    const left = Object.values(optimizer).filter((value) => value instanceof tf.Tensor);
    expect(left.every((tensor) => tensor.isDisposed)).toBe(true);
  });
});

it('a frozen weight has its moment again when it comes back', () => {
  // Momentum 0.5, rate 1, gradient 1: steps of 1, 1.5 and, after a pause, 1.75.
  const optimizer = tf.train.momentum(1, 0.5);
  const [a, b] = [tf.variable(tf.scalar(0)), tf.variable(tf.scalar(0))];
  const step = (...variables: tf.Variable[]) => {
    OptimizerState.of(optimizer).align(variables);
    optimizer.applyGradients(variables.map(({ name }) => ({ name, tensor: tf.scalar(1) })));
  };
  step(a, b);
  step(a, b);
  step(b);
  step(a, b);
  expect(a.dataSync()[0]).toBe(-(1 + 1.5 + 1.75));
  expect(b.dataSync()[0]).toBe(-(1 + 1.5 + 1.75 + 1.875));
});

it('takes over slots that tfjs itself has made', () => {
  const optimizer = tf.train.momentum(1, 0.5);
  const [a, b] = [tf.variable(tf.scalar(0)), tf.variable(tf.scalar(0))];
  const named = (...vs: tf.Variable[]) => vs.map(({ name }) => ({ name, tensor: tf.scalar(1) }));
  optimizer.applyGradients(named(a, b));
  OptimizerState.of(optimizer).align([b]);
  optimizer.applyGradients(named(b));
  expect(b.dataSync()[0]).toBe(-2.5);
});
