// Runs a program with relaxed SIMD, which the kernels use where the engine has it: Node 22 does, Node 20 has
// it behind a flag that Node 22 no longer knows.
import { spawn } from 'node:child_process';

const [major] = process.versions.node.split('.').map(Number);
const flags = major < 22 ? ['--experimental-wasm-relaxed-simd'] : [];
const child = spawn(process.execPath, [...flags, ...process.argv.slice(2)], { stdio: 'inherit' });
// A terminal sends an interrupt to both; the program stops in its own time, and this waits for it.
process.on('SIGINT', () => {});
process.on('SIGTERM', () => child.kill('SIGTERM'));
child.on('exit', (code) => {
  process.exitCode = code ?? 1;
});
