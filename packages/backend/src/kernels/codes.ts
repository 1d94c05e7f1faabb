// Rounding to codes and its gradient; ops of @thimble/quantization call them by name.
import { type KernelConfig, util } from '@tensorflow/tfjs-core';
import { address, simd, withNumbers } from '../simd.ts';
import { type Call, defineKernel, type Tensors } from '../stock.ts';

/** Bounds are tensors, with one value or one per channel, or numbers among the attributes. */
type Inputs<Names extends string> = Tensors<Names> & Partial<Tensors<'low' | 'high'>>;
/** `inner`: values per channel that lie side by side. */
type Attrs = { inner: number; low?: number; high?: number };
type Layout = [rows: number, channels: number, inner: number, own: boolean];

/** Calls `use` with where the bounds lie, and with the layout: whether channels have bounds of their own, too. */
function withBounds(
  { inputs, attrs, backend }: Call<Inputs<'x' | 'scale'>, Attrs>,
  use: (low: number, high: number, layout: Layout) => void,
): void {
  const { x, scale, low, high } = inputs;
  const channels = util.sizeFromShape(scale.shape);
  const size = util.sizeFromShape(x.shape);
  // One scale for all: one long run.
  const [rows, inner] = channels === 1 ? [1, size] : [size / (channels * attrs.inner), attrs.inner];
  if (low && high) {
    const own = channels > 1 && util.sizeFromShape(low.shape) > 1;
    use(address(backend, low), address(backend, high), [rows, channels, inner, own]);
    return;
  }
  withNumbers(backend, [attrs.low!, attrs.high!], (bounds) =>
    use(bounds, bounds + 4, [rows, channels, inner, false]),
  );
}

/** `ThimbleCodes`: round(x / scale) cut to low ... high; `ThimbleCodesGrad`: dy / scale inside, else 0. */
export const codesKernels: readonly KernelConfig[] = [
  defineKernel<Inputs<'x' | 'scale'>, Attrs>('ThimbleCodes', (call) => {
    const { inputs, backend } = call;
    const out = backend.makeOutput(inputs.x.shape, 'float32');
    withBounds(call, (low, high, layout) => {
      const [x, scale, to] = [inputs.x, inputs.scale, out].map((info) => address(backend, info));
      simd().codes(x!, scale!, low, high, to!, ...layout);
    });
    return out;
  }),
  defineKernel<Inputs<'dy' | 'x' | 'scale'>, Attrs>('ThimbleCodesGrad', (call) => {
    const { inputs, backend } = call;
    const out = backend.makeOutput(inputs.x.shape, 'float32');
    withBounds(call, (low, high, layout) => {
      const [dy, x] = [address(backend, inputs.dy), address(backend, inputs.x)];
      const [scale, to] = [address(backend, inputs.scale), address(backend, out)];
      simd().codesGradient(dy, x, scale, low, high, to, ...layout);
    });
    return out;
  }),
];
