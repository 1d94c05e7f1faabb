// The skeletons of the synthetic digits: strokes through points in a box 1 wide and 1 high, y downwards.

/** Points as x, y, x, y ...; `curve` runs smoothly through them, `line` straight from one to the next. */
export interface Stroke {
  kind: 'curve' | 'line';
  points: readonly number[];
}

const curve = (...points: number[]): Stroke => ({ kind: 'curve', points });
const line = (...points: number[]): Stroke => ({ kind: 'line', points });

/** For every digit the ways to write it, each a list of strokes. */
// biome-ignore format: one stroke per line reads as a drawing
export const GLYPHS: readonly (readonly (readonly Stroke[])[])[] = [
  [ // 0
    [curve(0.5, 0.02, 0.22, 0.15, 0.12, 0.5, 0.22, 0.86, 0.5, 0.98, 0.78, 0.86, 0.88, 0.5, 0.78, 0.14, 0.5, 0.02)],
    [curve(0.62, 0.04, 0.3, 0.1, 0.14, 0.45, 0.2, 0.85, 0.5, 0.97, 0.8, 0.8, 0.86, 0.45, 0.74, 0.14, 0.45, 0.06)],
  ],
  [ // 1
    [line(0.5, 0, 0.5, 1)],
    [line(0.32, 0.22, 0.54, 0.02, 0.54, 1)],
    [line(0.34, 0.2, 0.53, 0.02, 0.53, 0.98), line(0.32, 0.98, 0.74, 0.98)],
  ],
  [ // 2
    [curve(0.16, 0.24, 0.3, 0.07, 0.54, 0.02, 0.79, 0.14, 0.8, 0.36, 0.55, 0.65, 0.15, 0.97), line(0.15, 0.97, 0.88, 0.96)],
    [curve(0.17, 0.2, 0.45, 0.02, 0.76, 0.2, 0.64, 0.55, 0.32, 0.87, 0.15, 0.9, 0.22, 0.76, 0.45, 0.86, 0.68, 0.98, 0.9, 0.88)],
  ],
  [ // 3
    [curve(0.18, 0.13, 0.45, 0.02, 0.74, 0.13, 0.72, 0.36, 0.42, 0.48), curve(0.42, 0.48, 0.74, 0.55, 0.84, 0.76, 0.6, 0.97, 0.3, 0.97, 0.12, 0.85)],
    [line(0.18, 0.04, 0.8, 0.04, 0.45, 0.4), curve(0.45, 0.4, 0.75, 0.49, 0.83, 0.72, 0.6, 0.95, 0.3, 0.97, 0.12, 0.86)],
  ],
  [ // 4
    [line(0.26, 0.03, 0.14, 0.56, 0.86, 0.52), line(0.72, 0.06, 0.66, 1)],
    [line(0.62, 0, 0.1, 0.64, 0.9, 0.63), line(0.64, 0.02, 0.64, 1)],
    [curve(0.2, 0.05, 0.16, 0.35, 0.3, 0.54, 0.6, 0.5, 0.75, 0.36), line(0.78, 0.03, 0.75, 0.36, 0.68, 1)],
  ],
  [ // 5
    [line(0.82, 0.04, 0.28, 0.04, 0.22, 0.43), curve(0.22, 0.43, 0.5, 0.36, 0.79, 0.5, 0.82, 0.75, 0.55, 0.96, 0.15, 0.92)],
    [line(0.84, 0.02, 0.34, 0.06), curve(0.34, 0.06, 0.24, 0.36, 0.55, 0.46, 0.78, 0.66, 0.66, 0.92, 0.38, 0.98, 0.15, 0.86)],
  ],
  [ // 6
    [curve(0.7, 0.02, 0.36, 0.24, 0.17, 0.6, 0.25, 0.9, 0.52, 0.98, 0.8, 0.86, 0.8, 0.63, 0.54, 0.5, 0.3, 0.6, 0.18, 0.74)],
    [curve(0.5, 0, 0.26, 0.36, 0.16, 0.72, 0.32, 0.95, 0.6, 0.95, 0.78, 0.76, 0.64, 0.58, 0.4, 0.62, 0.22, 0.82)],
  ],
  [ // 7
    [line(0.12, 0.05, 0.85, 0.05, 0.42, 1)],
    [line(0.12, 0.06, 0.84, 0.05), curve(0.84, 0.05, 0.62, 0.4, 0.46, 0.98)],
    [line(0.12, 0.05, 0.85, 0.05, 0.44, 1), line(0.34, 0.5, 0.8, 0.48)],
  ],
  [ // 8
    [curve(0.76, 0.16, 0.5, 0.02, 0.25, 0.15, 0.3, 0.35, 0.55, 0.5, 0.8, 0.72, 0.72, 0.92, 0.48, 0.98, 0.2, 0.9, 0.18, 0.7, 0.45, 0.5, 0.7, 0.34, 0.76, 0.16)],
    [curve(0.5, 0.02, 0.27, 0.12, 0.27, 0.36, 0.5, 0.46, 0.73, 0.36, 0.73, 0.12, 0.5, 0.02), curve(0.5, 0.46, 0.2, 0.58, 0.18, 0.86, 0.5, 0.98, 0.82, 0.86, 0.8, 0.58, 0.5, 0.46)],
  ],
  [ // 9
    [curve(0.78, 0.24, 0.55, 0.02, 0.26, 0.12, 0.2, 0.38, 0.45, 0.51, 0.7, 0.4, 0.79, 0.18), curve(0.79, 0.18, 0.78, 0.6, 0.66, 1)],
    [curve(0.8, 0.2, 0.5, 0.02, 0.22, 0.2, 0.3, 0.45, 0.6, 0.44, 0.8, 0.2), line(0.8, 0.2, 0.74, 1)],
    [curve(0.78, 0.24, 0.5, 0.03, 0.22, 0.2, 0.32, 0.46, 0.62, 0.42, 0.8, 0.2, 0.84, 0.6, 0.66, 0.92, 0.3, 0.97)],
  ],
];

/** Pieces of a curve between two of its points. */
const PIECES = 6;

/**
 * The stroke as a chain of short straight pieces, x, y, x, y ...; a curve is a Catmull-Rom spline.
 * `points` are those of the stroke, moved by whoever draws it.
 */
export function chain(kind: Stroke['kind'], points: readonly number[]): number[] {
  if (kind === 'line') return [...points];
  const count = points.length / 2;
  const first = Math.hypot(points[0]! - points.at(-2)!, points[1]! - points.at(-1)!);
  const closed = first < 0.12;
  const at = (i: number): [number, number] => {
    // Past its ends a closed curve goes on with its other end, an open one stays.
    const k = closed ? (i + count - 1) % (count - 1) : Math.min(Math.max(i, 0), count - 1);
    return [points[2 * k]!, points[2 * k + 1]!];
  };
  const pieces: number[] = [];
  for (let i = 0; i < count - 1; i++) {
    const [ax, ay] = at(i - 1);
    const [bx, by] = [points[2 * i]!, points[2 * i + 1]!];
    const [cx, cy] = [points[2 * i + 2]!, points[2 * i + 3]!];
    const [dx, dy] = at(i + 2);
    for (let k = 0; k < PIECES; k++) {
      const t = k / PIECES;
      pieces.push(spline(ax, bx, cx, dx, t), spline(ay, by, cy, dy, t));
    }
  }
  pieces.push(points.at(-2)!, points.at(-1)!);
  return pieces;
}

/** Catmull-Rom between b (t = 0) and c (t = 1). */
function spline(a: number, b: number, c: number, d: number, t: number): number {
  return 0.5 * (2 * b + t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a))));
}
