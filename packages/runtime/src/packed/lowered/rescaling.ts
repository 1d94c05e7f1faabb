import { type Lowering, scaled } from './lowering.ts';

/** scale x + offset. */
export const rescaling: Lowering = ({ wiring }, node, [input]) => {
  const { scale, offset } = node.attributes as { scale: number; offset?: number };
  const { channels } = input!;
  const more = {
    scale: new Float32Array(channels).fill(scale),
    shift: new Float32Array(channels).fill(offset ?? 0),
  };
  wiring.answer(node, scaled(node, input!, wiring.like(input!), more));
};
