// Moving the pixels of an image: where each pixel comes from, and what lies between pixels.

/** Height, width and channels. */
export type ImageShape = readonly [height: number, width: number, channels: number];

/**
 * Where the pixel at (x, y) comes from, both measured from the centre of the image:
 * `(xx * x + xy * y + x0, yx * x + yy * y + y0)`.
 */
export interface AffineMap {
  xx: number;
  xy: number;
  yx: number;
  yy: number;
  x0: number;
  y0: number;
}

/** What an affine distortion does to the image: about its centre, scale and shear first, then turn, then shift. */
export interface Affine {
  /** In radians, clockwise as the image is seen. */
  angle: number;
  scaleX: number;
  scaleY: number;
  /** Pixels to the right per pixel down. */
  shear: number;
  /** Pixels to the right. */
  shiftX: number;
  /** Pixels down. */
  shiftY: number;
}

/** The map from a pixel of the distorted image back to where it comes from. */
export function inverseMap(affine: Affine): AffineMap {
  const { angle, scaleX, scaleY, shear, shiftX, shiftY } = affine;
  const cos = Math.cos(angle);
  const sin = Math.sin(angle);
  // Forward: p' = R K S p + t with S = diag(scaleX, scaleY), K = [1 shear; 0 1]. Back: p = S' K' R' (p' - t).
  const xx = (cos + shear * sin) / scaleX;
  const xy = (sin - shear * cos) / scaleX;
  const yx = -sin / scaleY;
  const yy = cos / scaleY;
  return {
    xx,
    xy,
    yx,
    yy,
    x0: -(xx * shiftX + xy * shiftY),
    y0: -(yx * shiftX + yy * shiftY),
  };
}

/**
 * Writes into `to` the image `from` as seen through the map, bilinear between pixels and 0 outside.
 *
 * @param bend further displacements per pixel, in pixels: elastic distortion.
 */
export function warp(
  from: Float32Array,
  to: Float32Array,
  [height, width, channels]: ImageShape,
  map: AffineMap,
  bend?: { dx: Float32Array; dy: Float32Array },
): void {
  const centreX = (width - 1) / 2;
  const centreY = (height - 1) / 2;
  const row = width * channels;
  for (let y = 0, pixel = 0; y < height; y++) {
    for (let x = 0; x < width; x++, pixel++) {
      const rightwards = x - centreX;
      const downwards = y - centreY;
      let u = map.xx * rightwards + map.xy * downwards + map.x0 + centreX;
      let v = map.yx * rightwards + map.yy * downwards + map.y0 + centreY;
      if (bend) {
        u += bend.dx[pixel]!;
        v += bend.dy[pixel]!;
      }
      const left = Math.floor(u);
      const top = Math.floor(v);
      const right = u - left;
      const down = v - top;
      const inLeft = left >= 0 && left < width;
      const inRight = left >= -1 && left < width - 1;
      const inTop = top >= 0 && top < height;
      const inBottom = top >= -1 && top < height - 1;
      const start = top * row + left * channels;
      for (let c = 0; c < channels; c++) {
        const at = start + c;
        const a = inTop && inLeft ? from[at]! : 0;
        const b = inTop && inRight ? from[at + channels]! : 0;
        const d = inBottom && inLeft ? from[at + row]! : 0;
        const e = inBottom && inRight ? from[at + row + channels]! : 0;
        const upper = a + (b - a) * right;
        const lower = d + (e - d) * right;
        to[pixel * channels + c] = upper + (lower - upper) * down;
      }
    }
  }
}
