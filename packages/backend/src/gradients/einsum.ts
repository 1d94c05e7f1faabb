// The gradient of einsum, which tfjs does not have: it is an einsum again.
import { broadcastTo, Einsum, type EinsumAttrs, einsum, reshape } from '@tensorflow/tfjs-core';
import { defineGradient, type Gradient } from './override.ts';

/**
 * Forward "ab,bc->ac": sum over all labels that the output does not name. Backward the output takes the
 * place of the operand, "ac,bc->ab". A label of one operand alone that was summed over is a broadcast
 * backward.
 */
export const einsumGradient: Gradient = defineGradient<EinsumAttrs>(
  Einsum,
  (dy, saved, { equation }) => {
    const [operands, output] = equation.replace(/\s/g, '').split('->');
    const terms = operands.split(',');
    return Object.fromEntries(
      saved.map((operand, i) => [
        i,
        () => {
          const own = [...terms[i]];
          const others = saved.filter((_, k) => k !== i);
          const inputs = [output, ...terms.filter((_, k) => k !== i)];
          const known = inputs.join('');
          const kept = own.filter((label) => known.includes(label));
          const inner = einsum(`${inputs.join(',')}->${kept.join('')}`, dy, ...others);
          if (kept.length === own.length) return inner;
          const ones = operand.shape.map((size, k) => (known.includes(own[k]) ? size : 1));
          return broadcastTo(reshape(inner, ones), operand.shape);
        },
      ]),
    );
  },
  { saveAllInputs: true },
);
