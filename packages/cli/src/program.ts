// The commands with their arguments and options. What they do is loaded when they are called, so that --help is quick.
import { Argument, Command, Option } from 'commander';
import type { BenchOptions } from './commands/bench.ts';
import { completion, SHELLS } from './commands/completion.ts';
import type { CompressCommandOptions } from './commands/compress.ts';
import type { ConvertOptions } from './commands/convert.ts';
import type { DemoOptions } from './commands/demo.ts';
import type { EvalOptions } from './commands/evaluate.ts';
import type { InspectOptions } from './commands/inspect.ts';
import type { LotteryCommandOptions } from './commands/lottery.ts';
import type { ReportCommandOptions } from './commands/report.ts';
import type { SearchCommandOptions } from './commands/search.ts';
import type { ServeOptions } from './commands/serve.ts';
import type { WorkerOptions } from './commands/worker.ts';
import type { Context, Outcome } from './context.ts';
import {
  collect,
  DATA,
  dataOptions,
  examples,
  FILES,
  real,
  reals,
  trainingOptions,
  whole,
} from './options.ts';

/** Runs what a command does, and prints what comes of it. */
export type Act = (
  options: CommonOptions,
  body: (context: Context) => Promise<Outcome>,
) => Promise<void>;

/** What every command takes. */
export interface CommonOptions {
  json?: boolean;
  quiet?: boolean;
  debug?: boolean;
}

const RECIPES = ['anytime', 'binary', 'deepCompression', 'lotteryTicket', 'mobile'];

