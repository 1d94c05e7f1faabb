// Charts as SVG, drawn by Vega-Lite without a browser.
import * as vega from 'vega';
import { compile, type TopLevelSpec } from 'vega-lite';

/** A value of one network in a group of bars. */
export interface Bar {
  label: string;
  network: 'before' | 'after';
  value: number;
}

/** A point of a line. */
export interface Point {
  network: 'before' | 'after';
  /** Lines of one network differ in this. */
  kind?: string;
  x: number;
  y: number;
}

const CONFIG = {
  font: 'system-ui, sans-serif',
  view: { stroke: null },
  background: 'white', // readable on a dark page too
} as const;

const COLOR = {
  field: 'network',
  type: 'nominal',
  title: null,
  sort: ['before', 'after'],
  scale: { domain: ['before', 'after'], range: ['#8a9bb0', '#d1620f'] },
  legend: { orient: 'top' },
} as const;

async function svgOf(spec: object): Promise<string> {
  const { spec: compiled } = compile({ ...spec, config: CONFIG } as TopLevelSpec);
  return new vega.View(vega.parse(compiled), { renderer: 'none' }).toSVG();
}

/** Pairs of bars, one below the other, in the order given. */
export function barChart(title: string, value: string, bars: readonly Bar[]): Promise<string> {
  const length = { field: 'value', type: 'quantitative', title: value, axis: { grid: false } };
  const order = { field: 'network', sort: ['before', 'after'] };
  return svgOf({
    title: { text: title, anchor: 'start' },
    width: 420,
    height: { step: 13 },
    data: { values: bars },
    encoding: {
      y: { field: 'label', type: 'nominal', sort: null, title: null, axis: { labelLimit: 220 } },
      yOffset: order,
      x: length,
    },
    layer: [
      { mark: 'bar', encoding: { color: COLOR } },
      {
        mark: { type: 'text', align: 'left', dx: 4, fontSize: 9 },
        encoding: { text: { field: 'value', type: 'quantitative', format: '.3~g' } },
      },
    ],
  });
}

/** Lines over numbers; with `diagonal` a dashed line where y = x. */
export function lineChart(
  title: string,
  { x, y, diagonal = false }: { x: string; y: string; diagonal?: boolean },
  points: readonly Point[],
): Promise<string> {
  const kinds = points.some(({ kind }) => kind !== undefined);
  const ends = [0, 1].map((at) => ({ x: at, y: at }));
  const axes = {
    x: { field: 'x', type: 'quantitative', title: x, axis: { grid: false } },
    y: { field: 'y', type: 'quantitative', title: y },
  };
  return svgOf({
    title: { text: title, anchor: 'start' },
    width: 460,
    height: 260,
    layer: [
      {
        data: { values: points },
        mark: 'line',
        encoding: {
          ...axes,
          color: COLOR,
          ...(kinds
            ? {
                strokeDash: {
                  field: 'kind',
                  type: 'nominal',
                  title: null,
                  legend: { orient: 'top', symbolType: 'stroke' },
                },
              }
            : {}),
        },
      },
      // A layer of their own: points of the line would take the strokes from the legend.
      {
        data: { values: points },
        mark: { type: 'point', filled: true, opacity: 1 },
        encoding: { ...axes, color: COLOR },
      },
      ...(diagonal
        ? [
            {
              data: { values: ends },
              mark: { type: 'line', strokeDash: [4, 4], color: '#999' },
              encoding: axes,
            },
          ]
        : []),
    ],
  });
}
