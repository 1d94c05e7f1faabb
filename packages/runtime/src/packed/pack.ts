// From a graph to a network that runs: kernels chosen, weights packed, memory planned.
import { checkInteger, checkOptions, NoMatchError, OptionError } from '@thimble/base';
import { type Graph, validateGraph } from '@thimble/graph';
import { inferenceKernels } from '@thimble/kernels/inference';
import {
  type Candidate,
  type Choice,
  type ConvChoice,
  cheapest,
  convCandidates,
  type DenseChoice,
  denseCandidates,
} from './choices.ts';
import { emitEnding, emitPlain, layOut } from './emit.ts';
import { emitConv, layConv } from './emit-conv.ts';
import { emitDense } from './emit-dense.ts';
import { giveMemory, moduleFor, sharedMemory, takeMemory } from './memory.ts';
import { networkOf } from './network.ts';
import type { Conv, Dense, Network, Operation } from './operations.ts';
import { type LayerPlan, type Packed, PackedModel, type Parts, type Port } from './packed-model.ts';
import { moveTo, type Piece, Program, runnable, write } from './program.ts';
import { requantise } from './requantising.ts';
import { inStages } from './stages.ts';
import { canShare, desksBytes } from './threads.ts';

/** Options of {@link pack}. */
export interface PackOptions {
  /**
   * How kernels are chosen: 'model' (default) by a model of what they cost, the same on every machine;
   * 'measure' by timing those that the model finds worth it, which takes a moment.
   */
  plan?: 'model' | 'measure';
  /** Kernels for layers by name, instead of the ones chosen; `explain` tells which a layer may have. */
  kernels?: Record<string, Choice>;
  /** Which build of the kernels. Default: with relaxed SIMD where the engine has it. */
  relaxedSimd?: boolean;
  /**
   * Threads that share a batch, the caller included; default 1. They need SharedArrayBuffer (Node, and pages that
   * are cross-origin isolated); elsewhere there is one, and `explain` says so.
   */
  threads?: number;
}

const OPTIONS = ['plan', 'kernels', 'relaxedSimd', 'threads'];
/** Where the first weights lie; the address 0 means none. */
const START = 1024;

/**
 * A network that runs on packed kernels: weights stay compressed as far as a kernel computes with them (zeros
 * left out, 8 and 4 bits, signs), batch normalisation is folded into them, activations and residual sums are
 * fused, and all memory is planned here. Convolutions run on planes of one channel each.
 *
 * 8-bit weights compute in whole numbers with inputs rounded to the layer's codes, or, where it has none, to the
 * least power of two as a step with which no sum leaves 32 bits.
 *
 * @throws {UnsupportedError} for a layer that it cannot run, by name.
 * @example
 * const net = await pack(graph);
 * const scores = net.predict(new Float32Array(28 * 28));
 * net.explain().print();
 * net.dispose();
 */
export async function pack(graph: Graph, options: PackOptions = {}): Promise<PackedModel> {
  const ready = await packer(options);
  validateGraph(graph);
  return PackedModel.start(ready(graph));
}

/** What packs graphs that hang together, at once, so that their weights may lie in a workspace. */
export async function packer(options: PackOptions): Promise<(graph: Graph) => Packed> {
  checkOptions('pack', options, OPTIONS);
  const { plan = 'model', relaxedSimd, threads = 1 } = options;
  checkInteger('pack', 'threads', threads, 1, 256);
  if (plan !== 'model' && plan !== 'measure') {
    throw new OptionError(`pack: plan must be 'model' or 'measure', not "${plan}".`);
  }
  const others = threads > 1 && canShare() ? threads - 1 : 0;
  // Compiles on another thread while the rest is done; whatever goes wrong is told when it is asked for.
  const module = moduleFor(relaxedSimd, others > 0);
  module.catch(() => {});
  const timing = plan === 'measure' ? await moduleFor(relaxedSimd) : undefined;
  return (graph) => ({ ...packed(graph, options.kernels ?? {}, timing, others), module });
}

/** @param timing the kernels where they are to be timed */
function packed(
  graph: Graph,
  kernels: Record<string, Choice>,
  timing: WebAssembly.Module | undefined,
  others: number,
): Omit<Packed, 'module'> {
  const network = inStages(networkOf(graph));
  lay(network);
  const chosen = choose(network, kernels, timing);
  requantise(network, (operation) => chosen.get(operation)?.choice);
  const program = new Program();
  const { plans: layers, stages } = emit(program, network, chosen);
  const outputs = network.outputs.map(({ name, shape, value }): Port & { piece: Piece } => {
    const size = value.size;
    if (!value.planes) return { name, shape, size, offset: 0, piece: value.piece };
    const image = program.piece(4 * size);
    const { origin, step, pitch, channels, height, width } = value;
    program.call(
      'toImage',
      origin,
      step,
      pitch,
      { piece: image, offset: 0 },
      channels,
      height,
      width,
    );
    return { name, shape, size, offset: 0, piece: image };
  });
  const inputs = network.inputs.map(({ name, shape, value }) => ({
    ...{ name, shape, size: value.size, offset: 0, piece: value.piece },
  }));
  for (const { piece } of inputs) piece.before = true;
  for (const { piece } of outputs) piece.after = true;
  const kept = [...inputs, ...outputs].map(({ piece }) => piece);
  const placed = program.place(START, kept);
  const port = ({ piece, ...rest }: Port & { piece: Piece }): Port => ({
    ...rest,
    offset: placed.offsets.get(piece)!,
  });
  const { calls, weightBytes, arenaBytes, offsets } = placed;
  const parts: Parts = {
    ...{ calls, weightBytes, arenaBytes, stages, layers },
    contentBytes: [...offsets.keys()].reduce((sum, { content }) => sum + (content?.bytes ?? 0), 0),
    inputs: inputs.map(port),
    outputs: outputs.map(port),
    probabilities: network.outputs.map(({ value }) => {
      return network.operations.findLast(({ output }) => output === value)?.curve === 'softmax';
    }),
  };
  const end = weightBytes + arenaBytes;
  const memory = others > 0 ? sharedMemory(end + desksBytes(parts, others)) : takeMemory(end);
  write(memory, offsets);
  return { parts, memory, others };
}

