// The step `lotteryTicket`: fresh weights, trained and pruned in rounds, each time rewound.
import { OptionError } from '@thimble/base';
import { copyModel } from '@thimble/core';
import { iterativePruning } from '@thimble/pruning';
import type { StepKind } from '../step.ts';
import { epochsSchema, TRAINING, type TrainingOptions, train } from '../training.ts';
import {
  checkTargets,
  evidenceOf,
  fractionsOf,
  type PruneTargets,
  ruleOf,
  TARGETS,
} from './prune.ts';

/** Options of `steps.lotteryTicket`. */
export interface LotteryTicketStepOptions extends PruneTargets, TrainingOptions {
  /** Epochs of every training, the first one of the whole network too; default 3. */
  epochs?: number;
  /** The epoch whose weights are gone back to; default 0, the initial weights. Below `epochs`. */
  rewind?: number;
}

export const lotteryTicketStep: StepKind<LotteryTicketStepOptions> = {
  name: 'lotteryTicket',
  description:
    'Draws fresh weights, trains, prunes, and puts what is left back to its early weights, in rounds; the ' +
    'weights that the network had are not used.',
  properties: {
    ...TARGETS,
    epochs: { description: 'Epochs of every training; default 3.', type: 'integer', minimum: 1 },
    rewind: epochsSchema('The epoch whose weights are gone back to; default 0.'),
    ...TRAINING,
  },
  check(owner, options) {
    checkTargets(owner, options);
    const { epochs = 3, rewind = 0 } = options;
    if (rewind >= epochs) {
      throw new OptionError(`${owner}: rewind (${rewind}) must be below epochs (${epochs}).`);
    }
  },
  async run(job, options) {
    const { epochs = 3, rewind = 0, rounds = 1 } = options;
    job.replace(copyModel(job.model, { seed: job.seed }));
    const callback = iterativePruning({
      ...ruleOf(options),
      ...evidenceOf(job),
      ...fractionsOf(options),
      denseEpochs: epochs,
      fineTuneEpochs: epochs,
      rewind,
    });
    const held = rounds * epochs;
    await train(job, (rounds + 1) * epochs, options, { callbacks: [callback], held });
    const told = callback.rounds.map(({ round, sparsity, logs }) => {
      const { val_accuracy: accuracy } = logs;
      return { round, sparsity, ...(accuracy === undefined ? {} : { accuracy }) };
    });
    job.note({ rounds: told });
  },
};
