// thimble inspect
import { textTable } from '@thimble/base';
import { cost } from 'thimble';
import type { Outcome } from '../context.ts';
import { readModel } from '../model-file.ts';
import { count, histogramOf, histogramText, type Row } from '../text.ts';

export interface InspectOptions {
  histograms?: boolean;
}

export async function inspect(
  path: string,
  { histograms = false }: InspectOptions,
): Promise<Outcome> {
  const { format, bytes, notes, graph } = await readModel(path);
  const { layers, total, uncounted } = cost(graph);
  const weights = Object.entries(graph.weights).map(([name, { encoding, data }]) => {
    const { shape, values, mask, nonzero } = encoding;
    const about = { name, shape, values: values.type, bits: values.bits, nonzero };
    const masked = mask !== undefined;
    return { ...about, masked, ...(data && histograms ? { histogram: histogramOf(data) } : {}) };
  });
  const codes = (layer: string) =>
    weights
      .filter(
        ({ name }) => name.startsWith(`${layer}/`) && !/\/(bias|beta|gamma|moving)/.test(name),
      )
      .map(
        ({ values, bits, masked }) =>
          `${values === 'float' ? '' : `${values} `}${bits}${masked ? ', sparse' : ''}`,
      )
      .join('; ');
  const rows: Row[] = [
    ['layer', 'kind', 'output', 'bits a weight', 'params', 'nonzero', 'MACs', 'bytes'],
    ...layers.map((layer) => [
      layer.name,
      layer.op,
      layer.shape.map((size) => size ?? '?').join(' x '),
      codes(layer.name),
      ...[layer.params, layer.nonzero, layer.macs, layer.bytes].map(count),
    ]),
    ['total', '', '', '', ...[total.params, total.nonzero, total.macs, total.bytes].map(count)],
  ];
  const dense = 4 * total.params;
  const lines = [
    `${path}: ${format}, ${count(bytes)} bytes; as dense float32 the weights take ${count(dense)}, ` +
      `${(dense / bytes).toFixed(1)} times as many.`,
    '',
    textTable(rows, 4),
    '',
    'bytes: of the weights, before entropy coding. MACs: multiply-accumulates for one example.',
    ...(uncounted.length > 0
      ? [`MACs not known, and left out of the total: ${uncounted.join(', ')}.`]
      : []),
    ...madeBy(notes.report),
    ...(notes.labels ? [`Classes: ${notes.labels.join(', ')}.`] : []),
    ...weights.flatMap(({ name, histogram }) =>
      histogram && histogram.entries > 1 ? ['', name, histogramText(histogram)] : [],
    ),
  ];
  return {
    text: lines.join('\n'),
    json: {
      path,
      format,
      bytes,
      ratio: dense / bytes,
      layers,
      total,
      uncounted,
      weights,
      ...notes,
    },
  };
}

/** What a file tells of its recipe. */
function madeBy(report: unknown): string[] {
  const { recipe } = (report ?? {}) as { recipe?: { name?: string; steps?: object[] } };
  if (!recipe?.steps) return [];
  const steps = recipe.steps.map((step) => Object.keys(step)[0]).join(', ');
  return [
    `Made by ${recipe.name ? `the recipe ${recipe.name}` : 'a recipe'}: ${steps} (--json shows it all).`,
  ];
}
