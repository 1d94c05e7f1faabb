// Small pictures inside a page, without a library: BMP, 24 bits, as a data address.

/** Three bytes from a value in [0, 1]. */
export type Palette = (value: number) => readonly [number, number, number];

/** Black to white. */
export const grey: Palette = (value) => {
  const byte = Math.round(255 * Math.min(1, Math.max(0, value)));
  return [byte, byte, byte];
};

/** Black by red and yellow to white. */
export const heat: Palette = (value) => {
  const part = (from: number) => Math.round(255 * Math.min(1, Math.max(0, 3 * value - from)));
  return [part(0), part(1), part(2)];
};

const HEADER = 54;

/** The picture of values in [0, 1], row by row, as the address of an `img`. */
export function bitmap(
  values: readonly number[],
  [height, width]: readonly [number, number],
  palette: Palette,
): string {
  const stride = Math.ceil((3 * width) / 4) * 4;
  const bytes = new Uint8Array(HEADER + stride * height);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, 0x4d42, true); // "BM"
  view.setUint32(2, bytes.length, true);
  view.setUint32(10, HEADER, true);
  view.setUint32(14, 40, true);
  view.setInt32(18, width, true);
  view.setInt32(22, -height, true); // from the top down
  view.setUint16(26, 1, true);
  view.setUint16(28, 24, true);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const [red, green, blue] = palette(values[y * width + x]!);
      bytes.set([blue, green, red], HEADER + y * stride + 3 * x);
    }
  }
  let text = '';
  for (const byte of bytes) text += String.fromCharCode(byte);
  return `data:image/bmp;base64,${btoa(text)}`;
}
