// One build of a module as edits of another: they differ in few places, so that a page need not download both. Edits are
// the length of what is made (LEB128) and runs of four parts: how many new bytes come (LEB128), these bytes, how far to go in
// the old module from where the last run ended (LEB128, the sign in the lowest bit), and how many bytes to take from there
// (LEB128).

/** Bytes that two places must have in common to be the same run. */
const LEAST = 6;

function number(value) {
  const bytes = [];
  for (; value > 127; value = Math.floor(value / 128)) bytes.push((value & 127) | 128);
  return [...bytes, value];
}

/** Where each run of LEAST bytes begins. */
function places(bytes) {
  const found = new Map();
  for (let at = 0; at + LEAST <= bytes.length; at++) {
    const key = bytes.toString('latin1', at, at + LEAST);
    if (found.has(key)) found.get(key).push(at);
    else found.set(key, [at]);
  }
  return found;
}

/** The edits that make `made` of `old`; both are buffers. */
export function editsOf(old, made) {
  const known = places(old);
  const edits = number(made.length);
  let expected = 0;
  let fresh = [];
  for (let at = 0; at < made.length; ) {
    let [most, from] = [0, 0];
    for (const place of known.get(made.toString('latin1', at, at + LEAST)) ?? []) {
      let length = LEAST;
      while (at + length < made.length && made[at + length] === old[place + length]) length++;
      // Of runs of one length that which goes on where the last one ended.
      if (length > most || (length === most && place === expected + fresh.length)) {
        [most, from] = [length, place];
      }
    }
    if (most === 0) {
      fresh.push(made[at++]);
      continue;
    }
    const jump = from - expected;
    edits.push(...number(fresh.length), ...fresh);
    edits.push(...number(jump < 0 ? -2 * jump - 1 : 2 * jump), ...number(most));
    at += most;
    expected = from + most;
    fresh = [];
  }
  if (fresh.length > 0) edits.push(...number(fresh.length), ...fresh, 0, 0);
  return Buffer.from(edits);
}
