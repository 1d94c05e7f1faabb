import { fakeQuant } from '@thimble/quantization';
import { describeTransformContract, useCpu } from '@thimble/testing';

useCpu();

/** 1 inside the nudged affine grid of the values, else 0; in double precision. */
function passes(values: number[], bits: number): number[] {
  const [min, max] = [Math.min(0, ...values), Math.max(0, ...values)];
  const top = 2 ** bits - 1;
  const scale = (max - min) / top || 1;
  const zeroPoint = Math.min(top, Math.max(0, Math.floor(-min / scale + 0.5)));
  const slack = scale * 1e-4;
  return values.map((value) =>
    value >= -zeroPoint * scale - slack && value <= (top - zeroPoint) * scale + slack ? 1 : 0,
  );
}

describeTransformContract('fakeQuant', {
  make: () => fakeQuant({ bits: 4 }),
  gradient: (stored, upstream) => passes(stored, 4).map((pass, i) => pass * upstream[i]!),
});

describeTransformContract('fakeQuant per channel', {
  make: () => fakeQuant({ bits: 8, symmetric: true, narrowRange: true, perChannel: true }),
  // A symmetric narrow grid ends exactly at the largest magnitude: the gradient passes everywhere.
  gradient: (_stored, upstream) => upstream,
});

describeTransformContract('fakeQuant per group', {
  make: () => fakeQuant({ bits: 8, symmetric: true, narrowRange: true, groupSize: 2 }),
  gradient: (_stored, upstream) => upstream,
});
