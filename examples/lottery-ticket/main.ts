// Finds winning lottery tickets on handwritten digits.
//   npm run lottery-ticket                                  the quick preset, about five minutes
//   npm run lottery-ticket -- --preset paper --seeds 3      the paper's schedule, resumable
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { OptionError } from 'thimble';
import { reportFailure } from '../shared/failure.ts';
import { NETWORKS, type NetworkName } from '../shared/networks.ts';
import {
  begin,
  finish,
  OPTIONS,
  presetNamed,
  recordData,
  seedsFrom,
  wholeNumber,
} from '../shared/program.ts';
import { PRESETS, runExperiment } from './experiment.ts';
import { type Report, textReport, writeReport } from './report.ts';

const OWNER = 'lottery-ticket';

const HELP = `Finds winning lottery tickets on handwritten digits (Frankle and Carbin, 2019).

  --preset quick|study|paper   quick: 2 epochs a network, about five minutes; study: 6 epochs,
                         twenty minutes a seed; paper: 50,000 steps and all controls, hours
  --model ${NETWORKS.join('|')}   default lenet300 (LeNet-300-100)
  --seeds N              repeat with N seeds and show mean and spread (default 1)
  --first-seed N         the first of them (default 0); several processes may share an output folder
  --data auto|synthetic|FOLDER   where the digits come from (default auto: THIMBLE_DATA_DIR, the
                         cache, a download, or else synthetic digits)
  --output FOLDER        where report.html, result.json and finished trainings go
                         (default output/lottery-ticket/PRESET-MODEL); run it again to go on
  --silent               no progress bars
  --help`;

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      ...OPTIONS,
      model: { type: 'string', default: 'lenet300' },
      'first-seed': { type: 'string', default: '0' },
    },
  });
  if (values.help) {
    console.log(HELP);
    return;
  }
  const preset = presetNamed(PRESETS, values.preset);
  const model = values.model as NetworkName;
  if (!NETWORKS.includes(model)) {
    throw new OptionError(`--model must be one of ${NETWORKS.join(', ')}, not "${values.model}".`);
  }
  const first = wholeNumber(OWNER, '--first-seed', values['first-seed'], 0);
  const seeds = seedsFrom(first, wholeNumber(OWNER, '--seeds', values.seeds, 1));
  const output = values.output ?? join('output', OWNER, `${values.preset}-${model}`);

  const command =
    `npm run lottery-ticket -- --preset ${values.preset} --model ${model} --seeds ${seeds.length}` +
    (first > 0 ? ` --first-seed ${first}` : '');
  const working = await begin(command, values);
  const { train, test, progress, signal } = working;
  const folder = join(output, 'branches');
  const branches = await runExperiment({
    model,
    preset,
    train,
    test,
    seeds,
    folder,
    progress,
    signal,
  });
  const report: Report = {
    run: working.record,
    model,
    preset: values.preset,
    data: recordData(working),
    seeds,
    branches,
  };
  const path = await writeReport(report, output);
  finish(textReport(report), 'Charts:', path, working);
}

main().catch(reportFailure);
