// The description of a network as JSON text; the other half of the runtime's parseDescription.
import type { ActivationCode, Attribute, Graph, GraphNode } from '@thimble/graph';
import { type FileNotes, inputNames, lastOutput } from '@thimble/runtime/file';

// biome-ignore lint/suspicious/noControlCharactersInRegex: all that is not ASCII
const NOT_ASCII = /[^\x00-\x7f]/g;

function escaped(letter: string): string {
  return `\\u${letter.charCodeAt(0).toString(16).padStart(4, '0')}`;
}

/** The ASCII text, and the keys of the weights in the order in which they are to be written. */
export function describe(graph: Graph, notes: FileNotes): { text: string; keys: string[] } {
  const numbers = new Map(graph.nodes.map(({ name }, i) => [name, i]));
  const keys = new Set<string>();
  for (const { weights } of graph.nodes) for (const key of Object.values(weights)) keys.add(key);
  const same = (a: unknown, b: unknown) => JSON.stringify(a) === JSON.stringify(b);
  const text = JSON.stringify({
    name: graph.name,
    nodes: graph.nodes.map((node, i) => describeNode(node, i, numbers)),
    ...(same(graph.inputs, inputNames(graph)) ? {} : { inputs: graph.inputs }),
    ...(same(graph.outputs, lastOutput(graph))
      ? {}
      : { outputs: graph.outputs.map(({ node, output }) => [node, output]) }),
    ...notes,
  });
  return { text: text.replace(NOT_ASCII, escaped), keys: [...keys] };
}

function describeNode(node: GraphNode, at: number, numbers: Map<string, number>): Attribute[] {
  const { op, name, layer, attributes, codes } = node;
  const inputs = node.inputs.map(({ node: source, output }) => {
    const back = at - 1 - numbers.get(source)!;
    return output === 0 ? back : [back, output];
  });
  const [only] = inputs;
  const weights = Object.entries(node.weights).map(([role, key]) =>
    key === `${layer}/${role}` ? role : [role, key],
  );
  const parts: (Attribute | undefined)[] = [
    op,
    name,
    inputs.length === 1 && typeof only === 'number' ? only : inputs,
    node.outputs,
    attributes,
    weights,
    codes ? describeCodes(codes) : null,
    layer,
  ];
  if (layer === name) parts.pop();
  if (parts.length === 7 && !codes) parts.pop();
  if (parts.length === 6 && weights.length === 0) parts.pop();
  if (parts.length === 5 && Object.keys(attributes).length === 0) parts.pop();
  return parts as Attribute[];
}

function describeCodes({ inputs, output }: NonNullable<GraphNode['codes']>): Attribute {
  const list = (code: ActivationCode | null) =>
    code && [code.bits, code.scale, code.zeroPoint, code.low, code.high];
  return {
    ...(inputs ? { inputs: inputs.map(list) } : {}),
    ...(output === undefined ? {} : { output: list(output) }),
  };
}
