import { joined } from '@thimble/base';
import { expect, test } from 'vitest';

test('arrays one behind the other, of the class that is asked for', () => {
  const floats = joined(Float32Array, [Float32Array.of(1.5, 2), new Float32Array(0), [3]]);
  expect(floats).toEqual(Float32Array.of(1.5, 2, 3));
  expect(joined(Uint8Array, [Uint8Array.of(7), Uint8Array.of(8, 9)])).toEqual(
    Uint8Array.of(7, 8, 9),
  );
  expect(joined(Uint8Array, [])).toEqual(new Uint8Array(0));
});
