// Whole-number codes of a weight, row by row; see packages/io/src/arithmetic/code-model.ts for the model.
import {
  AT,
  BOUNDS,
  CODE,
  END,
  HIGH,
  IN_256,
  LOW,
  adaptive,
  beyond,
  byteAt,
  fill,
  learned,
  lowered,
  moved,
  raised,
  settled,
  splitAt,
  squash,
  stretch,
} from './bits';

// Words of the model: 3 weights, a context that nobody reads, then contexts.
const SPARE: usize = 12;
const FLAGS: usize = 16;
const SIGNS: usize = FLAGS + 4 * 32;
const PREFIXES: usize = SIGNS + 4 * 16;
const LEADING: usize = PREFIXES + 4 * 96;
const NEAR: usize = LEADING + 4 * 1024;
const ROWS: usize = NEAR + 4 * 32;
const COLUMNS: usize = ROWS + 4 * 1728;

const CLASSES = 12;
/** Added to the class of a row without entries. */
const EMPTY = 16;
const WEIGHT = 22938; // 0.35 in 16 bits
const LEARNING = 14;
const LONGEST = 31;
const MODELLED = 32;

/** Zeros at the end of a code are left out, so many at most. */
const SLACK = 4;

/** What {@link codeRows} found wrong. */
const ENDED = 1;
const TOO_LARGE = 2;

/**
 * Decodes the rows from `from` to `to` of an array of codes.
 *
 * `model` has 2932 + columns words, `codes` a word for every entry, `kept` a byte for each entry of one row more
 * and 8 bytes more; all of that is 0 at first. `classes` has a byte a row, `near` a byte a column and 8 more. Returns 0,
 * or what is wrong.
 */
export function codeRows(
  coder: usize,
  tables: usize,
  model: usize,
  codes: usize,
  kept: usize,
  classes: usize,
  near: usize,
  from: i32,
  to: i32,
  columns: i32,
  lag: i32,
): i32 {
  if (from == 0) begin(model, columns);
  for (let row = from; row < to; row++) {
    const above = row > 0 ? i32(load<u8>(classes + row - 1)) : 2 * EMPTY;
    const far = row >= lag ? i32(load<u8>(classes + row - lag)) : 2 * EMPTY;
    const next = lag > 1 && row >= lag - 1 ? i32(load<u8>(classes + row - lag + 1)) : 2 * EMPTY;
    const flag = (above >> 4) * 9 + (far >> 4) * 3 + (next >> 4);
    if (adaptive(coder, tables, model + FLAGS + (flag << 2))) {
      store<u8>(classes + row, EMPTY);
    } else {
      look(kept, near, row, columns, lag);
      const rows = ((above & 15) + CLASSES * (far & 15)) * CLASSES;
      const found = codeRow(
        coder,
        tables,
        model,
        codes + (<usize>row * columns << 2),
        kept + <usize>(row + 1) * columns,
        near,
        row > 0 ? <usize>columns << 2 : 0,
        columns,
        model + ROWS + (rows << 2),
      );
      if (found < 0) return TOO_LARGE;
      store<u8>(classes + row, found);
    }
    if (beyond(coder) > SLACK) return ENDED;
  }
  return 0;
}

function begin(model: usize, columns: i32): void {
  store<i32>(model, WEIGHT);
  store<i32>(model, WEIGHT, 4);
  store<i32>(model, WEIGHT, 8);
  fill(model + FLAGS, model + COLUMNS + (<usize>columns << 2));
}

/** The row of kept entries `back` rows above; zeros where there is none. */
@inline
function rowAbove(kept: usize, row: i32, back: i32, columns: i32): usize {
  return kept + <usize>max(0, row - back + 1) * columns;
}

/** Which entries of the rows 1, 2, lag, lag + 1 and lag - 1 above are kept: a bit each, eight columns at
 * a time. What lies beyond the last column is not used. */
function look(kept: usize, near: usize, row: i32, columns: i32, lag: i32): void {
  const one = rowAbove(kept, row, 1, columns);
  const two = rowAbove(kept, row, 2, columns);
  const far = rowAbove(kept, row, lag, columns);
  const farther = rowAbove(kept, row, lag + 1, columns);
  const nearer = lag > 1 ? rowAbove(kept, row, lag - 1, columns) : kept;
  for (let c = 0; c < columns; c += 8) {
    const bits =
      load<u64>(one + c) |
      (load<u64>(two + c) << 1) |
      (load<u64>(far + c) << 2) |
      (load<u64>(farther + c) << 3) |
      (load<u64>(nearer + c) << 4);
    store<u64>(near + c, bits);
  }
}

/**
 * One row that is not empty. Returns its class of density, or -1 for a code that is too large. The coder is in local
 * variables from end to end, as they would not stay in registers otherwise; therefore its steps stand here four times.
 */
