import { weightOf } from '../node-weights.ts';
import { combined, type Lowering, scaled } from './lowering.ts';

/** max(x, 0) + alpha min(x, 0); where alpha is not one for each channel, on a vector of all values. */
export const prelu: Lowering = ({ graph, wiring }, node, [given], shape) => {
  const alpha = weightOf(graph, node, 'alpha')!.data;
  const byChannel = alpha.length === given!.channels;
  const input = byChannel ? given! : wiring.asVector(given!, node);
  const like = () => wiring.like(input);
  const above = wiring.add(scaled(node, input, like(), { low: 0 })).output;
  const below = wiring.add(scaled(node, input, like(), { high: 0 })).output;
  const slope = wiring.add(scaled(node, below, like(), { scale: alpha })).output;
  const sum = combined(node, [above, slope], like(), 'add');
  if (input === given) wiring.answer(node, sum);
  else wiring.give(node, wiring.asPlanes(wiring.add(sum).output, shape, node));
};
