// The convolution of signs with binary weights, on bits: a word holds the signs of 32 channels. Outputs lie in the lanes.
import { CHUNK, count, widen } from './signs';

/** Outputs of a panel. */
const PANEL: i32 = 16;
const TEMP: usize = 64;

@inline
function wordsOf(channels: i32): i32 {
  return (channels + 31) >> 5;
}

@inline
function panelsOf(channels: i32): i32 {
  return (channels + PANEL - 1) / PANEL;
}

/** Bytes of scratch that {@link xnorConv} needs. */
export function xnorScratch(
  inHeight: i32,
  inWidth: i32,
  inChannels: i32,
  outChannels: i32,
  kernelHeight: i32,
  kernelWidth: i32,
): usize {
  const words = wordsOf(inChannels);
  const panels = panelsOf(outChannels);
  const weights = (panels * (1 + kernelHeight * kernelWidth * words)) as usize << 6;
  return TEMP + weights + ((inHeight * inWidth * words) as usize << 2);
}

/** The magnitudes of the outputs' weights; false where they are not one for each output, or 0. */
function magnitudes(w: usize, rows: i32, outputs: i32, scales: usize): bool {
  for (let o = 0; o < outputs; o++) {
    const size = abs(load<f32>(w + ((o as usize) << 2)));
    if (!(size > 0)) return false;
    store<f32>(scales + ((o as usize) << 2), size);
  }
  const whole = outputs & ~3;
  let same = i32x4.splat(-1);
  for (let r = 0; r < rows; r++) {
    for (let o = 0; o < whole; o += 4) {
      const at = (o as usize) << 2;
      same = v128.and(same, f32x4.eq(f32x4.abs(v128.load(w + at)), v128.load(scales + at)));
    }
    for (let o = whole; o < outputs; o++) {
      const at = (o as usize) << 2;
      if (abs(load<f32>(w + at)) != load<f32>(scales + at)) return false;
    }
    w += (outputs as usize) << 2;
  }
  return i32x4.all_true(same);
}

/** Bits of w [taps, inChannels, outputs]: for each panel, tap and word 16 words of its outputs. */
function packWeights(w: usize, taps: i32, inChannels: i32, outputs: i32, to: usize): void {
  const row = (outputs as usize) << 2;
  for (let o = 0; o < outputs; o += PANEL) {
    let from = w + ((o as usize) << 2);
    for (let tap = taps; tap > 0; tap--) {
      for (let c = inChannels; c > 0; c -= 32) {
        let w0 = i32x4.splat(0);
        let w1 = w0;
        let w2 = w0;
        let w3 = w0;
        const some = min(c, 32);
        for (let i = 0; i < some; i++) {
          w0 = v128.or(w0, i32x4.shl(i32x4.shr_u(v128.load(from), 31), i));
          w1 = v128.or(w1, i32x4.shl(i32x4.shr_u(v128.load(from, 16), 31), i));
          w2 = v128.or(w2, i32x4.shl(i32x4.shr_u(v128.load(from, 32), 31), i));
          w3 = v128.or(w3, i32x4.shl(i32x4.shr_u(v128.load(from, 48), 31), i));
          from += row;
        }
        v128.store(to, w0);
        v128.store(to, w1, 16);
        v128.store(to, w2, 32);
        v128.store(to, w3, 48);
        to += 64;
      }
    }
  }
}

/** Bits of x [pixels, channels]; false where a value is neither -1 nor 1. */
function packSigns(x: usize, pixels: i32, channels: i32, to: usize): bool {
  const one = f32x4.splat(1);
  let signs = i32x4.splat(-1);
  for (; pixels > 0; pixels--) {
    for (let c = channels; c > 0; c -= 32) {
      let word: u32 = 0;
      const some = min(c, 32);
      let i = 0;
      for (; i + 4 <= some; i += 4) {
        const v = v128.load(x);
        signs = v128.and(signs, f32x4.eq(f32x4.abs(v), one));
        word |= (i32x4.bitmask(v) as u32) << i;
        x += 16;
      }
      for (; i < some; i++) {
        const v = load<f32>(x);
        if (abs(v) != 1) return false;
        word |= ((v < 0) as u32) << i;
        x += 4;
      }
      store<u32>(to, word);
      to += 4;
    }
  }
  return i32x4.all_true(signs);
}

