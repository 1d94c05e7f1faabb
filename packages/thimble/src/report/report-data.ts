// What a report says, as plain data.
import type { Energy } from './energy.ts';
import type { Calibration } from './quality.ts';
import type { Robustness, Strengths } from './robustness.ts';
import type { Saliency } from './saliency-report.ts';
import type { Speed } from './speed.ts';

/** A layer's cost, and the share of its weights that is zero. */
export interface LayerReport {
  name: string;
  op: string;
  params: number;
  nonzero: number;
  sparsity: number;
  macs: number;
  /** Before entropy coding. */
  bytes: number;
}

/** What there is to say of one network. */
export interface NetworkReport {
  /** Share of right answers; of classes alone. */
  accuracy?: number;
  /** By class, in the order of `classNames`; of classes alone. */
  perClass?: { examples: number; accuracy: number }[];
  calibration?: Calibration;
  /** Of regression alone. */
  mae?: number;
  rmse?: number;
  params: number;
  nonzero: number;
  /** Share of all weights that is zero. */
  sparsity: number;
  macs: number;
  /** Of the `.thimble` file. */
  bytes: number;
  /** All weights as float32, divided by that. */
  ratio: number;
  layers: LayerReport[];
  speed: Speed;
  /** Estimated microjoules for an example. */
  energy: Energy;
  robustness?: Robustness;
}

/** Two networks side by side. */
export interface Report {
  /** 'classes' or 'numbers'. */
  task: 'classes' | 'numbers';
  examples: number;
  /** Where the data come from, as far as they tell. */
  source?: string;
  classNames?: string[];
  before: NetworkReport;
  after: NetworkReport;
  /** The class that lost most; none where no class lost anything. */
  worstClass?: { name: string; before: number; after: number; drop: number };
  /** What robustness was measured with. */
  strengths: Strengths & { examples: number; range: [number, number] };
  saliency: Saliency[];
  /** Where the figures of the energy come from. */
  energySource: string;
}
