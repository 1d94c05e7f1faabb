// How the values between the layers of a graph are coded in signed bytes.
import type { ActivationCode, Graph } from '@thimble/graph';

/** How integers stand for values: value = scale * (integer - zeroPoint). */
export interface Coding {
  scale: number;
  zeroPoint: number;
}

/** Layers that keep the code of their input. */
const THROUGH = ['maxPooling2d', 'flatten', 'reshape', 'activation', 'reLU'];

/** How the value of a node is coded: as the first node says that takes it, pooling and ReLUs in between. */
export function codingOf(graph: Graph, name: string): Coding | undefined {
  for (const node of graph.nodes) {
    const at = node.inputs.findIndex((source) => source.node === name);
    if (at < 0) continue;
    const code = node.codes?.inputs?.[at];
    if (code) return signed(code);
    const found = THROUGH.includes(node.op) ? codingOf(graph, node.name) : undefined;
    if (found) return found;
  }
  return undefined;
}

function signed({ scale, zeroPoint, low }: ActivationCode): Coding {
  return { scale, zeroPoint: low < 0 ? zeroPoint : zeroPoint - 128 };
}