function codeRow(
  coder: usize,
  tables: usize,
  model: usize,
  codes: usize,
  keeps: usize,
  near: usize,
  back: usize,
  columns: i32,
  rows: usize,
): i32 {
  let low = load<u32>(coder, LOW);
  let high = load<u32>(coder, HIGH);
  let code = load<u32>(coder, CODE);
  let from = <usize>load<u32>(coder, AT);
  const end = <usize>load<u32>(coder, END);
  let w0 = load<i32>(model);
  let w1 = load<i32>(model, 4);
  let w2 = load<i32>(model, 8);
  let column = model + COLUMNS;
  // The class of (count + 0.4) / (seen + 2): it falls while nothing is kept.
  const bounds = tables + BOUNDS;
  const rates = tables + IN_256;
  let count: f64 = 0.4;
  let seen: f64 = 2;
  let density = classOf(bounds, 0, count, seen);
  let lower = lowerEnd(bounds, density);
  let found = 0;
  for (let c = 0; c < columns; c++) {
    if (count < lower * seen) {
      density = classOf(bounds, density, count, seen);
      lower = lowerEnd(bounds, density);
    }
    const first = model + NEAR + (<usize>load<u8>(near + c) << 2);
    const second = rows + (density << 2);
    const a = load<u32>(first);
    const b = load<u32>(second);
    const d = load<u32>(column);
    const s0 = stretch(tables, a);
    const s1 = stretch(tables, b);
    const s2 = stretch(tables, d);
    const one = squash(tables, w0 * s0 + w1 * s1 + w2 * s2);
    const split = splitAt(low, high, one);
    seen += 1;
    // In a branch each, so that a processor that guesses the bit need not wait for it.
    const kept = code <= split;
    if (kept) {
      high = split;
      const miss = 65536 - i32(one);
      w0 = learned(w0, miss, s0, LEARNING);
      w1 = learned(w1, miss, s1, LEARNING);
      w2 = learned(w2, miss, s2, LEARNING);
      store<u32>(first, raised(rates, a));
      store<u32>(second, raised(rates, b));
      store<u32>(column, raised(rates, d));
    } else {
      low = split + 1;
      if ((c & 3) == 3) {
        const miss = -i32(one);
        w0 = learned(w0, miss, s0, LEARNING - 2);
        w1 = learned(w1, miss, s1, LEARNING - 2);
        w2 = learned(w2, miss, s2, LEARNING - 2);
      }
      store<u32>(first, lowered(rates, a));
      store<u32>(second, lowered(rates, b));
      store<u32>(column, lowered(rates, d));
    }
    while (settled(low, high)) {
      low <<= 8;
      high = (high << 8) | 255;
      code = (code << 8) | byteAt(from++, end);
    }
    column += 4;
    if (!kept) continue;
    count += 1;
    density = classOf(bounds, density, count, seen);
    lower = lowerEnd(bounds, density);
    const at = codes + (<usize>c << 2);
    const left = c > 0 ? load<i32>(at - 4) : 0;
    const up = back ? load<i32>(at - back) : 0;

    // The sign: nobody can guess it, so there is no branch.
    const signs = model + SIGNS + ((3 * (sign(left) + 1) + sign(up) + 1) << 2);
    let context = load<u32>(signs);
    let half = splitAt(low, high, (context >> 16) | 1);
    const negative = -u32(code <= half);
    high = select(half, high, negative);
    low = select(low, half + 1, negative);
    store<u32>(signs, moved(rates, context, negative));
    while (settled(low, high)) {
      low <<= 8;
      high = (high << 8) | 255;
      code = (code << 8) | byteAt(from++, end);
    }

    // How many bits follow the highest one, in unary.
    const level = min(2, max(abs(left), abs(up)));
    let place = model + PREFIXES + (level << 7);
    const start = place;
    let more = true;
    while (more) {
      context = load<u32>(place);
      half = splitAt(low, high, (context >> 16) | 1);
      more = code <= half;
      if (more) {
        high = half;
        store<u32>(place, raised(rates, context));
        place += 4;
        if (place == start + (LONGEST << 2)) {
          found = -1;
          break;
        }
      } else {
        low = half + 1;
        store<u32>(place, lowered(rates, context));
      }
      while (settled(low, high)) {
        low <<= 8;
        high = (high << 8) | 255;
        code = (code << 8) | byteAt(from++, end);
      }
    }
    if (found < 0) break;

    // Those bits.
    const length = i32(place - start) >> 2;
    const leading = model + LEADING + (length << 7);
    let size = 1;
    for (let k = 0; k < length; k++) {
      const known = size < MODELLED;
      place = known ? leading + (size << 2) : model + SPARE;
      context = load<u32>(place);
      half = splitAt(low, high, known ? (context >> 16) | 1 : 32768);
      const set = -u32(code <= half);
      high = select(half, high, set);
      low = select(low, half + 1, set);
      store<u32>(place, moved(rates, context, set));
      size = (size << 1) - i32(set);
      while (settled(low, high)) {
        low <<= 8;
        high = (high << 8) | 255;
        code = (code << 8) | byteAt(from++, end);
      }
    }
    store<i32>(at, negative ? -size : size);
    store<u8>(keeps + c, 1);
  }
  store<u32>(coder, low, LOW);
  store<u32>(coder, high, HIGH);
  store<u32>(coder, code, CODE);
  store<u32>(coder, u32(from), AT);
  store<i32>(model, w0);
  store<i32>(model, w1, 4);
  store<i32>(model, w2, 8);
  return found < 0 ? found : classOf(bounds, density, count, seen);
}

/** The class of density of `count` of `seen`, from a class that is near. */
function classOf(bounds: usize, near: i32, count: f64, seen: f64): i32 {
  let density = near;
  while (density > 0 && count < load<f64>(bounds + ((density - 1) << 3)) * seen) density--;
  while (count >= load<f64>(bounds + (density << 3)) * seen) density++;
  return density;
}

@inline
function lowerEnd(bounds: usize, density: i32): f64 {
  return density > 0 ? load<f64>(bounds + ((density - 1) << 3)) : 0;
}

@inline
function sign(value: i32): i32 {
  return i32(value > 0) - i32(value < 0);
}
