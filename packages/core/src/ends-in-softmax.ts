// Whether a model gives probabilities or logits.
import type { LayersModel } from '@tensorflow/tfjs-layers';

/**
 * True for an output that comes out of a softmax, also out of one inside a model that is the last layer.
 *
 * @example
 * endsInSoftmax(model.outputs[0]); // true
 */
export function endsInSoftmax({ sourceLayer }: LayersModel['outputs'][number]): boolean {
  if ('outputs' in sourceLayer) return endsInSoftmax((sourceLayer as LayersModel).outputs[0]!);
  const { activation } = sourceLayer.getConfig() as { activation?: unknown };
  return activation === 'softmax' || sourceLayer.getClassName() === 'Softmax';
}
