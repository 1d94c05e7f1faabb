// How many images a model gets wrong.
import type { LayersModel } from '@tensorflow/tfjs-layers';
import { type data, evaluate } from 'thimble';

/** Errors of a model on test images. */
export async function testErrors(model: LayersModel, test: data.ImageDataset): Promise<number> {
  const { errors } = await evaluate(model, test, {
    metrics: ['errors'],
    batchSize: 500,
    progress: false,
  });
  return errors!;
}
