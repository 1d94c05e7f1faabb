// From strokes on a pad to an image as MNIST has it.

export const SIDE = 28;
/** The longer side of a digit's box, in pixels of the image. */
const BOX = 20;
/** Looks per pixel and direction. */
const FINE = 5;

/**
 * Ink of a square pad as an image of 28 x 28 from 0 to 1: the box of the ink scaled to 20 pixels, its centre of
 * mass in the middle, as MNIST was made. Undefined where there is no ink.
 *
 * @param ink row by row, from 0 to 255
 */
export function toDigit(ink: ArrayLike<number>, side: number): Float32Array | undefined {
  let [left, right, top, bottom] = [side, -1, side, -1];
  let [mass, sumX, sumY] = [0, 0, 0];
  for (let y = 0; y < side; y++) {
    for (let x = 0; x < side; x++) {
      const value = ink[y * side + x]!;
      if (value === 0) continue;
      left = Math.min(left, x);
      right = Math.max(right, x);
      top = Math.min(top, y);
      bottom = Math.max(bottom, y);
      mass += value;
      sumX += value * (x + 0.5);
      sumY += value * (y + 0.5);
    }
  }
  if (mass === 0) return undefined;
  const step = Math.max(right - left + 1, bottom - top + 1) / BOX; // pad pixels per image pixel
  const [x0, y0] = [sumX / mass - (step * SIDE) / 2, sumY / mass - (step * SIDE) / 2];
  const image = new Float32Array(SIDE * SIDE);
  for (let i = 0; i < image.length; i++) {
    const [row, column] = [Math.floor(i / SIDE), i % SIDE];
    let sum = 0;
    for (let fine = 0; fine < FINE * FINE; fine++) {
      const x = Math.floor(x0 + step * (column + ((fine % FINE) + 0.5) / FINE));
      const y = Math.floor(y0 + step * (row + (Math.floor(fine / FINE) + 0.5) / FINE));
      if (x >= 0 && x < side && y >= 0 && y < side) sum += ink[y * side + x]!;
    }
    image[i] = sum / (255 * FINE * FINE);
  }
  return image;
}

/** The bytes of a digit of the test set. */
export function fromBase64(text: string): Float32Array {
  return Float32Array.from(atob(text), (letter) => letter.charCodeAt(0) / 255);
}
