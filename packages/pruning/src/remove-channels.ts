// Structured pruning: channels that are really gone.
import type { LayersModel } from '@tensorflow/tfjs-layers';
import {
  checkInteger,
  checkOptions,
  NoMatchError,
  OptionError,
  UnsupportedError,
} from '@thimble/base';
import { type ChannelGroup, channelGroups, withoutChannels } from '@thimble/core';
import { scoresOfGroups } from './channel-scores.ts';
import { COMPENSATIONS, type Compensation, compensate } from './compensation.ts';
import { magnitude } from './criteria/magnitude.ts';
import type { Criterion } from './criterion.ts';
import { checkEvidence, EVIDENCE_OPTIONS, type EvidenceOptions } from './evidence.ts';
import { keepHighest } from './select.ts';
import { checkSparsity, namedRatios } from './sparsity.ts';

/** Options of {@link removeChannels}. */
export interface RemoveChannelsOptions extends EvidenceOptions {
  /** What to go by; default `criteria.magnitude({ norm: 'l1' })`. */
  criterion?: Criterion;
  /** Fraction of the channels of every group, or with scope 'global' of all, in [0, 1). */
  ratio?: number;
  /** Fractions by the name of a group, or of one of the layers that make it; others keep all, or `ratio`. */
  perLayer?: Readonly<Record<string, number>>;
  /** Whether channels compete within their group or over all groups; default 'layer'. */
  scope?: 'layer' | 'global';
  /** Groups that stay whole: names of groups or of layers that make them, or patterns. */
  ignore?: readonly (string | RegExp)[];
  /** The least that stays of a group; default 1 with scope 'layer', else 0: then an error says which. */
  keepAtLeast?: number;
  /** The number of channels that stays is rounded up to a multiple of this; default 1. */
  roundTo?: number;
  /**
   * What the next layers do about what they miss: 'none' (default), 'mean': its mean goes into their
   * biases, 'scale': what is left is scaled by least squares (ThiNet), 'leastSquares': their kernels are
   * fitted anew to the answers before (He et al.). All but 'none' need data.
   */
  compensation?: Compensation;
}

/** What {@link removeChannels} did to a group. */
export interface RemovedGroup {
  name: string;
  size: number;
  /** Numbers of the channels that are gone. */
  removed: number[];
  /** Why nothing could be removed, where that is so. */
  fixed?: string;
}

const OWNER = 'removeChannels';

/**
 * A plain, smaller model: the channels with the lowest scores are gone, from the layers that make them and
 * from all that read them (residual sums, concatenations, batch normalisation, flattened dense kernels and
 * shared layers included). The model given stays as it was. {@link removalReport} lists the groups with
 * what went and what could not go, and why; `channelGroups` lists them beforehand. Train on afterwards:
 * fine-tuning is part of pruning.
 *
 * @throws {NoMatchError} for a name or pattern that matches no group; {OptionError} for a ratio outside
 *   [0, 1), a criterion or compensation that needs data without data; {UnsupportedError} where a group would
 *   be gone entirely, and for an operation that the channel graph does not know (name its layers in
 *   `ignore` to keep all channels that reach it).
 * @example
 * const smaller = await removeChannels(model, { criterion: criteria.magnitude({ norm: 'l1' }), ratio: 0.5 });
 * smaller.countParams() < model.countParams(); // true
 */
export async function removeChannels(
  model: LayersModel,
  options: RemoveChannelsOptions,
): Promise<LayersModel> {
  const { criterion = magnitude({ norm: 'l1' }), compensation = 'none' } = options;
  checkRemoval(options);
  checkEvidence(OWNER, model, criterion, options, []);
  const groups = channelGroups(model);
  const ignored = ignoredGroups(groups, options.ignore ?? []);
  checkKnown(groups, ignored);
  const open = groups.filter((group) => group.fixed === undefined && !ignored.has(group));
  if (open.length === 0) {
    throw new NoMatchError(
      `${OWNER}: no group of channels of "${model.name}" can be removed: ` +
        `${groups.map(({ name, fixed }) => `${name} (${fixed ?? 'ignored'})`).join(', ') || 'none'}.`,
    );
  }
  const ratios = ratiosOf(open, options);
  const scores = await scoresOfGroups(OWNER, model, groups, open, criterion, options);
  const removed = choose(open, scores, ratios, criterion, options);
  const smaller = await withoutChannels(model, removed);
  try {
    await compensate(OWNER, model, smaller, removed, compensation, options);
  } catch (error) {
    smaller.dispose();
    throw error;
  }
  reports.set(
    smaller,
    groups.map((group) => ({
      name: group.name,
      size: group.size,
      removed: removed[group.name] ?? [],
      ...reasonOf(group, ignored),
    })),
  );
  return smaller;
}

/** What {@link removeChannels} did, group by group. */
export function removalReport(smaller: LayersModel): readonly RemovedGroup[] {
  const report = reports.get(smaller);
  if (report) return report;
  throw new UnsupportedError(`removalReport: "${smaller.name}" was not made by removeChannels.`);
}

const reports = new WeakMap<LayersModel, RemovedGroup[]>();

function reasonOf(group: ChannelGroup, ignored: ReadonlySet<ChannelGroup>): { fixed?: string } {
  if (group.fixed !== undefined) return { fixed: group.fixed };
  return ignored.has(group) ? { fixed: 'ignored' } : {};
}

