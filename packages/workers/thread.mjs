// What runs in each thread of a pool. Plain JavaScript, so that a thread can load it from the source as from the build.

/** The tasks of this thread, by module and settings: made once, as they load models and data. */
const made = new Map();

/** Makes the task of a module, where it is not yet there, and runs it. */
export default async function run({ module, settings, input }) {
  try {
    const key = JSON.stringify([module, settings]);
    if (!made.has(key))
      made.set(
        key,
        import(module).then((found) => found.default(settings)),
      );
    const task = await made.get(key);
    return { output: await task(input) };
  } catch (error) {
    // The class of an error does not survive the way between threads; its name can.
    const { name = 'Error', message = String(error), stack = '' } = error ?? {};
    return { error: { name, message, stack } };
  }
}
