import type { GraphWeight } from '@thimble/graph';
import { weightOf } from '../node-weights.ts';
import { combined, type Lowering, scaled } from './lowering.ts';

/** max(x, 0) + alpha min(x, 0); where alpha is not one for each channel, on a vector of all values. */
export const prelu: Lowering = ({ graph, wiring }, node, [given], shape) => {
  const alpha = weightOf(graph, node, 'alpha')!;
  const byChannel = alpha.encoding.shape.slice(0, -1).every((size) => size === 1);
  const input = byChannel ? given! : wiring.asVector(given!, node);
  const like = () => wiring.like(input);
  const above = wiring.add(scaled(node, input, like(), { low: 0 })).output;
  const below = wiring.add(scaled(node, input, like(), { high: 0 })).output;
  const scale = everywhere(alpha, byChannel ? shape.slice(-1) : shape);
  const slope = wiring.add(scaled(node, below, like(), { scale })).output;
  const sum = combined(node, [above, slope], like(), 'add');
  if (input === given) wiring.answer(node, sum);
  else wiring.give(node, wiring.asPlanes(wiring.add(sum).output, shape, node));
};

/** A value of alpha for each entry of a shape, along whose axes it may be shared. */
function everywhere(
  { data, encoding }: { data: Float32Array; encoding: GraphWeight['encoding'] },
  shape: readonly number[],
): Float32Array {
  const sizes = encoding.shape.slice(-shape.length);
  let spread = data;
  // From the last axis on, each that is shared repeats what lies behind it.
  let inner = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    const times = shape[axis]! / sizes[axis]!;
    const before = spread;
    if (times !== 1) {
      spread = new Float32Array(before.length * times);
      for (let at = 0; at < spread.length; at++) {
        const outer = Math.floor(at / (inner * times));
        spread[at] = before[outer * inner + (at % inner)]!;
      }
    }
    inner *= shape[axis]!;
  }
  return spread;
}
