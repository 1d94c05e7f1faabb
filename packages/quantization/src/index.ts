export {
  type FakeQuantOptions,
  type FakeQuantState,
  type FakeQuantTransform,
  fakeQuant,
  fakeQuantize,
} from './fake-quant.ts';
export type { GridOptions } from './grid.ts';
export type {
  HistogramObserverOptions,
  MseObserverOptions,
  PercentileObserverOptions,
  SearchObserverOptions,
} from './histogram-observers.ts';
export type { MovingAverageObserverOptions } from './moving-average-observer.ts';
export type { Observer, ObserverOptions, ValueRange } from './observer.ts';
export { observers } from './observers.ts';
