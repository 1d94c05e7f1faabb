// The runtimes of the benchmark behind one interface: typed arrays in and out. Nothing of a runtime is loaded before
// it is asked for, so that a cold start is its own.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { importPeer, ownFolder, peerFolder, peerVersion, requirePeer } from './install.ts';

/** A network that runs. */
export interface RunningNet {
  /** Scores for a batch of images, one after the other. */
  predict(images: Float32Array, batch: number): Float32Array | Promise<Float32Array>;
  /** Whether it takes more than one image at once. */
  batches: boolean;
}

/** A runtime that is loaded. */
export interface Runtime {
  version: string;
  /** Loads a network from its file; `side` are the pixels of a side of its images. */
  load(path: string, side: number): Promise<RunningNet>;
}

/** Loads a runtime; one thread, plain SIMD where it is WebAssembly. */
export const RUNTIMES: Readonly<Record<string, () => Promise<Runtime>>> = {
  'tfjs cpu': () => tfjs('cpu'),
  'tfjs wasm': () => tfjs('wasm'),
  'onnxruntime-web': onnxWeb,
  'LiteRT.js': liteRt,
  'onnxruntime-node': onnxNode,
  Thimble: thimble,
};

/** TensorFlow.js with its own backends; the file is a folder with model.json. */
async function tfjs(backend: 'cpu' | 'wasm'): Promise<Runtime> {
  const tf = await import('@tensorflow/tfjs-core');
  const tfl = await import('@tensorflow/tfjs-layers');
  if (backend === 'cpu') await import('@tensorflow/tfjs-backend-cpu');
  else {
    const { setWasmPaths } = await import('@tensorflow/tfjs-backend-wasm');
    setWasmPaths(`${ownFolder('@tensorflow/tfjs-backend-wasm')}/dist/`);
  }
  await tf.setBackend(backend);
  return {
    version: tf.version_core,
    async load(path, side) {
      const { modelTopology, weightsManifest } = JSON.parse(
        readFileSync(`${path}/model.json`, 'utf8'),
      );
      const weightSpecs = weightsManifest.flatMap(({ weights }: { weights: object[] }) => weights);
      const files = weightsManifest.flatMap(({ paths }: { paths: string[] }) => paths);
      const bytes = Buffer.concat(files.map((file: string) => readFileSync(`${path}/${file}`)));
      const weightData = Uint8Array.from(bytes).buffer;
      const model = await tfl.loadLayersModel(
        tf.io.fromMemory({ modelTopology, weightSpecs, weightData }),
      );
      return {
        batches: true,
        predict: (images, batch) =>
          tf.tidy(() => {
            const x = tf.tensor(images, [batch, side, side, 1]);
            return (model.predict(x) as import('@tensorflow/tfjs-core').Tensor).dataSync();
          }) as Float32Array,
      };
    },
  };
}

/** What is used of onnxruntime's API. */
interface Onnx {
  Tensor: new (type: string, data: Float32Array, shape: number[]) => { data: Float32Array };
  InferenceSession: {
    create(
      bytes: Uint8Array,
      options: object,
    ): Promise<{
      inputNames: string[];
      outputNames: string[];
      run(inputs: object): Promise<Record<string, { data: Float32Array }>>;
    }>;
  };
  env: { wasm: { numThreads?: number; wasmPaths?: string }; logLevel?: string };
}

/** What both onnxruntimes have in common. */
function onnx({ InferenceSession, Tensor }: Onnx, options: object, version: string): Runtime {
  return {
    version,
    async load(path, side) {
      const session = await InferenceSession.create(readFileSync(path), options);
      const [input] = session.inputNames as [string];
      const [output] = session.outputNames as [string];
      return {
        batches: true,
        async predict(images, batch) {
          const x = new Tensor('float32', images, [batch, 1, side, side]);
          return (await session.run({ [input]: x }))[output]!.data;
        },
      };
    },
  };
}

async function onnxWeb(): Promise<Runtime> {
  const ort = (await importPeer('onnxruntime-web/dist/ort.wasm.min.mjs')) as unknown as Onnx;
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmPaths = `${peerFolder('onnxruntime-web')}/dist/`;
  return onnx(ort, { executionProviders: ['wasm'] }, peerVersion('onnxruntime-web'));
}

async function onnxNode(): Promise<Runtime> {
  const ort = requirePeer('onnxruntime-node') as Onnx;
  const threads = { intraOpNumThreads: 1, interOpNumThreads: 1 };
  return onnx(ort, { executionProviders: ['cpu'], ...threads }, peerVersion('onnxruntime-node'));
}

/** What is used of LiteRT.js. */
interface LiteRt {
  loadLiteRt(path: string): Promise<void>;
  loadAndCompile(
    bytes: Uint8Array,
    options: object,
  ): Promise<{
    run(input: object): Promise<{ toTypedArray(): Float32Array; delete(): void }[]>;
  }>;
  Tensor: new (data: Float32Array, shape: number[]) => { delete(): void };
}

/**
 * LiteRT.js is made for pages. In Node it needs a `self`, something that says there is no WebGPU, and an
 * `importScripts` for its loader.
 */
async function liteRt(): Promise<Runtime> {
  const { runInThisContext } = await import('node:vm');
  const require = createRequire(import.meta.url);
  const folder = `${peerFolder('@litertjs/core')}/wasm`;
  const importScripts = (path: string): void => {
    const script = readFileSync(path, 'utf8');
    const wrapped = `(function (require, __filename, __dirname) {${script}\nself.ModuleFactory = ModuleFactory;})`;
    runInThisContext(wrapped)(require, path, folder);
  };
  Object.assign(globalThis, { self: globalThis, importScripts });
  const { loadAndCompile, loadLiteRt, Tensor } = (await importPeer(
    '@litertjs/core/dist/index.js',
  )) as unknown as LiteRt;
  await loadLiteRt(`${folder}/litert_wasm_compat_internal.js`); // the build without relaxed SIMD
  return {
    version: peerVersion('@litertjs/core'),
    async load(path, side) {
      const options = { accelerator: 'wasm', cpuOptions: { numThreads: 1 } };
      const model = await loadAndCompile(new Uint8Array(readFileSync(path)), options);
      return {
        batches: false, // the file is for one image
        async predict(images) {
          const input = new Tensor(images, [1, side, side, 1]);
          const [output] = await model.run(input);
          const scores = output!.toTypedArray();
          input.delete();
          output!.delete();
          return scores;
        },
      };
    },
  };
}

async function thimble(): Promise<Runtime> {
  const { load } = await import('@thimble/runtime/bundle'); // one file, for programs that start often
  return {
    version: '',
    async load(path) {
      const net = await load(readFileSync(path), { relaxedSimd: false });
      return { batches: true, predict: (images, batch) => net.predict(images, { batch }) };
    },
  };
}
