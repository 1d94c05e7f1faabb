// A network of several outputs in stages: what the first output needs, what the second one needs beside, and so on.
import type { Network, Operation } from './operations.ts';
import { inputsOf } from './skipping.ts';

/** The network with its operations in the order of the stages, and for every output how many there are up to it. */
export function inStages(network: Network): Network & { stages: number[] } {
  const { operations, outputs } = network;
  const stageOf = new Map<Operation, number>();
  for (const [stage, { value }] of outputs.entries()) {
    const wanted = new Set([value]);
    for (const operation of operations.toReversed()) {
      if (stageOf.has(operation) || !wanted.has(operation.output)) continue;
      stageOf.set(operation, stage);
      for (const input of inputsOf(operation)) wanted.add(input);
    }
  }
  const last = outputs.length - 1;
  const stage = (operation: Operation): number => stageOf.get(operation) ?? last;
  return {
    ...network,
    operations: operations.toSorted((a, b) => stage(a) - stage(b)),
    stages: outputs.map(
      (_, until) => operations.filter((operation) => stage(operation) <= until).length,
    ),
  };
}
