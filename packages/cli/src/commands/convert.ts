// thimble convert
import { writeBytes } from '@thimble/base';
import {
  type EncodeOptions,
  encodeGraph,
  extractWidth,
  graphToOnnx,
  lower,
  saveTfjs,
  type TfjsQuantization,
  widthsOf,
} from 'thimble';
import type { Context, Outcome } from '../context.ts';
import { UsageError } from '../failure.ts';
import { formatOf, type ModelFile, readModel } from '../model-file.ts';
import { checkOutput } from '../output.ts';
import { count } from '../text.ts';

export interface ConvertOptions {
  weights?: string;
  entropy?: string;
  lambda?: number;
  quantize?: string;
  width?: number;
}

export async function convert(
  from: string,
  to: string,
  { weights, entropy, lambda, quantize, width }: ConvertOptions,
  { say }: Context,
): Promise<Outcome> {
  const format = formatOf(to);
  const encoding = Object.fromEntries(
    Object.entries({ weights, entropy, lambda }).filter(([, value]) => value !== undefined),
  ) as EncodeOptions;
  if (format !== 'thimble' && Object.keys(encoding).length > 0) {
    throw new UsageError(
      '--weights, --entropy and --lambda are for .thimble files; for TensorFlow.js use --quantize.',
    );
  }
  if (format !== 'tfjs' && quantize !== undefined) {
    throw new UsageError(
      '--quantize is for TensorFlow.js; for .thimble files use --weights, for example --weights int8.',
    );
  }
  if (format === 'keras') {
    throw new UsageError(
      `"${to}": Keras files can be read, not written. Choose .thimble, .onnx or a folder for model.json.`,
    );
  }
  if (format !== 'tfjs') await checkOutput(to);
  const read = await readModel(from);
  const file = width === undefined ? read : await atWidth(read, width);
  let bytes: number;
  if (format === 'tfjs') {
    if (file.graph.nodes.some(({ codes }) => codes)) {
      say('The rounding of activations is left out: the model computes in floats.');
    }
    const quantization = quantize as TfjsQuantization | undefined;
    const options = quantization === undefined ? {} : { quantization };
    await saveTfjs(await file.model(), `file://${to}`, options);
    bytes = (await readModel(to)).bytes;
  } else {
    const made =
      format === 'onnx'
        ? graphToOnnx(file.graph)
        : encodeGraph(file.graph, { ...file.notes, ...encoding }).bytes;
    await writeBytes(to, made);
    bytes = made.length;
  }
  const json = { from, to, format, bytesBefore: file.bytes, bytes };
  return { text: `${to}: ${format}, ${count(bytes)} bytes (${from}: ${count(file.bytes)}).`, json };
}

/** The plain network of one width of a slimmable one. */
async function atWidth(file: ModelFile, width: number): Promise<ModelFile> {
  const model = await file.model();
  if (!widthsOf(model)) {
    throw new UsageError(`--width: ${file.path} has no slimmable layers, and so one width alone.`);
  }
  const plain = await extractWidth(model, width);
  const { labels, preprocessing } = file.notes;
  const notes = {
    ...(labels === undefined ? {} : { labels }),
    ...(preprocessing === undefined ? {} : { preprocessing }),
  };
  return { ...file, notes, graph: lower(plain), model: async () => plain };
}
