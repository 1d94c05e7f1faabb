// What needs TensorFlow.js, away from the page's own thread: training, pruning, tfjs models.
import '@thimble/backend';
import '@tensorflow/tfjs-backend-webgl';
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import * as thimble from 'thimble';
import type { Backend, Made, News, Reply, Request } from './messages.ts';

type Tell = (news: News) => void;

/** The network that was trained here, and what it was trained on. */
let own: { model: tfl.LayersModel; data: thimble.data.TrainAndTest } | undefined;
let stopping: AbortController = new AbortController();

async function use(backend: Backend): Promise<void> {
  if (tf.getBackend() === backend) return;
  if (!(await tf.setBackend(backend))) {
    throw new Error(`The backend ${backend} does not start in this browser. Choose the other one.`);
  }
}

/** A small network: it is to be trained while one watches. */
function network(): tfl.Sequential {
  const { conv2d, dense, flatten, maxPooling2d } = tfl.layers;
  return thimble.withSeed(1, () =>
    tfl.sequential({
      layers: [
        conv2d({ filters: 8, kernelSize: 5, activation: 'relu', inputShape: [28, 28, 1] }),
        maxPooling2d({ poolSize: 2 }),
        conv2d({ filters: 16, kernelSize: 5, activation: 'relu' }),
        maxPooling2d({ poolSize: 2 }),
        flatten(),
        dense({ units: 64, activation: 'relu' }),
        dense({ units: 10, activation: 'softmax' }),
      ],
    }),
  );
}

async function digits(source: 'synthetic' | 'mnist'): Promise<thimble.data.TrainAndTest> {
  const { signal } = stopping;
  if (source === 'mnist') return thimble.data.mnist({ signal });
  return thimble.data.syntheticDigits({ train: 6000, test: 1000, signal });
}

/** Trains `own` on, and tells how it goes. */
async function fitOwn(
  epochs: number,
  rate: number,
  tell: Tell,
  more: readonly thimble.FitCallback[] = [],
): Promise<Made> {
  const { model, data } = own!;
  const batchSize = 64;
  const perEpoch = Math.ceil(data.train.size / batchSize);
  const steps = epochs * perEpoch;
  let step = 0;
  const watch: thimble.FitCallback = {
    onBatchEnd(_batch, logs) {
      step++;
      if (step % 5 !== 0 && step !== steps) return;
      const { loss = Number.NaN, accuracy = Number.NaN } = logs as Record<string, number>;
      tell({ step, steps, text: `step ${step} of ${steps}`, loss, accuracy });
    },
  };
  try {
    await thimble.fit(model, data.train, {
      epochs,
      batchSize,
      learningRate: thimble.schedules.cosine(rate),
      loss: 'categoricalCrossentropy',
      metrics: ['accuracy'],
      callbacks: [...more, watch],
      signal: stopping.signal,
      progress: false,
    });
  } catch (problem) {
    if (!stopping.signal.aborted || step === 0) throw problem; // a stop leaves what was learned so far
  }
  const test = await thimble.evaluate(model, data.test, {
    metrics: ['accuracy'],
    batchSize: 250,
    progress: false,
  });
  return {
    file: await thimble.encode(model),
    accuracy: test.accuracy!,
    backend: tf.getBackend(),
    data: data.train.synthetic ? 'drawn digits' : 'MNIST',
  };
}

async function train(request: Extract<Request, { ask: 'train' }>, tell: Tell): Promise<Made> {
  await use(request.backend);
  const data = await digits(request.digits);
  stopping.signal.throwIfAborted();
  own?.model.dispose();
  own = { model: network(), data };
  return fitOwn(request.epochs, 3e-3, tell);
}

async function prune(request: Extract<Request, { ask: 'prune' }>, tell: Tell): Promise<Made> {
  if (!own) throw new Error('Train a network first.');
  const { model } = own;
  const { sparsity, epochs } = request;
  await thimble.prune(model, {
    criterion: thimble.criteria.magnitude(),
    granularity: 'element',
    scope: 'global',
    sparsity,
  });
  return fitOwn(epochs, 1.5e-3, tell);
}

/** The names of the weight files that a model.json goes with. */
async function weightFiles(topology: File): Promise<string[]> {
  let json: { weightsManifest?: { paths: string[] }[] } | null;
  try {
    json = JSON.parse(await topology.text());
  } catch {
    throw new Error(`${topology.name} is damaged: it is no JSON.`);
  }
  const paths = (json?.weightsManifest ?? []).flatMap((group) => group.paths);
  return paths.map((path) => path.split('/').at(-1)!);
}

async function convert(files: File[]): Promise<Made> {
  const topology = files.find(({ name }) => name.endsWith('.json'));
  if (!topology) throw new Error('There is no model.json among the files.');
  const others = files.filter((file) => file !== topology);
  const missing = (await weightFiles(topology)).filter((path) =>
    others.every(({ name }) => name !== path),
  );
  if (missing.length > 0) {
    throw new Error(
      `${topology.name} goes with ${missing.join(', ')}: choose all of them together.`,
    );
  }
  const model = await tfl.loadLayersModel(tf.io.browserFiles([topology, ...others]));
  try {
    return { file: await thimble.encode(model) };
  } finally {
    model.dispose();
  }
}

async function answer(request: Request, tell: Tell): Promise<Made | undefined> {
  if (request.ask === 'stop') {
    stopping.abort(new Error('Stopped before anything was learned.'));
    return undefined;
  }
  if (request.ask !== 'convert') stopping = new AbortController();
  if (request.ask === 'train') return train(request, tell);
  if (request.ask === 'prune') return prune(request, tell);
  if (tf.getBackend() === undefined || tf.getBackend() === '') await use('thimble');
  return convert(request.files);
}

const post = (reply: Reply) => postMessage(reply);

addEventListener('message', async ({ data }: MessageEvent<{ id: number; request: Request }>) => {
  const { id, request } = data;
  try {
    post({ id, done: await answer(request, (news) => post({ id, news })) });
  } catch (problem) {
    post({ id, failed: problem instanceof Error ? problem.message : String(problem) });
  }
});
