import { none } from '../node-parts.ts';
import { Value } from '../values.ts';
import { placesByPixel } from '../view.ts';
import { type Builder, combined, type Lowering, stepAt } from './lowering.ts';

/** 1 where the logit is above 0, else 0. */
export const policyGate: Lowering = ({ wiring }, node, [logits]) => {
  wiring.answer(node, stepAt(node, logits!, wiring.like(logits!), 0));
};

/**
 * Branches times their gates: x + g F(x), or one branch after the other. All branches are computed: an example whose
 * gate is closed takes as long as any.
 */
export const gateMerge: Lowering = ({ wiring }, node, [x, ...rest], shape) => {
  const branches = rest.slice(0, -1);
  const last = rest.at(-1)!;
  const { combine, column } = node.attributes as { combine: string; column?: number };
  const decided = column !== undefined;
  const gates = decided ? last : wiring.add(stepAt(node, last, wiring.like(last), 0)).output;
  const masked = branches.map((branch, i) => {
    const gate = everywhere(wiring, node.layer, gates, (column ?? 0) + i, branch);
    const product = combined(node, [branch, gate], wiring.like(branch), 'multiply');
    return wiring.add({ ...product, why: 'gates are factors: all is computed' }).output;
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
