// tf.train.* in one kernel per weight instead of about twelve, with the same results bit by bit (Adadelta
// excepted, which tfjs computes wrongly). The classes of tfjs are given another applyGradients, which takes
// the fused way while `thimble` is active and the stock way otherwise, so unchanged code gets it:
// tf.train.adam(), compile({ optimizer: 'adam' }). In Node, tfjs-layers carries classes of its own beside
// those of tfjs-core; they are met when a model is compiled.
import type { BackendWasm } from '@tensorflow/tfjs-backend-wasm';
import {
  AdadeltaOptimizer,
  AdamOptimizer,
  engine,
  getBackend,
  MomentumOptimizer,
  type NamedTensorMap,
  type Optimizer,
  RMSPropOptimizer,
  SGDOptimizer,
  type Tensor,
  tidy,
  type Variable,
  variable,
  zerosLike,
} from '@tensorflow/tfjs-core';
import { BACKEND_NAME } from './name.ts';
import { address, simd } from './simd.ts';
import { floats } from './stock.ts';

type Gradients = { name: string; tensor: Tensor }[] | NamedTensorMap;
type Slots = { originalName: string; variable: Variable }[];

/** The state of tfjs's optimizers, which their types hide. */
interface Inside {
  learningRate: number;
  epsilon: number;
  momentum: number;
  useNesterov: boolean;
  decay: number;
  centered: boolean;
  beta1: number;
  beta2: number;
  rho: number;
  accBeta1: Variable;
  accBeta2: Variable;
  accumulations: Slots;
  accumulatedFirstMoment: Slots;
  accumulatedSecondMoment: Slots;
  accumulatedMeanSquares: Slots;
  accumulatedMoments: Slots;
  accumulatedMeanGrads: Slots;
  accumulatedGrads: Slots;
  accumulatedUpdates: Slots;
}

/** One weight at a step: its address, its gradient's, and those of its slots. */
interface Weight {
  w: number;
  g: number;
  size: number;
  slot(list: Slots, suffix: string): number;
}

/** What an optimizer does to one weight, and what it does once before and after all of them. */
interface Rule {
  begin?(state: Inside, backend: BackendWasm): number[];
  step(state: Inside, weight: Weight, begun: number[]): void;
  end?(state: Inside, backend: BackendWasm): void;
}

const RULES: Record<string, Rule> = {
  SGD: {
    step: ({ learningRate }, { w, g, size }) => simd().sgd(w, g, size, -learningRate),
  },
  Momentum: {
    step(state, { w, g, size, slot }) {
      const a = slot(state.accumulations, 'momentum');
      simd().momentum(w, a, g, size, state.momentum, -state.learningRate, state.useNesterov);
    },
  },
  RMSProp: {
    step(state, { w, g, size, slot }) {
      const s = slot(state.accumulatedMeanSquares, 'rms');
      const a = slot(state.accumulatedMoments, 'momentum');
      const c = state.centered ? slot(state.accumulatedMeanGrads, 'mg') : 0;
      const { decay, momentum, learningRate, epsilon } = state;
      simd().rmsprop(w, s, a, c, g, size, decay, 1 - decay, momentum, learningRate, epsilon);
    },
  },
  Adam: {
    begin: ({ accBeta1, accBeta2 }, backend) =>
      [accBeta1, accBeta2].map((power) => Math.fround(1 - (floats(backend, power)[0] as number))),
    step(state, { w, g, size, slot }, begun) {
      const m = slot(state.accumulatedFirstMoment, 'm');
      const v = slot(state.accumulatedSecondMoment, 'v');
      const { beta1, beta2, epsilon, learningRate } = state;
      const [correction1, correction2] = begun as [number, number];
      simd().adam(
        ...([w, m, v, g, size, beta1, 1 - beta1, beta2, 1 - beta2] as const),
        correction1,
        correction2,
        epsilon,
        -learningRate,
      );
    },
    end({ accBeta1, accBeta2, beta1, beta2 }, backend) {
      for (const [power, beta] of [
        [accBeta1, beta1],
        [accBeta2, beta2],
      ] as const) {
        writable(backend, power);
        const value = floats(backend, power);
        value[0] = (value[0] as number) * Math.fround(beta);
      }
    },
  },
  Adadelta: {
    step(state, { w, g, size, slot }) {
      const s = slot(state.accumulatedGrads, 'accum_grad');
      const a = slot(state.accumulatedUpdates, 'accum_var');
      const { rho, epsilon, learningRate } = state;
      simd().adadelta(w, s, a, g, size, rho, 1 - rho, epsilon, -learningRate);
    },
  },
};