/** The program; `act` does what is the same for all commands. */
export function programOf(version: string, act: Act): Command {
  const program = new Command('thimble');
  program
    .description('Inspects, compresses, converts and measures neural networks.')
    .version(version, '--version')
    .helpOption('--help', 'shows this text')
    .helpCommand(false)
    .showSuggestionAfterError()
    .showHelpAfterError('(thimble --help tells more)');
  const command = (name: string, about: string) => {
    const made = program.command(name).description(about);
    made.helpOption('--help', 'shows this text');
    made.showHelpAfterError(`(thimble ${made.name()} --help tells more)`);
    return made
      .option('--json', 'prints the result as JSON')
      .option('--quiet', 'no progress')
      .option('--debug', 'shows where an error happened');
  };

  command('inspect <file>', 'Layers, parameters, non-zeros, multiply-accumulates, bits and bytes.')
    .option('--histograms', 'shows how the values of each weight are spread')
    .addHelpText(
      'after',
      `\n<file> is a ${FILES}.${examples('thimble inspect model.thimble --histograms', 'thimble inspect saved/model.json --json')}`,
    )
    .action((file: string, options: InspectOptions & CommonOptions) =>
      act(options, async () => (await import('./commands/inspect.ts')).inspect(file, options)),
    );

  const compress = command(
    'compress <file>',
    'Compresses a trained network by a recipe and writes a .thimble file.',
  )
    .option('--output <file>', 'where to write; default the name of the model, ending in .thimble')
    .option(
      '--recipe <name or file>',
      `YAML or JSON, or ${RECIPES.join(', ')}; default deepCompression`,
    )
    .option('--set <key=value>', 'an option of a ready recipe; may be repeated', collect)
    .option('--prune <sparsity>', 'instead of a recipe: share of the weights that goes', real)
    .option(
      '--remove-channels <ratio>',
      'instead of a recipe: share of the channels that goes',
      real,
    )
    .option('--cluster <number>', 'instead of a recipe: shared values of each kernel', whole(2))
    .option('--quantize <bits>', 'instead of a recipe: bits of the weights', whole(2))
    .option('--activations <bits>', 'with --quantize: bits of what layers get', whole(2))
    .option('--binarize', 'instead of a recipe: weights of one bit')
    .option('--epochs <number>', 'of training in each of these steps', whole(0));
  trainingOptions(compress)
    .option(
      '--work <folder>',
      'for what an interrupted run goes on from; default the output, ending in .work',
    )
    .option('--keep-work', 'keeps that folder when all is done')
    .addHelpText(
      'after',
      `\n<file> is a ${FILES}. Interrupted with Ctrl-C, the same command goes on where it was.\n${DATA}\n${examples(
        'thimble compress lenet.keras --data mnist --recipe deepCompression --set sparsity=0.95',
        'thimble compress model.json --data images/ --recipe my-recipe.yaml --output small.thimble',
        'thimble compress model.thimble --data train.csv --label species --prune 0.8 --epochs 5 --output small.thimble',
        'thimble recipe mobile > my-recipe.yaml',
      )}`,
    )
    .action((file: string, options: CompressCommandOptions & CommonOptions) =>
      act(options, async (context) =>
        (await import('./commands/compress.ts')).compress(file, options, context),
      ),
    );

  const search = command(
    'search <file>',
    'Finds the ratios, ranks and bits of a recipe for a budget, and writes a .thimble file.',
  )
    .option('--bytes <number>', 'goal: so many bytes of the file', whole(1))
    .option('--macs <number>', 'goal: so many multiply-accumulates', whole(1))
    .option('--milliseconds <number>', 'goal: so long an inference here, on packed kernels', real)
    .option('--floor <accuracy>', 'enough on the validation data: the cheapest that has it', real)
    .option(
      '--recipe <file>',
      'YAML or JSON, with { between: [0.5, 0.95] } or { oneOf: [2, 4, 8] } for values',
    )
    .option('--trials <number>', 'settings to begin with; default 36', whole(1))
    .option('--bracket <number>', 'settings at the beginning of a bracket; default 9', whole(1))
    .option(
      '--eta <number>',
      'one of so many goes on, with so many times the data; default 3',
      real,
    )
    .option('--rungs <number>', 'of a bracket; default 2', whole(1))
    .option('--threads <number>', 'trials at a time, each in a thread; default 1', whole(1))
    .option(
      '--redis <url>',
      'trials are made by thimble worker, on machines that share this server',
    )
    .option('--queue <name>', 'with --redis; default thimble-search')
    .option('--output <file>', 'where to write; default the name of the model, ending in .thimble');
  trainingOptions(search)
    .option('--work <file>', 'for what was tried; default the output, ending in .search.json')
    .option('--keep-work', 'keeps that file when all is done')
    .addHelpText(
      'after',
      `\n<file> is a ${FILES}. Without --recipe masks and shared values are searched for bytes, channels for work. ` +
        `Interrupted with Ctrl-C, the same command goes on where it was.\n${DATA}\n${examples(
          'thimble search lenet.keras --data mnist --bytes 20000 --threads 2',
          'thimble search model.json --data images/ --macs 500000 --floor 0.95 --recipe mine.yaml',
        )}`,
    )
    .action((file: string, options: SearchCommandOptions & CommonOptions) =>
      act(options, async (context) =>
        (await import('./commands/search.ts')).search(file, options, context),
      ),
    );

  dataOptions(
    command(
      'lottery <file>',
      'Lottery tickets in a network: trained, pruned and rewound in rounds, beside controls.',
    ),
  )
    .option('--validation <data>', 'what tells where to stop; default a tenth of the training data')
    .option('--test <data>', 'what the errors are of; default those of validation')
    .option('--seeds <number>', 'experiments, each with other initial weights; default 3', whole(1))
    .option('--rounds <number>', 'how often to prune; default 7', whole(1))
    .option(
      '--fraction <share>',
      'of what is left of each layer goes in a round; default 0.2',
      real,
    )
    .option(
      '--rewind-to <step>',
      'steps that weights are put back to; default 0, the first',
      whole(0),
    )
    .option(
      '--controls <names...>',
      'reinit, random, reinitSign, shuffled, shuffledSign, signOnly, loseSign, oneShot; default the first two',
    )
    .option('--epochs <number>', 'of each training; default 3', whole(1))
    .option('--learning-rate <number>', 'of Adam; default 0.0012', real)
    .option('--redis <url>', 'seeds are done by thimble worker, on machines that share this server')
    .option('--queue <name>', 'with --redis; default thimble-search')
    .option(
      '--output <folder>',
      'for finished trainings; default the name of the model, ending in .lottery',
    )
    .addHelpText(
      'after',
      `\n<file> is a ${FILES}: a pattern, whose weights are not used. Interrupted with Ctrl-C, the same command goes on where it was.\n${DATA}\n${examples(
        'thimble lottery lenet.keras --data mnist --seeds 3 --rounds 12',
        'thimble lottery lenet.keras --data mnist --controls reinit signOnly --redis redis://server',
      )}`,
    )
    .action((file: string, options: LotteryCommandOptions & CommonOptions) =>
      act(options, async (context) =>
        (await import('./commands/lottery.ts')).lottery(file, options, context),
      ),
    );

  command(
    'worker',
    'Makes trials of thimble search --redis and seeds of thimble lottery --redis, until it is interrupted.',
  )
    .requiredOption('--redis <url>', 'the server, such as redis://127.0.0.1:6379')
    .option('--queue <name>', 'default thimble-search')
    .option('--threads <number>', 'pieces of work at a time, each in a thread; default 1', whole(1))
    .addHelpText(
      'after',
      `\nModels and data must have the same paths as where the search is. It needs bullmq and ioredis.${examples(
        'thimble worker --redis redis://server --threads 4',
        'thimble search lenet.keras --data mnist --bytes 20000 --redis redis://server',
        'thimble lottery lenet.keras --data mnist --seeds 8 --redis redis://server',
      )}`,
    )
    .action((options: WorkerOptions & CommonOptions) =>
      act(options, async (context) =>
        (await import('./commands/worker.ts')).worker(options, context),
      ),
    );

  command('convert <from> <to>', 'Reads a model in one format and writes it in another.')
    .addOption(
      new Option('--weights <form>', 'for .thimble: what kernels become').choices([
        'sparse',
        'codebook',
        'int8',
        'int4',
        'binary',
        'float16',
        'float32',
      ]),
    )
    .addOption(
      new Option('--entropy <code>', 'for .thimble; default the smallest').choices([
        'huffman',
        'arithmetic',
        'none',
      ]),
    )
    .option('--lambda <number>', 'for .thimble: squared error that a bit is worth', real)
    .addOption(
      new Option('--quantize <type>', 'for TensorFlow.js').choices(['uint8', 'uint16', 'float16']),
    )
    .option('--width <part>', 'of a slimmable network: the plain one of this width', real)
    .addHelpText(
      'after',
      `\nReads .thimble, .keras, .h5, .onnx, model.json or a folder with it; writes .thimble, .onnx, or a folder for model.json.${examples(
        'thimble convert lenet.keras lenet.thimble --weights int8',
        'thimble convert small.thimble saved-model/',
      )}`,
    )
    .action((from: string, to: string, options: ConvertOptions & CommonOptions) =>
      act(options, async (context) =>
        (await import('./commands/convert.ts')).convert(from, to, options, context),
      ),
    );

  command('bench <file>', 'Milliseconds per inference, packed and under TensorFlow.js.')
    .option('--batch <number>', 'examples at a time; default 1', whole(1))
    .option('--repeats <number>', 'of each engine, in turn; default 50', whole(1))
    .option('--threads <number>', 'that share a batch, packed; default 1', whole(1))
    .addHelpText(
      'after',
      `\n<file> is a ${FILES}.${examples('thimble bench model.thimble --batch 32')}`,
    )
    .action((file: string, options: BenchOptions & CommonOptions) =>
      act(options, async (context) =>
        (await import('./commands/bench.ts')).bench(file, options, context),
      ),
    );

  dataOptions(command('eval <file>', 'How often a network is right, in all and by class.'))
    .addOption(
      new Option(
        '--engine <name>',
        'default packed for .thimble files where it can, else tfjs',
      ).choices(['packed', 'tfjs']),
    )
    .option(
      '--threshold <numbers...>',
      'of a network with early exits: where examples leave, one for all exits or one for each but the last',
      reals,
    )
    .addOption(
      new Option(
        '--policy <name>',
        'entropy (default): they leave below the threshold, in nats; confidence: at or above it; patience: as many exits agree',
      ).choices(['entropy', 'confidence', 'patience']),
    )
    .addHelpText(
      'after',
      `\n<file> is a ${FILES}. Where the data has test examples, those are used.\n${DATA}\n${examples(
        'thimble eval model.thimble --data mnist',
        'thimble eval model.keras --data x.npy,y.npy --json',
        'thimble eval exits.thimble --data mnist --threshold 0.3',
      )}`,
    )
    .action((file: string, options: EvalOptions & CommonOptions) =>
      act(options, async (context) =>
        (await import('./commands/evaluate.ts')).evaluate(file, options, context),
      ),
    );

  dataOptions(
    command('report <before> <after>', 'Two networks side by side: what compression won and cost.'),
  )
    .option('--html <file>', 'writes a page with charts, too')
    .option(
      '--robustness <number>',
      'examples for noise and attacks; default 500, 0 for none',
      whole(0),
    )
    .option('--maps <number>', 'images for saliency maps; default 6', whole(0))
    .option('--repeats <number>', 'inferences of each that are timed; default 50', whole(1))
    .option(
      '--loss <name>',
      'default what the model was compiled with, or its last activation tells',
    )
    .option('--seed <number>', 'of whatever is drawn', whole(0))
    .addHelpText(
      'after',
      `\n<before> and <after> are a ${FILES}. Where the data has test examples, those are used.\n${DATA}\n${examples(
        'thimble report lenet.keras lenet.thimble --data mnist --html report.html',
        'thimble report model.json small.thimble --data table.csv --label species --json',
      )}`,
    )
    .action((before: string, after: string, options: ReportCommandOptions & CommonOptions) =>
      act(options, async (context) =>
        (await import('./commands/report.ts')).report(before, after, options, context),
      ),
    );

  command('recipe [name]', 'Prints a ready recipe, to be changed; without a name: which there are.')
    .option('--set <key=value>', 'an option of the recipe; may be repeated', collect)
    .addHelpText(
      'after',
      examples(
        'thimble recipe',
        'thimble recipe deepCompression --set sparsity=0.95 > my-recipe.yaml',
      ),
    )
    .action((name: string | undefined, options: { set?: string[] } & CommonOptions) =>
      act(options, async () => (await import('./commands/recipe.ts')).recipe(name, options)),
    );

  command('demo', 'Trains a small network on digits, compresses it and writes the file.')
    .addOption(
      new Option('--data <set>', 'default digits, drawn by a program').choices(['digits', 'mnist']),
    )
    .option('--output <file>', 'default demo.thimble')
    .option('--limit <number>', 'training images; default 6000', whole(100))
    .addHelpText(
      'after',
      examples('thimble demo', 'thimble demo --data mnist --output mnist.thimble'),
    )
    .action((options: DemoOptions & CommonOptions) =>
      act(options, async (context) => (await import('./commands/demo.ts')).demo(options, context)),
    );

  command('serve', 'Shows the playground in a browser on this machine: draw digits, prune, train.')
    .option(
      '--port <number>',
      'where it listens, on 127.0.0.1 alone; default 8642, 0 for any that is free',
      whole(0, 65_535),
    )
    .addHelpText(
      'after',
      `\nCtrl-C stops it.${examples('thimble serve', 'thimble serve --port 8080')}`,
    )
    .action((options: ServeOptions & CommonOptions) =>
      act(options, async (context) =>
        (await import('./commands/serve.ts')).serve(options, context),
      ),
    );

  command('completion', 'Prints a script by which a shell completes commands and options.')
    .addArgument(new Argument('<shell>').choices(SHELLS))
    .addHelpText('after', examples('eval "$(thimble completion bash)"'))
    .action((shell: (typeof SHELLS)[number], options: CommonOptions) =>
      act(options, async () => completion(program, shell)),
    );
  return program;
}
