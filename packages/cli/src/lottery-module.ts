// Makes the experiments of `thimble lottery`, one seed at a time, here or where `thimble worker` runs.
import type { LayersModel } from '@tensorflow/tfjs-layers';
import type { ProgressOption } from '@thimble/base';
import {
  endsInSoftmax,
  type LossName,
  type LotteryBranch,
  type LotteryTicketOptions,
  lotteryTicket,
} from 'thimble';
import { heldOut } from './data/held-out.ts';
import { type DataOptions, loadParts } from './data/load.ts';
import { readModel } from './model-file.ts';

/** All that there is to know of a study but its seeds; plain data. */
export interface LotteryModuleOptions {
  path: string;
  data: DataOptions;
  /** Where finished trainings are kept. */
  folder: string;
  /** Of network and data, so that over Redis what others under the same paths came to is not taken for it. */
  fingerprint?: string;
  about: Pick<
    LotteryTicketOptions,
    'rounds' | 'fraction' | 'rewindTo' | 'controls' | 'controlRounds'
  > & { training: Omit<LotteryTicketOptions['training'], 'progress' | 'signal'> };
}

/** The experiment of a seed. */
export type LotterySeed = (
  seed: number,
  more?: {
    progress?: ProgressOption;
    signal?: AbortSignal;
    onBranch?: (branch: LotteryBranch) => void;
  },
) => Promise<LotteryBranch[]>;

/** Reads model and data once, for all seeds. */
export async function lotteryOf(options: LotteryModuleOptions): Promise<LotterySeed> {
  const { path, data, folder, about } = options;
  const file = await readModel(path);
  const model = await file.model();
  const parts = await loadParts(model, data, { progress: false }, file.notes.labels);
  const [train, validation] = parts.validation
    ? [parts.train, parts.validation]
    : heldOut(parts.train, 0);
  return async (seed, { progress = false, ...more } = {}) => {
    const { branches } = await lotteryTicket({
      ...about,
      training: { loss: lossOf(model), ...about.training },
      model,
      data: train,
      validationData: validation,
      ...(parts.test ? { testData: parts.test } : {}),
      seeds: [seed],
      folder,
      progress,
      ...more,
    });
    return branches;
  };
}

/** What a network of classes is trained for. */
function lossOf(model: LayersModel): LossName {
  return endsInSoftmax(model.outputs.at(-1)!)
    ? 'categoricalCrossentropy'
    : 'categoricalCrossentropyFromLogits';
}