const fused = new WeakSet<object>();

/** Gives the optimizer classes of tfjs the fused step; does nothing where that has been done. */
export function installOptimizers(): void {
  const classes = [SGDOptimizer, MomentumOptimizer, RMSPropOptimizer, AdamOptimizer];
  for (const { prototype } of [...classes, AdadeltaOptimizer]) fuse(prototype as Optimizer);
}

/** Gives the class of `optimizer` the fused step, should it be one that tfjs-layers has to itself. */
export function fuseOptimizer(optimizer: Optimizer): void {
  fuse(Object.getPrototypeOf(optimizer) as Optimizer);
}

/** Replaces applyGradients of a prototype that has its own and that a rule knows. */
function fuse(prototype: Optimizer): void {
  const { className } = prototype.constructor as { className?: string };
  const rule = RULES[className ?? ''];
  if (!rule || fused.has(prototype) || !Object.hasOwn(prototype, 'applyGradients')) return;
  fused.add(prototype);
  const stock = prototype.applyGradients;
  prototype.applyGradients = function (this: Optimizer, gradients: Gradients): void {
    const pairs = pairsOf(gradients);
    if (getBackend() !== BACKEND_NAME || !pairs) {
      stock.call(this, gradients as never);
      return;
    }
    run(this as unknown as Inside, rule, pairs);
    (this as unknown as { incrementIterations(): void }).incrementIterations();
  };
}

type Pair = { value: Variable; gradient: Tensor | null | undefined };

/** Weights with their gradients, or nothing where the fused step does not fit: other types, other sizes. */
function pairsOf(gradients: Gradients): Pair[] | undefined {
  const named = Array.isArray(gradients)
    ? gradients
    : Object.entries(gradients).map(([name, tensor]) => ({ name, tensor }));
  const pairs = named.map(({ name, tensor }) => ({
    value: engine().registeredVariables[name] as Variable,
    gradient: tensor,
  }));
  const fits = ({ value, gradient }: Pair) =>
    value?.dtype === 'float32' &&
    (!gradient || (gradient.dtype === 'float32' && gradient.size === value.size));
  return pairs.every(fits) ? pairs : undefined;
}

function run(state: Inside, rule: Rule, pairs: Pair[]): void {
  const backend = engine().backend as BackendWasm;
  const begun = rule.begin?.(state, backend) ?? [];
  pairs.forEach(({ value, gradient }, i) => {
    const slot = (list: Slots, suffix: string): number => {
      list[i] ??= {
        originalName: `${value.name}/${suffix}`,
        variable: tidy(() => variable(zerosLike(value), false)),
      };
      return writable(backend, list[i].variable);
    };
    // A weight without a gradient has its slots made too, as tfjs does.
    const w = gradient && value.size > 0 ? writable(backend, value) : 0;
    const g = gradient && value.size > 0 ? address(backend, gradient) : 0;
    rule.step(state, { w, g, size: w ? value.size : 0, slot }, begun);
    if (w) forgetPacked(backend, value);
  });
  rule.end?.(state, backend);
}

/** The address of a variable's values, which are its own from now on: nobody else sees them change. */
function writable(backend: BackendWasm, value: Variable): number {
  const from = address(backend, value); // brings the data here from another backend
  if (backend.refCount(value.dataId) === 1) return from;
  const copy = backend.makeOutput(value.shape, 'float32');
  floats(backend, copy).set(floats(backend, value));
  const tensor = engine().makeTensorFromTensorInfo(copy, backend);
  value.assign(tensor);
  tensor.dispose();
  return address(backend, value);
}

/** XNNPACK keeps packed copies of the weights that stock kernels have read; this one has changed. */
function forgetPacked(backend: BackendWasm, value: Variable): void {
  const { id } = backend.dataIdMap.get(value.dataId);
  const { tfjs } = backend.wasm;
  tfjs.disposeData(id);
  tfjs.registerTensor(id, value.size, address(backend, value));
}