function checkRemoval(options: RemoveChannelsOptions): void {
  checkOptions(OWNER, options, [
    'criterion',
    'ratio',
    'perLayer',
    'scope',
    'ignore',
    'keepAtLeast',
    'roundTo',
    'compensation',
    ...EVIDENCE_OPTIONS,
  ]);
  const { criterion, ratio, perLayer, scope = 'layer', keepAtLeast = 0, roundTo = 1 } = options;
  const { compensation = 'none' } = options;
  for (const [name, value] of namedRatios('ratio', ratio, perLayer)) {
    checkSparsity(OWNER, value, name);
  }
  const itself = criterion?.threshold !== undefined;
  if (itself && criterion.level === 'weight') {
    throw new OptionError(
      `${OWNER}: the criterion ${criterion.name} has a threshold for entries, not for channels. Use ` +
        'criteria.magnitude and a ratio.',
    );
  }
  if (itself === (ratio !== undefined || perLayer !== undefined)) {
    throw new OptionError(
      itself
        ? `${OWNER}: the criterion ${criterion!.name} says itself how much goes; leave ratio and perLayer out.`
        : `${OWNER}: give the option ratio, in [0, 1), or perLayer.`,
    );
  }
  if (scope !== 'layer' && scope !== 'global') {
    throw new OptionError(`${OWNER}: scope must be layer or global, not "${String(scope)}".`);
  }
  if (scope === 'global' && (perLayer || itself)) {
    throw new OptionError(`${OWNER}: with scope 'global' give the option ratio alone.`);
  }
  checkInteger(OWNER, 'keepAtLeast', keepAtLeast, 0);
  checkInteger(OWNER, 'roundTo', roundTo, 1);
  if (!COMPENSATIONS.includes(compensation)) {
    throw new OptionError(
      `${OWNER}: compensation must be one of ${COMPENSATIONS.join(', ')}, not "${compensation}".`,
    );
  }
}

/** True where a rule names the group or one of the layers that make it. */
function names(rule: string | RegExp, { name, producers }: ChannelGroup): boolean {
  const known = [name, ...producers];
  return typeof rule === 'string' ? known.includes(rule) : known.some((each) => rule.test(each));
}

function ignoredGroups(
  groups: readonly ChannelGroup[],
  rules: readonly (string | RegExp)[],
): Set<ChannelGroup> {
  for (const rule of rules) requireMatch('ignore', rule, groups);
  return new Set(groups.filter((group) => rules.some((rule) => names(rule, group))));
}

function requireMatch(
  option: string,
  rule: string | RegExp,
  groups: readonly ChannelGroup[],
): void {
  if (groups.some((group) => names(rule, group))) return;
  const shown = typeof rule === 'string' ? `"${rule}"` : `${rule}`;
  throw new NoMatchError(
    `${OWNER}: ${option} names ${shown}, which matches no group of channels. ` +
      `Groups: ${groups.map(({ name }) => name).join(', ') || 'none'}.`,
  );
}

/** An unknown operation is an error unless its channels are ignored on purpose. */
function checkKnown(groups: readonly ChannelGroup[], ignored: ReadonlySet<ChannelGroup>): void {
  const unknown = groups.find((group) => group.unknown && !ignored.has(group));
  if (!unknown) return;
  throw new UnsupportedError(
    `${OWNER}: the channels of "${unknown.name}" cannot be followed: ${unknown.fixed}. List ` +
      `"${unknown.name}" in ignore to keep them all and prune the rest.`,
  );
}

function ratiosOf(
  open: readonly ChannelGroup[],
  { ratio = 0, perLayer = {} }: RemoveChannelsOptions,
): number[] {
  for (const name of Object.keys(perLayer)) requireMatch('perLayer', name, open);
  return open.map((group) => {
    const found = Object.entries(perLayer).find(([name]) => names(name, group));
    return found ? found[1] : ratio;
  });
}

/** The channels to remove, by group. */
function choose(
  open: readonly ChannelGroup[],
  scores: ReadonlyMap<string, Float64Array>,
  ratios: readonly number[],
  criterion: Criterion,
  options: RemoveChannelsOptions,
): Record<string, number[]> {
  const { scope = 'layer', ratio = 0, roundTo = 1 } = options;
  const keepAtLeast = options.keepAtLeast ?? (scope === 'layer' ? 1 : 0);
  const lists = open.map(({ name }) => scores.get(name)!);
  let kept: Uint8Array[];
  if (criterion.level === 'channel' && criterion.threshold) {
    kept = lists.map((each) => {
      const threshold = criterion.threshold!(each);
      return Uint8Array.from(each, (score) => (score < threshold ? 0 : 1));
    });
  } else if (scope === 'global') {
    const all = Float64Array.from(lists.flatMap((each) => [...each]));
    const flat = keepHighest(all, Math.round(ratio * all.length), OWNER);
    let at = 0;
    kept = lists.map(({ length }) => {
      at += length;
      return flat.slice(at - length, at);
    });
  } else {
    kept = lists.map((each, i) => keepHighest(each, Math.round(ratios[i]! * each.length), OWNER));
  }
  return Object.fromEntries(
    open.map((group, i) => {
      const each = lists[i]!;
      const count = kept[i]!.reduce((sum, keep) => sum + keep, 0);
      const wanted = Math.min(
        each.length,
        Math.ceil(Math.max(count, keepAtLeast) / roundTo) * roundTo,
      );
      if (wanted === 0) {
        throw new UnsupportedError(
          `${OWNER}: all ${each.length} channels of "${group.name}" would go. Lower the ratio, ignore the ` +
            'group, or set keepAtLeast.',
        );
      }
      const final = wanted === count ? kept[i]! : keepHighest(each, each.length - wanted, OWNER);
      return [group.name, [...final.keys()].filter((channel) => !final[channel])];
    }),
  );
}
