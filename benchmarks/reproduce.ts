// Repeats an experiment in full and keeps its result: `npm run reproduce -- NAME`. Each is a command that
// a user could type; those that take long resume where they were interrupted.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { copyFile, mkdir } from 'node:fs/promises';
import { join } from 'node:path';

interface Reproduction {
  about: string;
  /** A program that takes `--output FOLDER` and writes result.json there, and its arguments. */
  program: string;
  args: string[];
}

const DISTILLATION = 'examples/dist/mnist-distillation/main.js';

const BINARY = 'examples/dist/mnist-binary/main.js';

const LOTTERY = 'examples/dist/lottery-ticket/main.js';

const REPRODUCTIONS: Record<string, Reproduction> = {
  'mnist-distillation': {
    about: 'the quick preset on MNIST over three seeds (about 3 minutes)',
    program: DISTILLATION,
    args: ['--preset', 'quick', '--seeds', '3'],
  },
  'mnist-distillation-all-images': {
    about: 'the same with students that see all images (about 8 minutes)',
    program: DISTILLATION,
    args: ['--preset', 'quick', '--seeds', '3', '--student-images', '55000'],
  },
  'lottery-ticket': {
    about: 'LeNet-300-100, 15 rounds and all controls over three seeds (about an hour; resumable)',
    program: LOTTERY,
    args: ['--preset', 'study', '--seeds', '3'],
  },
  'unstructured-pruning': {
    about:
      'LeNet-300-100 to a twelfth by Han, and SNIP, three seeds (about half an hour; resumable)',
    program: 'benchmarks/dist/unstructured.js',
    args: [],
  },
  'unstructured-pruning-lenet5': {
    about: 'LeNet-5 to a twelfth by Han, three seeds (about an hour; resumable)',
    program: 'benchmarks/dist/unstructured.js',
    args: ['--net', 'lenet5'],
  },
  'network-slimming': {
    about:
      'Network Slimming on 784-500-300-10 to 100-60, three seeds (about 20 minutes; resumable)',
    program: 'benchmarks/dist/slimming.js',
    args: [],
  },
  'structured-pruning': {
    about:
      'every structured criterion on distorted MNIST, three seeds (about half an hour; resumable)',
    program: 'benchmarks/dist/structured.js',
    args: [],
  },
  'pruning-methods': {
    about:
      'criteria, granularities, schedules and regularisers on LeNet-300-100, three seeds (about 30 minutes; resumable)',
    program: 'benchmarks/dist/methods.js',
    args: [],
  },
  'distillation-methods': {
    about:
      'every way to distil into a small student that sees 2,000 images, three seeds (about half an hour; resumable)',
    program: 'benchmarks/dist/distillation-methods.js',
    args: [],
  },
  transfer: {
    about:
      'digits 5 to 9 from few images by a network that knows 0 to 4, three seeds (about 5 minutes; resumable)',
    program: 'benchmarks/dist/transfer.js',
    args: [],
  },
  'fixed-point': {
    about:
      'training in 16-bit fixed point and with 8-bit gradients and state, three seeds (about an hour; resumable)',
    program: 'benchmarks/dist/low-precision.js',
    args: [],
  },
  'shared-weights': {
    about:
      'LeNet-300-100 pruned, then clustered, INQ or uniform, three seeds (about half an hour; resumable)',
    program: 'benchmarks/dist/codebooks.js',
    args: [],
  },
  'file-size': {
    about:
      'LeNet-300-100 as a .thimble file: Deep Compression and beyond, three seeds (about 10 minutes; resumable)',
    program: 'benchmarks/dist/file-size.js',
    args: [],
  },
  'file-size-lenet5': {
    about: 'LeNet-5 as a .thimble file, three seeds (about 40 minutes; resumable)',
    program: 'benchmarks/dist/file-size.js',
    args: ['--net', 'lenet5'],
  },
  'recipe-lenet5': {
    about:
      'LeNet-5 by `thimble compress` with the recipe deepCompression, three seeds (about 40 minutes; resumable)',
    program: 'benchmarks/dist/recipe.js',
    args: [],
  },
  'recipe-lenet300': {
    about: 'the same with LeNet-300-100, three seeds (about 10 minutes; resumable)',
    program: 'benchmarks/dist/recipe.js',
    args: ['--net', 'lenet300'],
  },
  'ready-recipes': {
    about:
      'the recipes as shipped on LeNet-5: bytes, work and error of what they make, three seeds (about an hour; resumable)',
    program: 'benchmarks/dist/ready-recipes.js',
    args: [],
  },
  'mnist-quantization': {
    about:
      'LeNet-5 in float and after training in 16, 8 and 4 bits, three seeds (about 10 minutes)',
    program: 'examples/dist/mnist-quantization/main.js',
    args: ['--preset', 'quick', '--seeds', '3'],
  },
  'binary-connect': {
    about:
      'BinaryConnect on 3x1024 units beside its float twin, 12 epochs, three seeds (about two hours; resumable)',
    program: BINARY,
    args: ['--preset', 'paper', '--only', 'binary-connect', '--epochs', '12', '--seeds', '3'],
  },
  xnor: {
    about:
      'LeNet-5 with XNOR layers and a BNN of 3x512 units beside their float twins, three seeds (about an hour; resumable)',
    program: BINARY,
    args: [
      '--preset',
      'paper',
      '--only',
      'xnor',
      '--only',
      'bnn',
      '--epochs',
      '10',
      '--seeds',
      '3',
    ],
  },
  'hard-quantization': {
    about:
      'a depthwise-separable net on distorted MNIST in 8 to 4 bits after training, three seeds (resumable)',
    program: 'benchmarks/dist/hard-quantization.js',
    args: [],
  },
  'few-bits': {
    about:
      'a depthwise-separable net on distorted MNIST trained in 4 to 2 bits, three seeds (about an hour; resumable)',
    program: 'benchmarks/dist/few-bits.js',
    args: [],
  },
  'mobile-quantization': {
    about:
      'MobileNet-v1 small at 96 pixels in 8 bits after training, and the repairs, three seeds (about 25 minutes; resumable)',
    program: 'benchmarks/dist/mobile-quantization.js',
    args: [],
  },
  'mixed-precision': {
    about:
      'bits for each layer under budgets of bytes, and fewer bits in stages, three seeds (about 10 minutes; resumable)',
    program: 'benchmarks/dist/mixed-precision.js',
    args: [],
  },
  slimmable: {
    about:
      'LeNet-5 at four widths in one, and each alone, three seeds (about 45 minutes; resumable)',
    program: 'benchmarks/dist/slimmable.js',
    args: [],
  },
  'auto-slim': {
    about:
      'AutoSlim and one width for all layers on distorted MNIST, three seeds (about an hour; resumable)',
    program: 'benchmarks/dist/auto-slim.js',
    args: [],
  },
  'early-exits': {
    about: "BranchyNet's LeNet on MNIST, three seeds (about 20 minutes; resumable)",
    program: 'benchmarks/dist/early-exits.js',
    args: [],
  },
  'dynamic-inference': {
    about:
      'one network of three widths that stops early, on MNIST over three seeds (about 8 minutes)',
    program: 'examples/dist/dynamic-inference/main.js',
    args: ['--preset', 'quick', '--seeds', '3'],
  },
  'sample-difficulty': {
    about:
      'gated blocks, a policy and channel groups on distorted MNIST, three seeds (about 45 minutes; resumable)',
    program: 'benchmarks/dist/sample-difficulty.js',
    args: [],
  },
  msdnet: {
    about:
      'a multi-scale dense net beside plain nets of equal cost on distorted MNIST, three seeds (about 45 minutes; resumable)',
    program: 'benchmarks/dist/msdnet.js',
    args: [],
  },
  'compact-architectures': {
    about:
      'compact architectures and decompositions on distorted MNIST, three seeds (about an hour; resumable)',
    program: 'benchmarks/dist/compact-architectures.js',
    args: [],
  },
  search: {
    about:
      'values of a recipe for LeNet-300-100 under three budgets of bytes, and the recipe scaled alike in all layers, three seeds (about 25 minutes; resumable)',
    program: 'benchmarks/dist/search.js',
    args: [],
  },
  'inference-models': {
    about:
      'the networks of the inference benchmark on distorted MNIST, dense, pruned and XNOR (about two hours; resumable)',
    program: 'benchmarks/dist/inference-models.js',
    args: [],
  },
  difficulty: {
    about: 'two nets on MNIST, distorted MNIST and synthetic digits, three seeds (about 8 minutes)',
    program: 'benchmarks/dist/difficulty.js',
    args: [],
  },
  'mnist-distillation-paper': {
    about: "Hinton's MNIST experiments at scale, two seeds (about an hour; resumable)",
    program: DISTILLATION,
    args: ['--preset', 'paper', '--seeds', '2'],
  },
};

