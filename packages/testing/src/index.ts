export { useCpu } from './backend.ts';
export { expectNoLeaks } from './leaks.ts';
export { type Numbers, valuesOf } from './matchers.ts';
