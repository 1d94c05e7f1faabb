// What is kept between steps, so that an interrupted compression goes on after the last step that was finished.
import * as tfl from '@tensorflow/tfjs-layers';
import { CheckpointError, readBytes, writeBytes } from '@thimble/base';
import { registerFileHandlers } from '@thimble/io';
import type { StepReport } from './measure.ts';

/** What a finished step left. */
export interface KeptStep {
  report: StepReport;
  encoding: object | null;
}

/** Keeps a model with its transforms, then what says that it is whole. */
export async function keepStep(
  place: string,
  model: tfl.LayersModel,
  kept: KeptStep,
): Promise<void> {
  registerFileHandlers();
  await model.save(`file://${place}`);
  await writeBytes(`${place}/step.json`, new TextEncoder().encode(JSON.stringify(kept)));
}

/** What was kept of a step; undefined where it was not finished. */
export async function keptStep(place: string): Promise<KeptStep | undefined> {
  const bytes = await readBytes(`${place}/step.json`);
  if (!bytes) return undefined;
  try {
    return JSON.parse(new TextDecoder().decode(bytes)) as KeptStep;
  } catch (cause) {
    throw new CheckpointError(
      `compress: ${place}/step.json is damaged. Delete the folder to do the step again.`,
      { cause },
    );
  }
}

/** The model that was kept. */
export async function keptModel(place: string): Promise<tfl.LayersModel> {
  registerFileHandlers();
  return tfl.loadLayersModel(`file://${place}/model.json`);
}
