// Whether a graph hangs together.
import { DataError, type Encoding, NoMatchError, ShapeError, sizeOf } from '@thimble/base';
import type { Graph, GraphNode, GraphWeight, Source } from './graph.ts';

/**
 * Checks that names are unique, that every node comes after those it takes its inputs from, that weights
 * and outputs exist, and that encodings, masks and values have the sizes that they say.
 *
 * @throws {NoMatchError} for a reference to nothing.
 * @throws {ShapeError} for sizes that disagree.
 * @throws {DataError} for names used twice and counts that cannot be.
 */
export function validateGraph(graph: Graph): void {
  const seen = new Map<string, GraphNode>();
  for (const node of graph.nodes) {
    if (seen.has(node.name)) {
      throw new DataError(`graph "${graph.name}": two nodes are named "${node.name}".`);
    }
    for (const source of node.inputs) checkSource(seen, source, `node "${node.name}"`);
    for (const [role, key] of Object.entries(node.weights)) {
      if (!(key in graph.weights)) {
        throw new NoMatchError(
          `node "${node.name}": its ${role}, weight "${key}", does not exist.`,
        );
      }
    }
    seen.set(node.name, node);
  }
  for (const name of graph.inputs) {
    if (seen.get(name)?.op !== 'input') {
      throw new NoMatchError(`graph "${graph.name}": its input "${name}" is not an input node.`);
    }
  }
  for (const source of graph.outputs) checkSource(seen, source, `graph "${graph.name}"`);
  for (const [key, weight] of Object.entries(graph.weights)) checkWeight(key, weight);
}

function checkSource(seen: Map<string, GraphNode>, { node, output }: Source, user: string): void {
  const source = seen.get(node);
  if (!source) {
    throw new NoMatchError(`${user} takes an output of "${node}", which does not come before it.`);
  }
  if (!source.outputs[output]) {
    throw new NoMatchError(
      `${user} takes output ${output} of "${node}", which has ${source.outputs.length}.`,
    );
  }
}

function checkWeight(key: string, { encoding, data }: GraphWeight): void {
  const size = sizeOf(encoding.shape);
  const { mask, nonzero } = encoding;
  if (data && data.length !== size) throw wrongSize(key, 'values', data.length, encoding);
  if (mask && mask.length !== size) throw wrongSize(key, 'mask entries', mask.length, encoding);
  if (!Number.isInteger(nonzero) || nonzero < 0 || nonzero > size) {
    throw new DataError(`weight "${key}": ${nonzero} of its ${size} entries cannot be nonzero.`);
  }
}

function wrongSize(key: string, what: string, count: number, { shape }: Encoding): ShapeError {
  return new ShapeError(
    `weight "${key}" of shape [${shape}] has ${count} ${what} instead of ${sizeOf(shape)}.`,
  );
}
