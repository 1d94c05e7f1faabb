// The backend that tests run on.
import '@tensorflow/tfjs-backend-cpu';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll } from 'vitest';

/** Runs the tests of a file on tfjs's cpu backend, and keeps it from greeting on the console. */
export function useCpu(): void {
  beforeAll(async () => {
    tf.env().set('IS_TEST', true);
    await tf.setBackend('cpu');
  });
}
