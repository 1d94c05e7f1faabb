export {
  type FakeQuantOptions,
  type FakeQuantState,
  type FakeQuantTransform,
  fakeQuant,
  fakeQuantize,
} from './fake-quant.ts';
export type { GridOptions } from './grid.ts';
