// Random movements of images, drawn anew for every batch.
import { checkInteger, checkOptions, checkRange, type Random } from '@thimble/base';
import { type ImageShape, inverseMap, warp } from './warp.ts';

/** One random movement: reads the image `from`, writes the moved one over all of `to`. */
export type Move = (
  from: Float32Array,
  to: Float32Array,
  shape: ImageShape,
  random: Random,
) => void;

/** The largest random movement in either direction; each image gets its own, uniform in between. */
export interface AugmentOptions {
  /** Pixels, to each side and up and down; fractions of a pixel are drawn too. Default 0. */
  shift?: number;
  /** Degrees, either way, at most 180. Default 0. */
  rotate?: number;
  /** Relative change of size: 0.1 draws factors from 0.9 to 1.1. Below 1. Default 0. */
  scale?: number;
  /** Pixels to the side per pixel down: 0.2 slants by up to 11 degrees. At most 2. Default 0. */
  shear?: number;
  /** Mirrors every other image left to right; not for digits. Default false. */
  flip?: boolean;
}

const AUGMENT_DEFAULTS: Required<AugmentOptions> = {
  shift: 0,
  rotate: 0,
  scale: 0,
  shear: 0,
  flip: false,
};

/** Shifts by whole pixels, up to `pixels` each way; what comes in from outside is 0. */
export function jitterMove(pixels: number): Move {
  checkInteger('jitter', 'pixels', pixels, 0);
  return (from, to, [height, width, channels], random) => {
    const right = random.integer(2 * pixels + 1) - pixels;
    const down = random.integer(2 * pixels + 1) - pixels;
    to.fill(0);
    const row = width * channels;
    const first = Math.max(0, -right) * channels;
    const last = Math.min(width, width - right) * channels;
    for (let y = Math.max(0, -down); y < Math.min(height, height - down) && first < last; y++) {
      to.set(
        from.subarray(y * row + first, y * row + last),
        (y + down) * row + first + right * channels,
      );
    }
  };
}

/** Turns, scales, shears, shifts and mirrors about the centre, with bilinear sampling; 0 outside. */
export function affineMove(options: AugmentOptions = {}): Move {
  checkOptions('augment', options, Object.keys(AUGMENT_DEFAULTS));
  const { shift, rotate, scale, shear, flip } = { ...AUGMENT_DEFAULTS, ...options };
  checkRange('augment', 'shift', shift, 0);
  checkRange('augment', 'rotate', rotate, 0, 180);
  checkRange('augment', 'scale', scale, 0, 0.99);
  checkRange('augment', 'shear', shear, 0, 2);
  return (from, to, shape, random) => {
    const size = 1 + random.uniform(-scale, scale);
    const map = inverseMap({
      angle: random.uniform(-rotate, rotate) * (Math.PI / 180),
      scaleX: size,
      scaleY: size,
      shear: random.uniform(-shear, shear),
      shiftX: random.uniform(-shift, shift),
      shiftY: random.uniform(-shift, shift),
    });
    if (flip && random.uniform() < 0.5) {
      map.xx = -map.xx;
      map.xy = -map.xy;
      map.x0 = -map.x0;
    }
    warp(from, to, shape, map);
  };
}
