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

/** Reads a file; refuses what is not a network for these digits, with one output or, with `exits`, with several. */
export async function packed(file: Uint8Array | string, exits = false): Promise<PackedModel> {
  const net = await load(file);
  const [input, ...moreInputs] = net.inputs;
  const ofDigits = net.outputs.every(({ size }) => size === 10);
  const fits = input!.size === SIDE * SIDE && moreInputs.length === 0 && ofDigits;
  if (fits && net.outputs.length > 1 === exits) return net;
  net.dispose();
  const given = net.outputs.map(({ shape }) => `[${shape}]`).join(', ');
  throw new Error(
    `The network takes [${input!.shape}] and gives ${given}; it must take 28 x 28 values and give 10.`,
  );
}

/** The network's answer, and the mean time of some runs. */
export function timedAnswer(net: PackedModel, image: Float32Array): Answer {
  const { answer, milliseconds } = timed(() => net.predict(image));
  return { scores: asProbabilities(answer), milliseconds };
}

/** The answer of a network with early exits, the number of the exit, and the mean time of some runs. */
export function timedEarly(
  net: PackedModel,
  image: Float32Array,
  threshold: number,
): Answer & { exit: number } {
  const { answer, milliseconds } = timed(() => net.predictEarly(image, { threshold }));
  return { scores: asProbabilities(answer.scores), exit: answer.exits[0]!, milliseconds };
}

function timed<T>(run: () => T): { answer: T; milliseconds: number } {
  const answer = run();
  const begun = performance.now();
  let runs = 0;
  let elapsed = 0;
  while (elapsed < LEAST && runs < MOST_RUNS) {
    run();
    runs++;
    elapsed = performance.now() - begun;
  }
  return { answer, milliseconds: elapsed / runs };
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
