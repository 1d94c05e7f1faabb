import type { GraphNode } from '@thimble/graph';
import { none } from '../node-parts.ts';
import { Value } from '../values.ts';
import { NOWHERE, placesByPixel } from '../view.ts';
import { type Builder, combined, type Lowering, stepAt } from './lowering.ts';

/** 1 where the logit is above 0, else 0. */
export const policyGate: Lowering = ({ wiring }, node, [logits]) => {
  wiring.answer(node, stepAt(node, logits!, wiring.like(logits!), 0));
};

/**
 * Branches times their gates: x + g F(x), or one branch after the other. A branch that nothing else reads is computed
 * where its gate is open alone; elsewhere it is filled with zeros.
 */
export const gateMerge: Lowering = ({ wiring }, node, [x, ...rest], shape) => {
  const branches = rest.slice(0, -1);
  const last = rest.at(-1)!;
  const { combine, column } = node.attributes as { combine: string; column?: number };
  const decided = column !== undefined;
  const gates = decided ? last : wiring.add(stepAt(node, last, wiring.like(last), 0)).output;
  const masked = branches.map((branch, i) => {
    const entry = (column ?? 0) + i;
    if (!gates.planes && wiring.isSole(node.inputs[i + 1]!, branch)) {
      return skipped(wiring, node, gates, entry, branch);
    }
    const gate = everywhere(wiring, node.layer, gates, entry, branch);
    const product = combined(node, [branch, gate], wiring.like(branch), 'multiply');
    return wiring.add({ ...product, why: 'its branch is used elsewhere: the gate is a factor' })
      .output;
  });
  const [first] = masked as [Value];
  if (combine === 'add') {
    wiring.answer(node, combined(node, [x!, first], wiring.like(x!), 'add'));
  } else if (masked.length === 1) wiring.give(node, first);
  else {
    const output = new Value(shape, first.planes);
    const { layer } = node;
    wiring.answer(node, { kind: 'concatenate', layer, inputs: masked, output, ...none() });
  }
};

/** The branch, computed where its gate is open; else zeros in its place. */
function skipped(
  wiring: Builder['wiring'],
  { layer }: GraphNode,
  gates: Value,
  entry: number,
  branch: Value,
): Value {
  wiring.network.gated.push({ value: branch, gates, entry });
  wiring.add({
    kind: 'rearrange',
    layer,
    input: gates,
    output: branch,
    channels: new Int32Array(branch.channels).fill(NOWHERE),
    pixels: new Int32Array(branch.height * branch.width).fill(NOWHERE),
    when: [{ gates, entry, open: false }],
    why: 'where its gate is closed; else the branch is computed',
    ...none(),
  });
  return branch;
}

/** One entry of a vector at every place of a value like another. */
function everywhere(
  wiring: Builder['wiring'],
  layer: string,
  base: Value,
  entry: number,
  other: Value,
): Value {
  const { height, width, channels } = other;
  const places = [new Int32Array(height).fill(entry), new Int32Array(width)];
  const view = { base, shape: [height, width, channels] };
  const all = placesByPixel({ ...view, places: [...places, new Int32Array(channels)] });
  const output = wiring.like(other);
  return wiring.add({ kind: 'rearrange', layer, input: base, output, ...all, ...none() }).output;
}
