// What several commands take, how it is read, and what their help says of it.
import { type Command, InvalidArgumentError } from 'commander';

/** What stands for a model. */
export const FILES = 'model: .thimble, .keras, .h5, .onnx, model.json or a folder with it';

/** What --data and the like take. */
export const DATA = `
Data (--data, --validation, --test):
  mnist, fashion-mnist, kmnist, cifar10   from THIMBLE_DATA_DIR, the cache or the network; with test images
  digits                                  drawn by a program
  folder/                                 the four IDX files of MNIST; or a folder of PNG or JPEG images for each
                                          class; or such folders in train/, validation/, test/
  images,labels                           two IDX or NPY files; unsigned bytes are divided by 255
  table.csv                               numbers, and a column of labels (--label)`;

export function examples(...lines: string[]): string {
  return `\nExamples:\n${lines.map((line) => `  $ ${line}`).join('\n')}`;
}

export function whole(
  min: number,
  max: number = Number.POSITIVE_INFINITY,
): (text: string) => number {
  const range = max < Number.POSITIVE_INFINITY ? `from ${min} to ${max}` : `from ${min} on`;
  return (text) => {
    const value = Number(text);
    if (Number.isInteger(value) && value >= min && value <= max) return value;
    throw new InvalidArgumentError(`It must be a whole number ${range}.`);
  };
}

export function real(text: string): number {
  const value = Number(text);
  if (text.trim() !== '' && Number.isFinite(value)) return value;
  throw new InvalidArgumentError('It must be a number.');
}

export function reals(text: string, list: number[] = []): number[] {
  return [...list, real(text)];
}

export function collect(text: string, list: string[] = []): string[] {
  return [...list, text];
}

/** Where the examples come from. */
export function dataOptions(command: Command): Command {
  return command
    .requiredOption('--data <data>', 'see below')
    .option(
      '--label <column>',
      'of a table; default one named label, class, target or y, else the last',
    )
    .option('--limit <number>', 'at most so many examples of each part', whole(1));
}

/** What is trained on, chosen by and looked at in the end. */
export function trainingOptions(command: Command): Command {
  return dataOptions(command)
    .option('--validation <data>', 'what choices are made by; default a tenth of the training data')
    .option('--test <data>', 'what is looked at once, at the end')
    .option(
      '--loss <name>',
      'default what the model was compiled with, or its last activation tells',
    )
    .option('--seed <number>', 'of everything random', whole(0));
}
