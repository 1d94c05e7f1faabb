// TensorFlow.js's own format: model.json and weights, quantised where asked for, so that stock
// loadLayersModel reads them.
import * as tf from '@tensorflow/tfjs-core';
import type { LayersModel } from '@tensorflow/tfjs-layers';
import { checkOptions, joined, OptionError } from '@thimble/base';
import { finalize } from '@thimble/core';
import { halfOf } from './codes.ts';

/** Types that TensorFlow.js stores weights in beside float32; one scale for each weight. */
export type TfjsQuantization = 'uint8' | 'uint16' | 'float16';

/** Options of {@link tfjsArtifacts}. */
export interface TfjsOptions {
  /** Default none: float32. */
  quantization?: TfjsQuantization;
}

/**
 * A model in the form that TensorFlow.js saves and loads, without any of Thimble in it (see `finalize`), its
 * weights quantised: `w' = min + scale k`, with 0 exact where the weight has values on both sides of it.
 * Stock `loadLayersModel` turns them into float32 again.
 *
 * @throws {OptionError} for an unknown type; {UnsupportedError} for a model that is not built.
 * @example
 * const artifacts = await tfjsArtifacts(model, { quantization: 'uint8' });
 * const stock = await tfl.loadLayersModel(tf.io.fromMemory(artifacts));
 */
export async function tfjsArtifacts(
  model: LayersModel,
  options: TfjsOptions = {},
): Promise<tf.io.ModelArtifacts> {
  checkOptions('tfjsArtifacts', options, ['quantization']);
  const { quantization } = options;
  if (quantization !== undefined && !['uint8', 'uint16', 'float16'].includes(quantization)) {
    throw new OptionError(
      `tfjsArtifacts: quantization must be uint8, uint16 or float16, not "${quantization}".`,
    );
  }
  const plain = await finalize(model);
  let artifacts: tf.io.ModelArtifacts | undefined;
  try {
    await plain.save(
      tf.io.withSaveHandler(async (saved) => {
        artifacts = saved;
        return { modelArtifactsInfo: { dateSaved: new Date(0), modelTopologyType: 'JSON' } };
      }),
    );
  } finally {
    plain.dispose();
  }
  return quantization ? quantized(artifacts!, quantization) : artifacts!;
}

function quantized(artifacts: tf.io.ModelArtifacts, dtype: TfjsQuantization): tf.io.ModelArtifacts {
  const data = new Uint8Array(tf.io.CompositeArrayBuffer.join(artifacts.weightData!));
  const parts: Uint8Array[] = [];
  let at = 0;
  const weightSpecs = artifacts.weightSpecs!.map((spec) => {
    const size = spec.shape.reduce((n, d) => n * d, 1);
    const raw = data.slice(at, at + 4 * size);
    at += 4 * size;
    if (spec.dtype !== 'float32') {
      parts.push(raw);
      return spec;
    }
    const { bytes, quantization } = quantizedWeight(new Float32Array(raw.buffer), dtype);
    parts.push(bytes);
    return { ...spec, quantization };
  });
  return { ...artifacts, weightSpecs, weightData: joined(Uint8Array, parts).buffer as ArrayBuffer };
}

type Quantization = NonNullable<tf.io.WeightsManifestEntry['quantization']>;

function quantizedWeight(
  values: Float32Array,
  dtype: TfjsQuantization,
): { bytes: Uint8Array; quantization: Quantization } {
  if (dtype === 'float16') {
    const halves = Uint16Array.from(values, halfOf);
    return { bytes: new Uint8Array(halves.buffer), quantization: { dtype } };
  }
  const steps = dtype === 'uint8' ? 255 : 65535;
  let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const value of values) {
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  if (values.length === 0) [low, high] = [0, 0];
  const scale = high > low ? (high - low) / steps : 1;
  // The lowest value moves to a whole number of steps below 0, so that 0 is exact.
  const min = low < 0 && high > 0 ? Math.round(low / scale) * scale : low;
  const codes = Array.from(values, (value) =>
    Math.max(0, Math.min(steps, Math.round((value - min) / scale))),
  );
  const packed = dtype === 'uint8' ? Uint8Array.from(codes) : Uint16Array.from(codes);
  return { bytes: new Uint8Array(packed.buffer), quantization: { dtype, min, scale } };
}
