// What the blocks of compact networks share: convolutions with optional batch normalization and activation.
import * as tfl from '@tensorflow/tfjs-layers';
import { checkInteger, checkRange, UnsupportedError } from '@thimble/base';
import { type ApplyPart, CompositeLayer } from '@thimble/core';

/** Arguments of `tf.layers.conv2d`. */
export type Conv2dArgs = Parameters<typeof tfl.layers.conv2d>[0];

/** Name of an activation, as `tf.layers` takes it. */
export type ActivationName = NonNullable<Conv2dArgs['activation']>;

/** What follows a convolution of a block. */
export interface UnitOptions {
  /** Whether a batch normalization follows each convolution, which then has no bias. */
  batchNormalization?: boolean;
  /** Of the moving averages of batch normalization. Default 0.99, as in `tf.layers`. */
  momentum?: number;
  /** A name, such as 'relu' or 'relu6'; 'linear' for none. */
  activation?: ActivationName;
}

/** What a convolution of a block is given beside its own arguments. */
interface UnitArgs {
  name: string;
  useBias: boolean;
  activation: ActivationName;
}

/** A composite layer whose parts come in units: a convolution, batch normalization, activation. */
export abstract class Block extends CompositeLayer {
  protected addUnit(
    role: string,
    { batchNormalization = false, momentum = 0.99, activation = 'linear' }: UnitOptions,
    make: (args: UnitArgs) => tfl.layers.Layer,
  ): void {
    const own = batchNormalization ? ('linear' as const) : activation;
    this.addPart(role, (name) => make({ name, useBias: !batchNormalization, activation: own }));
    if (!batchNormalization) return;
    checkRange(this.name, 'momentum', momentum, 0, 1);
    this.addPart(`${role}_norm`, (name) => tfl.layers.batchNormalization({ name, momentum }));
    if (activation === 'linear') return;
    this.addPart(`${role}_activation`, (name) => tfl.layers.activation({ name, activation }));
  }

  /** What a unit answers. */
  protected through<T>(role: string, input: T, apply: ApplyPart<T>): T {
    return [role, `${role}_norm`, `${role}_activation`]
      .filter((each) => this.hasPart(each))
      .reduce((value, each) => apply(this.part(each), value), input);
  }
}

/** The number of channels of an input that comes channels last. */
export function channelsOf(shape: tfl.Shape): number {
  return shape.at(-1)!;
}

/** Filters of a narrower network: `filters * multiplier`, rounded, at least 1. */
export function scaledFilters(owner: string, filters: number, multiplier: number): number {
  checkInteger(owner, 'filters', filters, 1);
  checkRange(owner, 'widthMultiplier', multiplier, 0);
  return Math.max(1, Math.round(filters * multiplier));
}

/** Height and width from a number or a pair. */
export function pair(owner: string, name: string, value: number | number[]): [number, number] {
  const [height, width = height] = Array.isArray(value) ? value : [value, value];
  checkInteger(owner, name, height!, 1);
  checkInteger(owner, name, width!, 1);
  return [height!, width!];
}

/** Throws for a layout that compact layers do not have. */
export function requireChannelsLast(owner: string, { dataFormat }: { dataFormat?: string }): void {
  if (dataFormat === undefined || dataFormat === 'channelsLast') return;
  throw new UnsupportedError(`${owner}: dataFormat must be channelsLast, not "${dataFormat}".`);
}

type KernelArgs = Pick<Conv2dArgs, 'kernelInitializer' | 'kernelRegularizer' | 'kernelConstraint'>;
type BiasArgs = Pick<Conv2dArgs, 'biasInitializer' | 'biasRegularizer' | 'biasConstraint'>;

/** Those arguments that are for kernels, if they are given. */
export function kernelArgs(args: KernelArgs): KernelArgs {
  return given(args, ['kernelInitializer', 'kernelRegularizer', 'kernelConstraint']);
}

/** The same under the names that depthwise convolutions have for them. */
export function depthwiseArgs(args: KernelArgs): object {
  return Object.fromEntries(
    Object.entries(kernelArgs(args)).map(([name, value]) => [
      name.replace('kernel', 'depthwise'),
      value,
    ]),
  );
}

/** Those arguments that are for biases, if they are given. */
export function biasArgs(args: BiasArgs): BiasArgs {
  return given(args, ['biasInitializer', 'biasRegularizer', 'biasConstraint']);
}

function given(args: object, names: readonly string[]): object {
  return Object.fromEntries(
    Object.entries(args).filter(([name, value]) => names.includes(name) && value !== undefined),
  );
}
