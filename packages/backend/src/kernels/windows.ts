// Walks over the windows of a pooling.
import type { PoolInfo } from './pool-info.ts';

/**
 * Calls `use` for each window, in the order of the output: its number, and the `count` first of `pixels`,
 * which are the numbers of the input pixels that it holds, in row-major order.
 */
export function forWindows(
  { batch, input, output, kernel, stride, pad }: PoolInfo,
  use: (window: number, pixels: Int32Array, count: number) => void,
): void {
  const pixels = new Int32Array(kernel[0] * kernel[1] * kernel[2]);
  let window = 0;
  for (let n = 0; n < batch; n++) {
    for (let o = 0; o < output[0]; o++) {
      for (let i = 0; i < output[1]; i++) {
        for (let j = 0; j < output[2]; j++) {
          const [d0, h0, w0] = [
            o * stride[0] - pad[0],
            i * stride[1] - pad[1],
            j * stride[2] - pad[2],
          ];
          let count = 0;
          for (let d = Math.max(0, d0); d < Math.min(input[0], d0 + kernel[0]); d++) {
            for (let h = Math.max(0, h0); h < Math.min(input[1], h0 + kernel[1]); h++) {
              const row = ((n * input[0] + d) * input[1] + h) * input[2];
              for (let w = Math.max(0, w0); w < Math.min(input[2], w0 + kernel[2]); w++) {
                pixels[count++] = row + w;
              }
            }
          }
          use(window++, pixels, count);
        }
      }
    }
  }
}

/**
 * Calls `use` for each value of the output: the place in `x` of the maximum of its window, the first of equal
 * ones or the first NaN, and its own place.
 */
export function forMaxima(
  x: ArrayLike<number>,
  info: PoolInfo,
  use: (at: number, to: number) => void,
): void {
  const { channels } = info;
  forWindows(info, (window, pixels, count) => {
    for (let c = 0; c < channels; c++) {
      let at = (pixels[0] as number) * channels + c;
      for (let i = 1; i < count; i++) {
        const other = (pixels[i] as number) * channels + c;
        if (!((x[other] as number) <= (x[at] as number)) && !Number.isNaN(x[at])) at = other;
      }
      use(at, window * channels + c);
    }
  });
}
