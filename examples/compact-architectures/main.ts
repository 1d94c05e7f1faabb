// The same digits through every compact architecture and decomposition, each beside a plain network of equal cost.
//   npm run compact-architectures                                  the quick preset, a few minutes
//   npm run compact-architectures -- --preset paper --seeds 3      trained on all images for longer
import { parseArgs } from 'node:util';
import { reportFailure } from '../shared/failure.ts';
import { beginPreset, finish, OPTIONS, recordData } from '../shared/program.ts';
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
  const working = await beginPreset(OWNER, PRESETS, values);
  const { preset, seeds, output, train, test, progress, signal, checkpoints } = working;
  const results = new Map<string, Compared>();
  for (const seed of seeds) {
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
