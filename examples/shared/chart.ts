// Charts as SVG, drawn by Vega-Lite without a browser.
import * as vega from 'vega';
import { compile, type TopLevelSpec } from 'vega-lite';

/** One point of a chart; points with the same `series` form a line. */
export interface Point {
  series: string;
  x: number;
  y: number;
  /** Half the height of a band around the line, for example a standard deviation. */
  spread?: number;
}

export interface LineChart {
  title: string;
  x: string;
  y: string;
  points: Point[];
  /** For an x that shrinks by factors, such as weights left: a logarithmic axis from large to small. */
  downwards?: boolean;
}

/** A line per series, with a band around it where its points have a spread. */
export async function lineChart({ title, x, y, points, downwards }: LineChart): Promise<string> {
  const values = points.map((point) => ({
    ...point,
    low: point.y - (point.spread ?? 0),
    high: point.y + (point.spread ?? 0),
  }));
  const axes = {
    x: downwards
      ? {
          field: 'x',
          type: 'quantitative',
          title: x,
          scale: { type: 'log', reverse: true },
          axis: { grid: false },
        }
      : { field: 'x', type: 'quantitative', title: x, axis: { tickMinStep: 1, grid: false } },
    color: {
      field: 'series',
      type: 'nominal',
      title: null,
      legend: { orient: 'top', symbolOpacity: 1 },
    },
  } as const;
  const spec = {
    title: { text: title, anchor: 'start' },
    width: 620,
    height: 300,
    data: { values },
    layer: [
      {
        mark: { type: 'area', opacity: 0.2 },
        encoding: {
          ...axes,
          y: { field: 'low', type: 'quantitative', title: y, scale: { zero: false } },
          y2: { field: 'high' },
        },
      },
      {
        mark: { type: 'line', point: true },
        encoding: { ...axes, y: { field: 'y', type: 'quantitative', title: y } },
      },
    ],
    config: { font: 'system-ui, sans-serif', view: { stroke: null } },
  } as TopLevelSpec;
  const view = new vega.View(vega.parse(compile(spec).spec), { renderer: 'none' });
  return view.toSVG();
}

/** A bar of a chart. */
export interface Bar {
  label: string;
  value: number;
  /** Bars of one group have one colour. */
  group: string;
}

export interface BarChart {
  title: string;
  /** What the length of a bar is. */
  value: string;
  bars: Bar[];
}

/** Bars from left to right, one below the other in the order given, each with its value behind it. */
export async function barChart({ title, value, bars }: BarChart): Promise<string> {
  const y = { field: 'label', type: 'nominal', sort: null, title: null, axis: { labelLimit: 260 } };
  const x = { field: 'value', type: 'quantitative', title: value, axis: { grid: false } };
  const color = { field: 'group', type: 'nominal', legend: null };
  const text = { field: 'value', type: 'quantitative', format: '.3~g' };
  const spec = {
    title: { text: title, anchor: 'start' },
    width: 420,
    height: { step: 20 },
    data: { values: bars },
    encoding: { x, y },
    layer: [
      { mark: 'bar', encoding: { color } },
      { mark: { type: 'text', align: 'left', dx: 4 }, encoding: { text } },
    ],
    config: { font: 'system-ui, sans-serif', view: { stroke: null } },
  } as TopLevelSpec;
  const view = new vega.View(vega.parse(compile(spec).spec), { renderer: 'none' });
  return view.toSVG();
}
