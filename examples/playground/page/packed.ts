// A network on packed kernels, and how long it takes here.
import { load, type PackedModel } from '@thimble/runtime';
import { SIDE } from './digit.ts';

/** Time is measured over at least so many milliseconds: browsers round their clocks. */
const LEAST = 4;
const MOST_RUNS = 200;

export interface Answer {
  scores: Float32Array;
  milliseconds: number;
}

/** Reads a file; refuses what is not a network for these digits. */
export async function packed(file: Uint8Array | string): Promise<PackedModel> {
  const net = await load(file);
  const [input, ...moreInputs] = net.inputs;
  const [output, ...moreOutputs] = net.outputs;
  const fits = input!.size === SIDE * SIDE && output!.size === 10;
  if (fits && moreInputs.length === 0 && moreOutputs.length === 0) return net;
  net.dispose();
  throw new Error(
    `The network takes [${input!.shape}] and gives [${output!.shape}]; it must take 28 x 28 values and give 10.`,
  );
}

/** The network's answer, and the mean time of some runs. */
export function timedAnswer(net: PackedModel, image: Float32Array): Answer {
  const scores = net.predict(image);
  const begun = performance.now();
  let runs = 0;
  let elapsed = 0;
  while (elapsed < LEAST && runs < MOST_RUNS) {
    net.predict(image);
    runs++;
    elapsed = performance.now() - begun;
  }
  return { scores: asProbabilities(scores), milliseconds: elapsed / runs };
}

/** Scores that are none yet, such as those of a loaded model, as probabilities. */
function asProbabilities(scores: Float32Array): Float32Array {
  const sum = scores.reduce((total, score) => total + score, 0);
  if (Math.abs(sum - 1) < 1e-3 && scores.every((score) => score >= 0)) return scores;
  const most = Math.max(...scores);
  const powers = scores.map((score) => Math.exp(score - most));
  const total = powers.reduce((all, power) => all + power, 0);
  return powers.map((power) => power / total);
}
