// Bits for every layer, from a scan of how much each suffers.
import type { LayersModel } from '@tensorflow/tfjs-layers';
import { checkOptions, checkRange, OptionError } from '@thimble/base';
import { type AllocateOptions, allocate, parametrize } from '@thimble/core';
import { type FakeQuantOptions, fakeQuant } from './fake-quant.ts';
import type { BitSensitivity, BitSensitivityRow } from './sensitivity-bits.ts';
import { weightGrid } from './shared-values.ts';
import { chainsAt, checkNotRounded, kernelSites } from './targets.ts';

/** Options of {@link bitsForBudget}. */
export interface BitBudgetOptions extends AllocateOptions {
  /** Bytes of the weights of the whole model, before entropy coding. */
  bytes: number;
}

/** What {@link bitsForBudget} chose. */
export interface BudgetBits {
  /** Bits by layer: what {@link quantizeByBits} takes. */
  bits: Record<string, number>;
  /** Bytes of the whole model with these bits. */
  bytes: number;
  /** Sum of what the layers lose. */
  rise: number;
  /** No choice within the budget loses less. */
  bound: number;
  /** True when this choice is proven to be the best. */
  optimal: boolean;
}

const OWNER = 'bitsForBudget';

/**
 * The bits of all layers with which the model keeps within a number of bytes and its loss rises least, if
 * what the layers lose alone adds up: a multiple-choice knapsack over the rows of the scan, solved by
 * `allocate`. The whole model counts, biases and layers that were not scanned included.
 *
 * @throws {OptionError} for a budget below what the fewest bits take (the message says how much that is).
 * @example
 * const scan = await sensitivityBits(model, { data: test, method: 'hessian', bits: [2, 4, 8] });
 * bitsForBudget(scan, { bytes: 6000 }).bits;
 */
export function bitsForBudget(scan: BitSensitivity, options: BitBudgetOptions): BudgetBits {
  checkOptions(OWNER, options, ['bytes', 'method', 'limit']);
  const { bytes, ...rest } = options;
  checkRange(OWNER, 'bytes', bytes, 0);
  const layers = new Map<string, BitSensitivityRow[]>();
  for (const row of scan.rows) layers.set(row.layer, [...(layers.get(row.layer) ?? []), row]);
  const lists = [...layers.values()];
  const least = lists.reduce(
    (sum, rows) => sum + Math.min(...rows.map((row) => row.bytes)),
    scan.rest,
  );
  if (least > bytes) {
    throw new OptionError(
      `${OWNER}: a budget of ${bytes} bytes is out of reach: with the fewest bits of the scan the model takes ` +
        `${least}. Raise the budget, scan fewer bits or more layers.`,
    );
  }
  const choices = lists.map((rows) => rows.map((row) => ({ cost: row.bytes, value: -row.rise })));
  const { picks, cost, value, bound, optimal } = allocate(choices, bytes - scan.rest, rest);
  const bits = [...layers.keys()].map((name, i) => [name, lists[i]![picks[i]!]!.bits]);
  return {
    bits: Object.fromEntries(bits),
    bytes: cost + scan.rest,
    rise: -value,
    bound: -bound,
    optimal,
  };
}

/**
 * Gives the kernels of every layer named {@link fakeQuant} with its bits, at the end of their chains.
 *
 * @param quantizer what else fake quantisation is told; default symmetric, narrow and per channel, but for
 *   a kernel with one codebook, which gets one step
 * @throws {NoMatchError} for a name that no layer with a kernel has; {OptionError} for a kernel that is quantised
 *   already; then nothing is changed.
 * @example
 * quantizeByBits(model, { [layer.name]: 4 });
 */
export function quantizeByBits(
  model: LayersModel,
  bits: Readonly<Record<string, number>>,
  quantizer?: Omit<FakeQuantOptions, 'bits'>,
): void {
  if (typeof bits !== 'object' || bits === null) {
    throw new OptionError(
      `quantizeByBits: bits must be an object of bits by layer, not ${String(bits)}.`,
    );
  }
  const sites = kernelSites('quantizeByBits', model, Object.keys(bits));
  checkNotRounded('quantizeByBits', chainsAt(model, sites));
  const transforms = sites.map(({ layer }) =>
    fakeQuant({ ...(quantizer ?? weightGrid(layer)), bits: bits[layer.name]! }),
  );
  sites.forEach(({ layer, weights }, i) => {
    parametrize(layer, Object.fromEntries(weights.map((name) => [name, [transforms[i]!]])));
  });
}
