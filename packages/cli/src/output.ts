// Where a command writes; looked at before anything takes time.
import { constants, existsSync } from 'node:fs';
import { access, stat } from 'node:fs/promises';
import { basename, dirname, resolve } from 'node:path';
import { UsageError } from './failure.ts';
import { formatOf } from './model-file.ts';

/**
 * The .thimble file that a command makes of a network: what was asked for, else the name of the network.
 *
 * @throws {UsageError} for another ending, and where without being asked for the network itself would be replaced.
 */
export async function outputOf(model: string, asked: string | undefined): Promise<string> {
  const name = basename(model).replace(/\.[a-z0-9]+$/i, '');
  const output = asked ?? `${name}.thimble`;
  if (formatOf(output) !== 'thimble') {
    throw new UsageError(
      `--output "${output}": the network that is made is written as .thimble; thimble convert makes others.`,
    );
  }
  if (asked === undefined && resolve(output) === resolve(model)) {
    throw new UsageError(
      `That would replace "${model}" itself. Say where to write, for example --output ${name}-small.thimble.`,
    );
  }
  await checkOutput(output);
  return output;
}

/** Throws unless a file can be written there; folders on the way are made later. */
export async function checkOutput(path: string): Promise<void> {
  const there = await stat(path).catch(() => undefined);
  if (there?.isDirectory()) {
    throw new UsageError(`"${path}" is a folder. Give the name of a file in it.`);
  }
  let folder = dirname(resolve(path));
  while (!existsSync(folder)) folder = dirname(folder);
  if (!(await stat(folder)).isDirectory()) {
    throw new UsageError(`"${path}" cannot be written: "${folder}" is no folder.`);
  }
  await access(folder, constants.W_OK);
}