function lay({ operations }: Network): void {
  for (const operation of operations) {
    if (operation.kind === 'conv') layConv(operation);
    else if (operation.kind !== 'dense') layOut(operation);
  }
}

interface Chosen {
  choice: Choice;
  why: string;
  candidates: Candidate[];
}

function choose(
  { operations }: Network,
  wanted: Record<string, Choice>,
  timing: WebAssembly.Module | undefined,
): Map<Operation, Chosen> {
  const chosen = new Map<Operation, Chosen>();
  const left = new Set(Object.keys(wanted));
  for (const operation of operations) {
    const { kind, layer } = operation;
    if (kind !== 'conv' && kind !== 'dense') continue;
    const candidates: Candidate[] =
      kind === 'conv' ? convCandidates(operation) : denseCandidates(operation);
    const asked = wanted[layer];
    if (asked !== undefined) {
      const found = candidates.some(({ choice }) => choice === asked);
      if (found) {
        left.delete(layer);
        chosen.set(operation, { choice: asked, why: 'asked for', candidates });
        continue;
      }
      if (!operations.some((other) => other !== operation && other.layer === layer)) {
        throw new OptionError(
          `pack: layer "${layer}" cannot have the kernel "${asked}". It can have: ${candidates.map(({ choice }) => choice).join(', ')}.`,
        );
      }
    }
    const best = cheapest(candidates);
    const worthIt = candidates.filter(({ cycles }) => cycles < 3 * best.cycles);
    if (timing && worthIt.length > 1) {
      const timed = measure(operation, worthIt, timing);
      const { choice } = cheapest(timed);
      chosen.set(operation, { choice, why: 'least time', candidates: timed });
    } else {
      const why = candidates.length > 1 ? 'least cycles' : 'the only one';
      chosen.set(operation, { choice: best.choice, why, candidates });
    }
  }
  for (const layer of left) {
    throw new NoMatchError(`pack: kernels names the layer "${layer}", which has no such choice.`);
  }
  return chosen;
}

/** Milliseconds that candidates take, each on its own, in turn. */
function measure(
  operation: Conv | Dense,
  candidates: readonly Candidate[],
  module: WebAssembly.Module,
): Candidate[] {
  const runs = candidates.map(({ choice }) => {
    const program = new Program();
    emitLinear(program, operation, choice);
    const { calls, weightBytes, arenaBytes, offsets } = program.place(START);
    const memory = takeMemory(weightBytes + arenaBytes);
    write(memory, offsets);
    new Float32Array(memory.buffer, weightBytes, arenaBytes >> 2).fill(0.5);
    return {
      choice,
      memory,
      run: runnable(moveTo(calls, weightBytes), inferenceKernels(module, memory), memory),
    };
  });
  const best = runs.map(() => Number.POSITIVE_INFINITY);
  for (let round = 0; round < 5; round++) {
    for (const [i, { run }] of runs.entries()) {
      const started = performance.now();
      for (let times = 0; times < 3; times++) run();
      best[i] = Math.min(best[i]!, performance.now() - started);
    }
  }
  for (const { memory } of runs) giveMemory(memory);
  return runs.map(({ choice }, i) => ({ choice, cycles: best[i]! }));
}

function emitLinear(program: Program, operation: Conv | Dense, choice: Choice): void {
  if (operation.kind === 'conv') emitConv(program, operation, choice as ConvChoice);
  else emitDense(program, operation, choice as DenseChoice);
}

/**
 * Emits all operations; tells of each layer what was chosen and what its packed weights take, and of each output how
 * many calls lead to it.
 */
function emit(
  program: Program,
  { operations, stages }: ReturnType<typeof inStages>,
  chosen: ReadonlyMap<Operation, Chosen>,
): { plans: LayerPlan[]; stages: number[] } {
  const plans: LayerPlan[] = [];
  const steps: number[] = [];
  for (const operation of operations) {
    const before = program.steps.length;
    const choice = chosen.get(operation);
    if (operation.kind === 'conv' || operation.kind === 'dense') {
      emitLinear(program, operation, choice!.choice);
    } else emitPlain(program, operation);
    emitEnding(program, operation);
    const made = program.steps.slice(before);
    const when = operation.when?.map(({ gates: { start }, entry, open }) => {
      return { at: { ...start, offset: start.offset + 4 * entry }, open };
    });
    if (when) for (const step of made) step.when = when;
    const pieces = new Set<Piece>();
    for (const { args } of made) {
      for (const arg of args)
        if (typeof arg !== 'number' && arg.piece.content) pieces.add(arg.piece);
    }
    const bytes = [...pieces].reduce((sum, piece) => sum + piece.bytes, 0);
    const { layer, kind, why = 'the only one' } = operation;
    steps.push(program.steps.length);
    plans.push({
      layer,
      kernel: choice?.choice ?? kind,
      bytes,
      why: choice?.why ?? why,
      candidates:
        choice?.candidates.map(({ choice, cycles }) => ({ kernel: choice, cost: cycles })) ?? [],
    });
  }
  return { plans, stages: stages.map((count) => steps[count - 1] ?? 0) };
}
