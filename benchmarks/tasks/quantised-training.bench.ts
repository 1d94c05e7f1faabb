// Milliseconds per training step with quantised and binary weights, on `thimble`: the same network, batch 60,
// Adam, in turn in one process. Binary and xnor layers stand where the network has hidden ones; of an xnor
// network the first layer stays real, and each xnor layer brings a batch normalization with it.
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { hasRelaxedSimd } from '@thimble/kernels';
import { binarized, fakeQuant, kernelNames, layers, parametrize, withSeed } from 'thimble';
import { digits } from '../batch.ts';
import { NETWORKS, network } from '../networks.ts';
import { BATCH, compareSteps, type StepTimes, stepTable } from '../step-times.ts';
import type { Measured, Task } from '../task.ts';

/** The layers of a network that have a kernel. */
function withKernels(model: tfl.Sequential): tfl.layers.Layer[] {
  return model.layers.filter((layer) => kernelNames(layer).length > 0);
}

function eightBit(model: tfl.Sequential): tfl.Sequential {
  for (const layer of withKernels(model)) {
    const chains = kernelNames(layer).map((name) => [name, [fakeQuant({ bits: 8 })]]);
    parametrize(layer, Object.fromEntries(chains));
  }
  return model;
}

function binary(mode: 'deterministic' | 'stochastic') {
  return (model: tfl.Sequential): tfl.Sequential => {
    for (const layer of withKernels(model)) binarized(layer, { mode });
    return model;
  };
}

/** The network with xnor layers in place of all but the first and the last of its dense and conv2d layers. */
function xnor(model: tfl.Sequential): tfl.Sequential {
  const known = withKernels(model);
  const replaced = model.layers.map((layer) => {
    const config = layer.getConfig();
    const end = layer === known[0] || layer === known.at(-1);
    const kind = end ? '' : layer.getClassName();
    if (kind === 'Dense') return layers.xnorDense(config as never);
    if (kind === 'Conv2D') return layers.xnorConv2d(config as never);
    const fromConfig = layer.constructor as unknown as {
      fromConfig(type: unknown, config: object): tfl.layers.Layer;
    };
    return fromConfig.fromConfig(layer.constructor, config);
  });
  return withSeed(1, () => tfl.sequential({ layers: replaced }));
}

const VARIANTS: Record<string, (model: tfl.Sequential) => tfl.Sequential> = {
  dense: (model) => model,
  'fakeQuant, 8 bits': eightBit,
  'binary, deterministic': binary('deterministic'),
  'binary, stochastic': binary('stochastic'),
  xnor,
};

interface Figures extends StepTimes {
  network: string;
}

async function measure(name: string, repeats: number): Promise<Figures> {
  const models: Record<string, tfl.LayersModel> = {};
  for (const [key, change] of Object.entries(VARIANTS)) {
    if (key === 'xnor' && name === 'separable') continue; // there is no separable xnor layer
    models[key] = change(network(name));
    models[key].compile({ optimizer: 'adam', loss: 'categoricalCrossentropy' });
  }
  return { network: name, ...(await compareSteps(models, await digits(BATCH), repeats)) };
}

async function run(repeats: number): Promise<Measured> {
  tf.env().set('THIMBLE_RELAXED_SIMD', hasRelaxedSimd());
  const figures: Figures[] = [];
  for (const name of NETWORKS) figures.push(await measure(name, repeats));
  return stepTable(figures, ['network', 'weights'], (each) => each.network);
}

export const quantisedTraining: Task = {
  about: 'what quantised and binary weights cost per training step, on thimble',
  run,
};
