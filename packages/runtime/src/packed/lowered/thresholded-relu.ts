import { combined, type Lowering, stepAt } from './lowering.ts';

/** x where it is above theta, else 0: x times 1 or 0. */
export const thresholdedReLU: Lowering = ({ wiring }, node, [input]) => {
  const theta = (node.attributes.theta as number | undefined) ?? 1;
  const { output } = wiring.add(stepAt(node, input!, wiring.like(input!), theta));
  wiring.answer(node, combined(node, [input!, output], wiring.like(input!), 'multiply'));
};
