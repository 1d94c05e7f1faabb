// The steps by name.
import { type Step, type StepKind, stepMaker } from './step.ts';
import { type BinarizeStepOptions, binarizeStep } from './steps/binarize.ts';
import { type ClusterStepOptions, clusterStep } from './steps/cluster.ts';
import { type ExitsStepOptions, exitsStep } from './steps/exits.ts';
import { type LotteryTicketStepOptions, lotteryTicketStep } from './steps/lottery-ticket.ts';
import {
  type EncodeStepOptions,
  encodeStep,
  type TrainStepOptions,
  trainStep,
} from './steps/plain.ts';
import { type PruneStepOptions, pruneStep } from './steps/prune.ts';
import { type QuantizeStepOptions, quantizeStep } from './steps/quantize.ts';
import { type SlimmableStepOptions, slimmableStep } from './steps/slimmable.ts';
import {
  type DecomposeStepOptions,
  decomposeStep,
  type RemoveChannelsStepOptions,
  removeChannelsStep,
} from './steps/smaller.ts';

/** The options of each step, by its name. */
export interface StepOptions {
  binarize: BinarizeStepOptions;
  cluster: ClusterStepOptions;
  decompose: DecomposeStepOptions;
  encode: EncodeStepOptions;
  exits: ExitsStepOptions;
  lotteryTicket: LotteryTicketStepOptions;
  prune: PruneStepOptions;
  quantize: QuantizeStepOptions;
  removeChannels: RemoveChannelsStepOptions;
  slimmable: SlimmableStepOptions;
  train: TrainStepOptions;
}

/** What each step is, for the schema of recipes. */
export const kinds: { readonly [Name in keyof StepOptions]: StepKind<StepOptions[Name]> } = {
  binarize: binarizeStep,
  cluster: clusterStep,
  decompose: decomposeStep,
  encode: encodeStep,
  exits: exitsStep,
  lotteryTicket: lotteryTicketStep,
  prune: pruneStep,
  quantize: quantizeStep,
  removeChannels: removeChannelsStep,
  slimmable: slimmableStep,
  train: trainStep,
};

/**
 * The steps of recipes, for `compress`. Each is a function with a name and options of plain data, so a list of steps
 * can be written down as JSON: `{ "steps": [{ "prune": { "sparsity": 0.9 } }, { "encode": {} }] }`. Training in a step
 * uses the training data of `compress` and looks at its validation data.
 *
 * | step             | what it does                                                                            |
 * | ---------------- | --------------------------------------------------------------------------------------- |
 * | `train`          | trains on                                                                                |
 * | `prune`          | masks weights, at once or in rounds with training (Han et al., 2015)                     |
 * | `lotteryTicket`  | fresh weights, pruned in rounds and rewound (Frankle, Carbin, 2019)                      |
 * | `removeChannels` | removes whole channels                                                                   |
 * | `decompose`      | factors kernels                                                                          |
 * | `cluster`        | shared weights (Han et al., 2016)                                                        |
 * | `quantize`       | few bits, after training or trained with (`epochs`); activations too if asked for        |
 * | `binarize`       | weights of one bit (Rastegari et al., 2016; Courbariaux et al., 2015)                    |
 * | `slimmable`      | one network of several widths (Yu et al., 2018)                                         |
 * | `exits`          | early exits (Teerapittayanon et al., 2016), thresholds chosen on the validation data     |
 * | `encode`         | how the file is written                                                                  |
 *
 * @throws {OptionError} for unknown options, and values out of range.
 * @example
 * const { bytes } = await compress(model, {
 *   data: train,
 *   steps: [steps.prune({ sparsity: 0.8 }), steps.cluster({ clusters: 16 }), steps.encode()],
 * });
 */
export const steps: {
  readonly [Name in keyof StepOptions]: (options?: StepOptions[Name]) => Step;
} = {
  binarize: stepMaker(binarizeStep),
  cluster: stepMaker(clusterStep),
  decompose: stepMaker(decomposeStep),
  encode: stepMaker(encodeStep),
  exits: stepMaker(exitsStep),
  lotteryTicket: stepMaker(lotteryTicketStep),
  prune: stepMaker(pruneStep),
  quantize: stepMaker(quantizeStep),
  removeChannels: stepMaker(removeChannelsStep),
  slimmable: stepMaker(slimmableStep),
  train: stepMaker(trainStep),
};
