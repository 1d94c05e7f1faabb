/** The name of the backend: `await tf.setBackend('thimble')`. */
export const BACKEND_NAME = 'thimble';
