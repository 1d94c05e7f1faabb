// What the page and its worker say to each other.

export type Backend = 'thimble' | 'webgl';

/** What the page asks for; each is answered once, but for news of training. */
export type Request =
  | { ask: 'train'; digits: 'synthetic' | 'mnist'; backend: Backend; epochs: number }
  | { ask: 'prune'; sparsity: number; epochs: number }
  /** A tfjs model as a .thimble file. */
  | { ask: 'convert'; files: File[] }
  | { ask: 'stop' };

/** A network that the worker made. */
export interface Made {
  file: Uint8Array;
  /** On test images; undefined for a model that was only converted. */
  accuracy?: number;
  backend?: string;
  data?: string;
}

/** How a training goes. */
export interface News {
  /** Steps since the training began, of so many. */
  step: number;
  steps: number;
  text: string;
  loss: number;
  accuracy: number;
}

export type Reply =
  | { id: number; done: Made | undefined }
  | { id: number; news: News }
  | { id: number; failed: string };