const [name, ...extra] = process.argv.slice(2);
const known = name !== undefined && Object.hasOwn(REPRODUCTIONS, name);
if (!known || extra.length > 0) {
  const list = Object.entries(REPRODUCTIONS).map(([k, { about }]) => `  ${k.padEnd(26)} ${about}`);
  console.log(`npm run reproduce -- NAME\n\n${list.join('\n')}`);
  const asked = name === undefined || (name === '--help' && extra.length === 0);
  if (!asked) {
    console.error(
      known
        ? `\n${name} takes nothing more, not "${extra.join(' ')}".`
        : `\nThere is no experiment "${name}". Those that there are stand above.`,
    );
    process.exitCode = 1;
  }
} else {
  const output = join('output', 'reproduce', name);
  const { program, args } = REPRODUCTIONS[name]!;
  const words = [...process.execArgv, program, ...args, '--output', output];
  const child = spawn(process.execPath, words, { stdio: 'inherit' });
  // A terminal sends an interrupt to both; the program stops in its own time, and this waits for it.
  process.on('SIGINT', () => {});
  process.on('SIGTERM', () => child.kill('SIGTERM'));
  const [status] = (await once(child, 'exit')) as [number | null];
  process.exitCode = status ?? 1;
  if (status === 0) {
    const results = join('benchmarks', 'results');
    await mkdir(results, { recursive: true });
    await copyFile(join(output, 'result.json'), join(results, `${name}.json`));
    const report = join(output, 'report.html');
    if (existsSync(report)) await copyFile(report, join(results, `${name}.html`));
    console.log(`Kept in ${results}`);
  }
}
