// The building block of SqueezeNet.
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { checkInteger } from '@thimble/base';
import type { ApplyPart } from '@thimble/core';
import {
  type ActivationName,
  Block,
  biasArgs,
  type Conv2dArgs,
  kernelArgs,
  requireChannelsLast,
} from './block.ts';

/** Arguments of {@link fire}: those of `tf.layers.conv2d` that apply, and its own. */
export interface FireArgs
  extends Omit<Conv2dArgs, 'filters' | 'kernelSize' | 'strides' | 'padding' | 'dilationRate'> {
  /** 1 x 1 filters that squeeze the input. */
  squeeze: number;
  /** 1 x 1 filters on what was squeezed. */
  expand1x1: number;
  /** 3 x 3 filters on what was squeezed. */
  expand3x3: number;
  /** A batch normalization after each convolution, which then have no bias. Default false. */
  batchNormalization?: boolean;
  /** Of the moving averages of batch normalization. Default 0.99. */
  momentum?: number;
  /** After each convolution. Default 'relu'. */
  activation?: ActivationName;
}

/**
 * A fire module: 1 x 1 filters squeeze the input to few channels; 1 x 1 and 3 x 3 filters expand them again, side
 * by side.
 *
 * - `s = f(squeeze(x))`, `y = [f(expand1x1(s)), f(expand3x3(s))]` with `expand1x1 + expand3x3` channels; height and
 *   width stay
 * - multiply-accumulates: `H W (C S + S E1 + 9 S E3)`
 *
 * Paper: Iandola et al., "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters and <0.5MB model size",
 * 2016, section 3.2.
 *
 * @throws {OptionError} for counts that are no whole numbers above 0; {UnsupportedError} for channels first.
 * @example
 * const module = fire({ squeeze: 8, expand1x1: 32, expand3x3: 32 }); // 64 channels
 */
export function fire(args: FireArgs): tfl.layers.Layer {
  return new ThimbleFire(args);
}

class ThimbleFire extends Block {
  static className = 'ThimbleFire';

  constructor(args: FireArgs) {
    const { squeeze, expand1x1, expand3x3, activation = 'relu' } = args;
    const { batchNormalization = false, momentum = 0.99 } = args;
    requireChannelsLast('fire', args);
    for (const [name, value] of Object.entries({ squeeze, expand1x1, expand3x3 })) {
      checkInteger('fire', name, value, 1);
    }
    super(args, {
      squeeze,
      expand1x1,
      expand3x3,
      activation,
      batchNormalization,
      momentum,
    });
    const unit = { batchNormalization, momentum, activation };
    const add = (role: string, filters: number, kernelSize: number) =>
      this.addUnit(role, unit, (own) =>
        tfl.layers.conv2d({
          filters,
          kernelSize,
          padding: 'same',
          ...kernelArgs(args),
          ...biasArgs(args),
          ...own,
        }),
      );
    add('squeeze', squeeze, 1);
    add('expand1x1', expand1x1, 1);
    add('expand3x3', expand3x3, 3);
    this.addPart('concatenate', (name) => tfl.layers.concatenate({ name }));
  }

  override connect<T>(input: T, apply: ApplyPart<T>): T {
    const squeezed = this.through('squeeze', input, apply);
    const small = this.through('expand1x1', squeezed, apply);
    const large = this.through('expand3x3', squeezed, apply);
    return apply(this.part('concatenate'), [small, large]);
  }
}

tf.serialization.registerClass(ThimbleFire as never);
