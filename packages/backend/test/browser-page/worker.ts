import { train } from './train.ts';

self.postMessage(await train(15));
