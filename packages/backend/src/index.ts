// Importing this package registers the TensorFlow.js backend `thimble`.
import { register } from './register.ts';

export { BACKEND_NAME } from './name.ts';
export { startThimble } from './register.ts';

register();
