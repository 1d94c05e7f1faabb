// Neuron importance score propagation (NISP).
import { checkOptions, OptionError, ShapeError } from '@thimble/base';
import type { ChannelCriterion, ChannelEvidence, KernelEvidence } from '../criterion.ts';
import { strideOf } from './channel-evidence.ts';

/** Options of {@link nisp}. */
export interface NispOptions {
  /**
   * Importance of the final responses: of the outputs of a layer whose outputs nothing reads. Called with
   * the layer's name and the number of its outputs; default 1 for each.
   */
  ranker?: (layer: string, outputs: number) => ArrayLike<number>;
}

/**
 * Importance flows back from the final responses through the absolute weights:
 * `s_k = |W_(k+1)|^T s_(k+1)`. A channel matters as much as what it feeds matters, times how strongly it
 * feeds it; of a convolution all positions of the window add up, of channels that several layers read all
 * of these.
 *
 * - Activation functions, batch normalisation, depthwise kernels and pooling are passed as if they were
 *   not there.
 * - Where channels come back to themselves (recurrent kernels, residual sums) only paths count that pass
 *   no group of channels twice.
 * - The paper ranks the final responses by Inf-FS; here they count alike unless `ranker` says otherwise.
 *
 * Scores grow from group to group towards the input: with scope 'global' use `normalized(nisp())`.
 *
 * Paper: Yu, Li, Chen, Lai, Morariu, Han, Gao, Lin, Davis, "NISP: Pruning Networks using Neuron Importance Score
 * Propagation", 2018, section 3.3.
 *
 * @throws {OptionError} for a ranker that is no function; {ShapeError} where it gives another number of
 *   scores.
 * @example
 * await prune(model, { criterion: criteria.nisp(), granularity: 'neuron', sparsity: 0.5 });
 */
export function nisp(options: NispOptions = {}): ChannelCriterion {
  checkOptions('criteria.nisp', options, ['ranker']);
  const { ranker = (_layer, outputs) => new Float64Array(outputs).fill(1) } = options;
  if (typeof ranker !== 'function') {
    throw new OptionError('criteria.nisp: ranker must be a function (layer, outputs) => scores.');
  }
  /** The evidence of one round of pruning is the same object whoever asks for it. */
  const known = new WeakMap<ChannelEvidence, Flow>();

  const rank = (layer: string, outputs: number): ArrayLike<number> => {
    const scores = ranker(layer, outputs);
    if (scores.length === outputs) return scores;
    throw new ShapeError(
      `criteria.nisp: ranker gave ${scores.length} scores for the ${outputs} outputs of "${layer}".`,
    );
  };

  /** `path` holds the groups through which importance has come to be asked for. */
  const flowOf = (evidence: ChannelEvidence, path: Set<string>): Flow => {
    const { group, kernels } = evidence;
    const memo = known.get(evidence);
    if (memo && !intersects(memo.reached, path)) return memo;
    const scores = new Float64Array(group.size);
    const reached = new Set([group.name]);
    path.add(group.name);
    let read = false;
    for (const kernel of kernels) {
      if (kernel.role !== 'in') continue;
      const maker = evidence.madeBy(kernel.layer);
      if (maker?.group.name !== group.name) read = true;
      if (maker && path.has(maker.group.name)) {
        reached.add(maker.group.name);
      } else if (maker) {
        const next = flowOf(maker, path);
        for (const name of next.reached) reached.add(name);
        carry(kernel, outputsFrom(kernel, maker, next.scores), scores);
      } else {
        const outputs = kernel.shape[kernel.axes.out]! / kernel.axes.gates;
        carry(kernel, rank(kernel.layer, outputs), scores);
      }
    }
    if (!read) respond(evidence, rank, scores);
    path.delete(group.name);
    const flow = { scores, reached };
    if (!intersects(reached, path)) known.set(evidence, flow);
    return flow;
  };

  return {
    name: 'nisp',
    level: 'channel',
    needs: [],
    score: (evidence) => flowOf(evidence, new Set()).scores.slice(),
  };
}

/** The importance of the channels of a group, and the names of the groups that it came from. */
interface Flow {
  scores: Float64Array;
  reached: Set<string>;
}

function intersects(a: Set<string>, b: Set<string>): boolean {
  for (const name of a) if (b.has(name)) return true;
  return false;
}

/** For every index along the output axis of a kernel the importance of the channel that it makes. */
function outputsFrom(
  { layer, shape, axes }: KernelEvidence,
  maker: ChannelEvidence,
  scores: Float64Array,
): Float64Array {
  const size = shape[axes.out]!;
  const made = maker.kernels.find(
    (kernel) => kernel.role === 'out' && kernel.layer === layer && kernel.channels.length === size,
  );
  return Float64Array.from({ length: size }, (_, i) => scores[made?.channels[i] ?? -1] ?? 0);
}

/** Adds `|w| * importance of the output` to each channel that a kernel reads. */
function carry(
  { shape, axes, axis, channels, values }: KernelEvidence,
  outputs: ArrayLike<number>,
  scores: Float64Array,
): void {
  const [inStride, outStride] = [strideOf(shape, axis), strideOf(shape, axes.out)];
  const [inSize, outSize] = [shape[axis]!, shape[axes.out]!];
  for (let i = 0; i < values.length; i++) {
    const channel = channels[Math.floor(i / inStride) % inSize]!;
    if (channel < 0) continue;
    const output = (Math.floor(i / outStride) % outSize) % outputs.length;
    scores[channel]! += Math.abs(values[i]!) * outputs[output]!;
  }
}

/** Channels that nothing but themselves reads are final responses. */
function respond(
  { kernels }: ChannelEvidence,
  rank: (layer: string, outputs: number) => ArrayLike<number>,
  scores: Float64Array,
): void {
  const done = new Set<string>();
  for (const { role, layer, shape, channels, axes } of kernels) {
    if (role !== 'out' || shape.length < 2 || done.has(layer)) continue;
    done.add(layer);
    const outputs = rank(layer, channels.length / axes.gates);
    for (let i = 0; i < outputs.length; i++) {
      if (channels[i]! >= 0) scores[channels[i]!]! += outputs[i]!;
    }
  }
}