/** y + 4 outputs = scale (n - 2 counted). */
@inline
function finish(y: usize, acc: v128, n: v128, scale: usize): void {
  const sum = i32x4.sub(n, i32x4.shl(acc, 1));
  v128.store(y, f32x4.mul(f32x4.convert_i32x4_s(sum), v128.load(scale)));
}

/**
 * y = x * w, padded with zeros, for x of -1 and 1, and w of -a and a with one a > 0 for each output channel.
 * False, and y is not to be used, where x or w are something else.
 */
export function xnorConv(
  x: usize,
  w: usize,
  y: usize,
  batch: i32,
  inHeight: i32,
  inWidth: i32,
  inChannels: i32,
  outHeight: i32,
  outWidth: i32,
  outChannels: i32,
  kernelHeight: i32,
  kernelWidth: i32,
  strideHeight: i32,
  strideWidth: i32,
  dilationHeight: i32,
  dilationWidth: i32,
  top: i32,
  left: i32,
  scratch: usize,
): bool {
  const words = wordsOf(inChannels);
  const panels = panelsOf(outChannels);
  const taps = kernelHeight * kernelWidth;
  const temp = scratch;
  const scales = temp + TEMP;
  const weights = scales + ((panels as usize) << 6);
  const panelBytes = (taps * words) as usize << 6;
  const signs = weights + (panels as usize) * panelBytes;
  if (!magnitudes(w, taps * inChannels, outChannels, scales)) return false;
  packWeights(w, taps, inChannels, outChannels, weights);
  const tapBytes = (words as usize) << 6;
  const pixelBytes = (words as usize) << 2;
  for (; batch > 0; batch--) {
    if (!packSigns(x, inHeight * inWidth, inChannels, signs)) return false;
    x += (inHeight * inWidth * inChannels) as usize << 2;
    for (let i = 0; i < outHeight; i++) {
      for (let j = 0; j < outWidth; j++) {
        // The taps that lie in the image.
        const h = i * strideHeight - top;
        const v = j * strideWidth - left;
        const b0 = v < 0 ? (dilationWidth - 1 - v) / dilationWidth : 0;
        const b1 = min(kernelWidth, (inWidth - v + dilationWidth - 1) / dilationWidth);
        const across = b1 - b0;
        const joined = dilationWidth == 1;
        for (let panel = 0; panel < panels; panel++) {
          let a0 = i32x4.splat(0);
          let a1 = a0;
          let a2 = a0;
          let a3 = a0;
          let n = 0;
          for (let a = 0; a < kernelHeight; a++) {
            const row = h + a * dilationHeight;
            if (row < 0 || row >= inHeight || across <= 0) continue;
            n += across * inChannels;
            for (let b = b0; b < b1; b += joined ? across : 1) {
              let p = signs + ((row * inWidth + v + b * dilationWidth) as usize) * pixelBytes;
              let q = weights + (panel as usize) * panelBytes + ((a * kernelWidth + b) as usize) * tapBytes;
              for (let run = (joined ? across : 1) * words; run > 0; run -= CHUNK) {
                let c0 = i32x4.splat(0);
                let c1 = c0;
                let c2 = c0;
                let c3 = c0;
                for (let k = min(run, CHUNK); k > 0; k--) {
                  const s = v128.load32_splat(p);
                  c0 = count(s, v128.load(q), c0);
                  c1 = count(s, v128.load(q, 16), c1);
                  c2 = count(s, v128.load(q, 32), c2);
                  c3 = count(s, v128.load(q, 48), c3);
                  p += 4;
                  q += 64;
                }
                a0 = widen(c0, a0);
                a1 = widen(c1, a1);
                a2 = widen(c2, a2);
                a3 = widen(c3, a3);
              }
            }
          }
          const all = i32x4.splat(n);
          const scale = scales + ((panel as usize) << 6);
          const outputs = min(PANEL, outChannels - panel * PANEL);
          const to = outputs == PANEL ? y : temp;
          finish(to, a0, all, scale);
          finish(to + 16, a1, all, scale + 16);
          finish(to + 32, a2, all, scale + 32);
          finish(to + 48, a3, all, scale + 48);
          if (outputs < PANEL) {
            for (let o: usize = 0; o < ((outputs as usize) << 2); o += 4) store<f32>(y + o, load<f32>(temp + o));
          }
          y += (outputs as usize) << 2;
        }
      }
    }
  }
  return true;
}
