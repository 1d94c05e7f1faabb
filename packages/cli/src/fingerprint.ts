// What tells two studies apart that have the same words: results are kept by it where others keep them.
import type { LayersModel } from '@tensorflow/tfjs-layers';
import { crc32 } from '@thimble/base';
import type { BatchSource } from 'thimble';

/** Examples that are looked at. */
const LOOKED_AT = 256;

/** The checksum of a network, `weights` and all unless they are not used, and of some examples of its data. */
export function fingerprintOf(
  model: LayersModel,
  sources: readonly (BatchSource | undefined)[],
  { weights = true }: { weights?: boolean } = {},
): string {
  const shape = JSON.stringify(model.layers.map((layer) => [layer.name, layer.outputShape]));
  const parts: Uint8Array[] = [new TextEncoder().encode(shape)];
  const add = (values: ArrayBufferView) => {
    parts.push(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
  };
  if (weights) for (const weight of model.getWeights()) add(weight.dataSync());
  for (const source of sources) {
    if (!source) continue;
    const { size } = source;
    add(Float64Array.of(size));
    const count = Math.min(LOOKED_AT, size);
    const at = Uint32Array.from({ length: count }, (_, i) => Math.floor((i * size) / count));
    for (const tensor of Object.values(source.batch(at)).flat()) {
      add(tensor.dataSync());
      tensor.dispose();
    }
  }
  return crc32(new TextEncoder().encode(parts.map(crc32).join())).toString(16);
}
