// What is done to a model of tfjs-layers when it is compiled: the only place where its private copies of the
// optimizer classes, and its losses, can be met.
import { LayersModel, type ModelCompileArgs } from '@tensorflow/tfjs-layers';
import { fusedCrossEntropy } from './layers/cross-entropy.ts';
import { fuseOptimizer } from './optimizers.ts';

type Loss = Parameters<typeof fusedCrossEntropy>[0];
const CROSS_ENTROPY = 'categoricalCrossentropy';

/** Lets compiled models take the fused optimizer steps and losses while `thimble` is active. */
export function installCompile(): void {
  const { compile } = LayersModel.prototype;
  LayersModel.prototype.compile = function (this: LayersModel, args: ModelCompileArgs): void {
    compile.call(this, args);
    fuseOptimizer(this.optimizer);
    const { lossFunctions, outputNames } = this as unknown as {
      lossFunctions: Loss[];
      outputNames: string[];
    };
    lossFunctions.forEach((stock, i) => {
      if (lossName(args.loss, i, outputNames) === CROSS_ENTROPY) {
        lossFunctions[i] = fusedCrossEntropy(stock);
      }
    });
  };
}

/** How the loss of output `i` was asked for. */
function lossName(loss: ModelCompileArgs['loss'], i: number, outputNames: string[]): unknown {
  if (Array.isArray(loss)) return loss[i];
  if (typeof loss === 'object') return loss[outputNames[i] as string];
  return loss;
}
