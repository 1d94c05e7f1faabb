// Activation functions by name, as cuts and curves.
import { UnsupportedError } from '@thimble/base';
import type { GraphNode } from '@thimble/graph';
import { CURVES } from '@thimble/kernels/inference';
import type { Ending } from './operations.ts';

const NONE: Ending = { low: Number.NEGATIVE_INFINITY, high: Number.POSITIVE_INFINITY };
const curve = (kind: number, alpha = 1, beta = 1): Ending => ({
  ...NONE,
  curve: { kind, alpha, beta },
});

const SELU_SCALE = 1.0507009873554805;
const SELU_ALPHA = 1.6732632423543772;

const BY_NAME: Record<string, Ending> = {
  linear: NONE,
  relu: { ...NONE, low: 0 },
  relu6: { low: 0, high: 6 },
  sigmoid: curve(CURVES.sigmoid),
  tanh: curve(CURVES.tanh),
  elu: curve(CURVES.elu),
  selu: curve(CURVES.selu, SELU_ALPHA, SELU_SCALE),
  hardSigmoid: curve(CURVES.hardSigmoid),
  softsign: curve(CURVES.softsign),
  swish: curve(CURVES.swish),
  gelu: curve(CURVES.gelu),
  geluNew: curve(CURVES.geluNew),
  mish: curve(CURVES.mish),
  softplus: curve(CURVES.softplus),
  softmax: { ...NONE, curve: 'softmax' },
};

/** What the activation of a node does to its values. */
export function endingOf(node: GraphNode): Ending {
  const { op, layer, attributes } = node;
  const { activation, maxValue, alpha } = attributes;
  switch (op) {
    case 'reLU':
      return { low: 0, high: (maxValue as number | null) ?? Number.POSITIVE_INFINITY };
    case 'leakyReLU':
      return curve(CURVES.leakyRelu, (alpha as number | undefined) ?? 0.3);
    case 'elu':
      return curve(CURVES.elu, (alpha as number | undefined) ?? 1);
    case 'binaryActivation':
      return curve(CURVES.sign, attributes.values === 'zeroOne' ? 0 : -1, 1);
    case 'softmax': {
      const { axis = -1 } = attributes;
      if (axis === -1 || axis === node.outputs[0]!.length) return { ...NONE, curve: 'softmax' };
      throw new UnsupportedError(
        `layer "${layer}": the packed runtime cannot run softmax along axis ${axis}. Use axis -1, behind permute where it must be another.`,
      );
    }
  }
  const name = camelCase(String(activation ?? 'linear'));
  const ending = BY_NAME[name];
  if (!ending) {
    throw new UnsupportedError(
      `layer "${layer}": the packed runtime does not know the activation "${activation}". It knows: ${Object.keys(BY_NAME).join(', ')}.`,
    );
  }
  return { ...ending };
}

function camelCase(name: string): string {
  return name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
}

/** Whether the values come out as they are. */
export function isPlain({ low, high, curve, round }: Ending): boolean {
  return low === NONE.low && high === NONE.high && !curve && !round;
}
