// The same digits through every compact architecture and decomposition, each beside a plain network of equal cost.
//   npm run compact-architectures                                  the quick preset, a few minutes
//   npm run compact-architectures -- --preset paper --seeds 3      trained on all images for longer
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { OptionError } from 'thimble';
import { reportFailure } from '../shared/failure.ts';
import { begin, finish, OPTIONS, recordData, seedsFrom, wholeNumber } from '../shared/program.ts';
import { PRESETS, runExperiment } from './experiment.ts';
import { type Compared, type Report, textReport, writeReport } from './report.ts';

const OWNER = 'compact-architectures';

const HELP = `Compact architectures and decompositions on handwritten digits: parameters, MACs, bytes, errors, milliseconds.

  --preset quick|paper   quick: 6,000 images, 3 epochs, a few minutes; paper: all images, 20 epochs, hours
  --seeds N              repeat with N seeds and show mean and spread (default 1)
  --data auto|synthetic|FOLDER   where the digits come from (default auto: THIMBLE_DATA_DIR, the
                         cache, a download, or else synthetic digits)
  --output FOLDER        where report.html, result.json and checkpoints go
                         (default output/compact-architectures/PRESET)
  --silent               no progress bars
  --help`;

async function main(): Promise<void> {
  const { values } = parseArgs({ options: OPTIONS });
  if (values.help) {
    console.log(HELP);
    return;
  }
  const preset = PRESETS[values.preset];
  if (!preset) {
    const known = Object.keys(PRESETS).join(', ');
    throw new OptionError(`--preset must be one of ${known}, not "${values.preset}".`);
  }
  const seeds = seedsFrom(0, wholeNumber(OWNER, '--seeds', values.seeds, 1));
  const output = values.output ?? join('output', OWNER, values.preset);
  const command =
    `npm run ${OWNER} -- --preset ${values.preset} --seeds ${seeds.length}` +
    (values.data === 'synthetic' ? ' --data synthetic' : '');
  const working = await begin(command, values);
  const { train, test, progress, signal } = working;
  const results = new Map<string, Compared>();
  for (const seed of seeds) {
    const checkpoints = join(output, 'checkpoints');
    const options = { preset, train, test, seed, progress, signal, checkpoints };
    for (const { name, outcome, peer } of await runExperiment(options)) {
      const known = results.get(name) ?? { name, outcomes: [], peers: [] };
      known.outcomes.push(outcome);
      known.peers.push(peer);
      results.set(name, known);
    }
  }
  const report: Report = {
    run: working.record,
    preset: values.preset,
    data: recordData(working),
    seeds,
    results: [...results.values()],
  };
  finish(textReport(report), 'Report:', await writeReport(report, output), working);
}

main().catch(reportFailure);
