// A cold start: a fresh process that loads one runtime and one network and computes one result.
// Arguments: the runtime, the network's file, pixels of a side.
const begun = performance.now();
const [name, path, side] = process.argv.slice(2) as [string, string, string];
const { RUNTIMES } = await import('./runtimes.ts');
const runtime = await RUNTIMES[name]!();
const net = await runtime.load(path, Number(side));
await net.predict(new Float32Array(Number(side) ** 2), 1);
const end = performance.now();
// `performance.now` counts from the start of the process.
process.send!({ fromStart: end, fromImport: end - begun }, () => process.exit(0));
