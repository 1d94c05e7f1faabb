// What a step of a recipe is.
import type { LayersModel } from '@tensorflow/tfjs-layers';
import type { ProgressOption } from '@thimble/base';
import type { BatchSource, ObjectiveOptions } from '@thimble/core';
import type { Attribute } from '@thimble/graph';
import type { EncodeOptions } from '@thimble/io';
import { checkSchema, type ObjectSchema, type Schema } from './schema.ts';

/** What a step works with. */
export interface Job {
  /** The network as it stands; a step changes it, or calls `replace`. */
  readonly model: LayersModel;
  /** The network as it was given to `compress`; not to be changed. */
  readonly original: LayersModel;
  readonly train: BatchSource;
  /** What choices are made by. */
  readonly validation: BatchSource;
  /** The loss and the metrics. */
  readonly objective: Required<Pick<ObjectiveOptions, 'loss'>> & { metrics: string };
  readonly seed: number | string;
  readonly progress: ProgressOption;
  readonly signal?: AbortSignal;
  /** Where training keeps its checkpoint. */
  readonly checkpoint?: string;
  /** Goes on with another network; the one before is disposed of, unless the new one is made of its layers. */
  replace(model: LayersModel, options?: { sharesLayers: boolean }): void;
  /** Adds to what the report says of this step. */
  note(details: Record<string, Attribute>): void;
  /** Says how the file is to be written. */
  encoding(options: EncodeOptions): void;
}

/** A step of a recipe: a function with a name and options. Write your own, or take one of `steps`. */
export interface Step {
  readonly name: string;
  /** Plain data, so that the recipe can be written down. */
  readonly options: object;
  run(job: Job): Promise<void>;
}

/** A step of which the options are described. */
export interface StepKind<Options extends object> {
  readonly name: string;
  /** What the step does, in a sentence. */
  readonly description: string;
  readonly properties: { readonly [Key in keyof Options]-?: Schema };
  readonly required?: readonly (keyof Options & string)[];
  /** Refuses options that do not go together. */
  check?(owner: string, options: Options): void;
  run(job: Job, options: Options): Promise<void>;
}

/** The JSON Schema of the options of a step. */
export function schemaOf<Options extends object>(kind: StepKind<Options>): ObjectSchema {
  const { description, properties, required = [] } = kind;
  return {
    description,
    type: 'object',
    properties: properties as Readonly<Record<string, Schema>>,
    ...(required.length > 0 ? { required } : {}),
    additionalProperties: false,
  };
}

/** The function that makes a step of a kind. */
export function stepMaker<Options extends object>(
  kind: StepKind<Options>,
): (options?: Options) => Step {
  return (options = {} as Options) => {
    const owner = `steps.${kind.name}`;
    checkSchema(owner, '', options, schemaOf(kind));
    kind.check?.(owner, options);
    const step: Step = { name: kind.name, options, run: (job) => kind.run(job, options) };
    ready.add(step);
    return step;
  };
}

const ready = new WeakSet<Step>();

/** Whether a step is one of `steps`, of which it is known what it does. */
export function isReady(step: Step): boolean {
  return ready.has(step);
}
