// What a model costs, layer by layer, measured on what is there.
import type { LayersModel } from '@tensorflow/tfjs-layers';
import { alignColumns } from '@thimble/base';
import { type Cost, cost, type LayerCost } from '@thimble/graph';
import { lower } from './lower.ts';

/** The cost of a model as data and as a table. */
export interface Summary {
  layers: LayerCost[];
  total: Cost;
  /** Layers whose multiply-accumulates are not known: an input size is open, or the kind of layer is unknown. */
  uncounted: string[];
  /** The table as text. */
  toString(): string;
  /** Writes the table to the console. */
  print(): void;
}

/**
 * Counts, per layer and in total:
 *
 * - `params`: entries of the weights, pruned ones and the statistics of batch normalisation included
 * - `nonzero`: entries that are not zero after masks and quantisation
 * - `macs`: multiply-accumulates of convolutions and dense products (recurrent ones included) for one
 *   example; biases and batch normalisation apart, a shared layer once per application. Pruned entries
 *   count, as a dense kernel computes them
 * - `bits`: what the weights take as they would be stored, before entropy coding: dense or as a bitmap
 *   with the kept values, whichever is smaller, with scales and codebooks
 * - `bytes`: `bits / 8` rounded up
 *
 * Nothing is taken from what was intended: a mask that masks nothing saves nothing.
 *
 * @throws {UnsupportedError} when the model is not built yet.
 * @example
 * const table = summarize(model);
 * table.print();
 * console.log(table.total.bytes);
 */
export function summarize(model: LayersModel): Summary {
  const { layers, total, uncounted } = cost(lower(model));
  const text = table(layers, total, uncounted);
  return { layers, total, uncounted, toString: () => text, print: () => console.log(text) };
}

const HEADINGS = ['layer', 'kind', 'output', 'params', 'nonzero', 'MACs', 'bits', 'bytes'];
const TEXT_COLUMNS = 3;

function table(layers: LayerCost[], total: Cost, uncounted: string[]): string {
  const figures = ({ params, nonzero, macs, bits, bytes }: Cost) =>
    [params, nonzero, macs, bits, bytes].map((n) =>
      Number.isNaN(n) ? '?' : n.toLocaleString('en-US'),
    );
  const rows = [
    HEADINGS,
    ...layers.map((layer) => [
      layer.name,
      layer.op,
      layer.shape.map((size) => size ?? '?').join(' x '),
      ...figures(layer),
    ]),
    ['total', '', '', ...figures(total)],
  ];
  const lines = alignColumns(rows, TEXT_COLUMNS);
  const rule = '-'.repeat(lines[0]!.length);
  lines.splice(1, 0, rule);
  lines.splice(-1, 0, rule);
  const ratio = (total.params * 4) / total.bytes;
  lines.push(
    total.bytes > 0
      ? `Bytes before entropy coding; dense float32 takes ${ratio.toFixed(2)} times as many.`
      : 'No weights.',
  );
  if (uncounted.length > 0) {
    lines.push(`MACs not known, and left out of the total: ${uncounted.join(', ')}.`);
  }
  return lines.join('\n');
}
