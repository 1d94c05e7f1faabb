// Text as bytes with a byte for each usual phrase; the other half of the runtime's textOfPhrases.
import { PHRASES } from '@thimble/runtime/file';

/** ASCII text as bytes, phrases as one byte each. */
export function phrasesOf(text: string): Uint8Array {
  const bytes: number[] = [];
  for (let at = 0; at < text.length; ) {
    let best = -1;
    for (let k = 0; k < PHRASES.length; k++) {
      const longer = best < 0 || PHRASES[k]!.length > PHRASES[best]!.length;
      if (longer && text.startsWith(PHRASES[k]!, at)) best = k;
    }
    bytes.push(best < 0 ? text.charCodeAt(at) : 128 + best);
    at += best < 0 ? 1 : PHRASES[best]!.length;
  }
  return Uint8Array.from(bytes);
}
