export { type Cost, type CostReport, cost, type LayerCost, type NodeCost } from './cost.ts';
export { type EieLayer, type EieOptions, simulateEie } from './eie.ts';
export type {
  ActivationCode,
  Attribute,
  Graph,
  GraphNode,
  GraphWeight,
  Shape,
  Source,
} from './graph.ts';
export { type IntegerRun, type IntegerRunOptions, runInteger } from './integer-executor.ts';
export type { CodedValue, IntegerValue, RealValue } from './integer-value.ts';
export { plainGraph } from './plain/plain-graph.ts';
export { validateGraph } from './validate.ts';
