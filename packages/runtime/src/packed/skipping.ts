// Branches behind gates: what is needed for nothing else is computed for those examples alone whose gate is open.
import type { Condition, Network, Operation } from './operations.ts';
import type { Value } from './values.ts';

/** The network with conditions at the operations of its gated values, the gates before them. */
export function skipping(network: Network): Network {
  let { operations } = network;
  for (const { value, gates, entry } of network.gated) {
    const branch = onlyFor(value, { ...network, operations });
    for (const operation of branch) demand(operation, { gates, entry, open: true });
    const first = operations.findIndex((operation) => branch.has(operation));
    const decided = operations.findIndex(({ output }) => output === gates);
    const moved = operations
      .slice(first, decided + 1)
      .filter((operation) => !branch.has(operation));
    operations = [
      ...operations.slice(0, first),
      ...moved,
      ...operations.slice(first).filter((operation) => !moved.includes(operation)),
    ];
  }
  return { ...network, operations };
}

function demand(operation: Operation, condition: Condition): void {
  operation.when = [...(operation.when ?? []), condition];
}

/** The operations whose values only go into this one. Those that fill it where a gate is closed are not among them. */
function onlyFor(value: Value, { operations, outputs }: Network): Set<Operation> {
  const found = new Set<Operation>();
  const readers = new Map<Value, Operation[]>();
  for (const operation of operations) {
    for (const input of inputsOf(operation)) {
      readers.set(input, [...(readers.get(input) ?? []), operation]);
    }
  }
  const given = new Set(outputs.map((output) => output.value));
  for (const operation of operations.toReversed()) {
    const { output, when = [] } = operation;
    const reads = readers.get(output) ?? [];
    const fills = output === value && when.some(({ open }) => !open);
    const isOwn =
      output === value ||
      (reads.length > 0 && !given.has(output) && reads.every((reader) => found.has(reader)));
    if (isOwn && !fills) found.add(operation);
  }
  return found;
}

/** The values that an operation reads, gates included. */
export function inputsOf(operation: Operation): Value[] {
  const gates = operation.when?.map((condition) => condition.gates) ?? [];
  if (operation.kind === 'combine' || operation.kind === 'concatenate') {
    return [...operation.inputs, ...gates];
  }
  const { input, residual } = operation as { input: Value; residual?: Value };
  return [input, ...(residual ? [residual] : []), ...gates];
}
