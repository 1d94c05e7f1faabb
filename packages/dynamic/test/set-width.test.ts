import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { NoMatchError, OptionError, ShapeError, UnsupportedError } from '@thimble/base';
import {
  extractWidth,
  setWidth,
  slimmableBatchNormalization,
  slimmableConv2d,
  slimmableDense,
  slimmableDepthwiseConv2d,
  widthOf,
} from '@thimble/dynamic';
import { useCpu } from '@thimble/testing';
import { describe, expect, it } from 'vitest';
import { convolutional, inputs, residual } from './slimmable-models.ts';

useCpu();

const widths = [0.5, 1];
const dense = (units: number, more: object = {}) => slimmableDense({ units, widths, ...more });

/** A model of dense layers with others in between. */
function between(...layers: tfl.layers.Layer[]): tfl.Sequential {
  return tfl.sequential({ layers: [dense(4, { inputShape: [3] }), ...layers, dense(2)] });
}

describe('setWidth', () => {
  it('is known to the model', () => {
    const model = residual();
    expect(widthOf(model)).toBe(1);
    setWidth(model, 0.75);
    expect(widthOf(model)).toBe(0.75);
  });

  it('takes any width of a range', () => {
    const model = tfl.sequential({
      layers: [
        slimmableDense({ units: 10, widths: { min: 0.2 }, inputShape: [3], name: 'hidden' }),
        slimmableDense({ units: 2, widths: { min: 0.2 } }),
      ],
    });
    for (const [width, units] of [
      [0.2, 2],
      [0.34, 3],
      [0.35, 4],
      [1, 10],
    ] as const) {
      setWidth(model, width);
      const [hidden] = model.layers;
      expect((hidden!.apply(tf.ones([1, 3])) as tf.Tensor).shape).toEqual([1, units]);
      expect((model.predict(tf.ones([1, 3])) as tf.Tensor).shape).toEqual([1, 2]);
    }
    expect(() => setWidth(model, 0.1)).toThrow('layer "hidden" cannot have width 0.1');
    expect(() => setWidth(model, 0.1)).toThrow('0.2 to 1');
  });

  it('refuses a width that is not in the list, and changes nothing', async () => {
    const model = convolutional();
    setWidth(model, 0.5);
    for (const wrong of [0.6, 0, 2, Number.NaN]) {
      expect(() => setWidth(model, wrong)).toThrow(OptionError);
      expect(() => extractWidth(model, wrong)).toThrow('0.25, 0.5, 0.75, 1');
      expect(widthOf(model)).toBe(0.5);
    }
    expect((model.predict(inputs(model)) as tf.Tensor).shape).toEqual([5, 3]);
  });

  it('refuses a model without slimmable layers', () => {
    const model = tfl.sequential({ layers: [tfl.layers.dense({ units: 1, inputShape: [2] })] });
    expect(() => setWidth(model, 0.5)).toThrow(NoMatchError);
  });

  it.each([
    ['dense', tfl.layers.dense({ units: 4, name: 'wrong' })],
    ['batchNormalization', tfl.layers.batchNormalization({ name: 'wrong' })],
    ['reshape', tfl.layers.reshape({ targetShape: [2, 2], name: 'wrong' })],
  ])('names a %s layer that cannot take fewer channels', (_, layer) => {
    const model = between(
      layer,
      ...(layer.getClassName() === 'Reshape' ? [tfl.layers.flatten()] : []),
    );
    expect(() => setWidth(model, 0.5)).toThrow(UnsupportedError);
    expect(() => setWidth(model, 0.5)).toThrow('layer "wrong"');
  });

  it('lets plain layers take what comes behind the last slimmable layer', () => {
    const model = between();
    model.add(tfl.layers.dense({ units: 3 }));
    // The slimmable layer in front of it keeps all units only if it makes the outputs.
    expect(() => setWidth(model, 0.5)).toThrow(UnsupportedError);
  });

  it('names what joins narrowed channels with others', () => {
    const input = tfl.input({ shape: [4] });
    const hidden = dense(4).apply(input);
    const sum = tfl.layers.add({ name: 'sum' }).apply([input, hidden as tfl.SymbolicTensor]);
    const output = dense(2).apply(sum) as tfl.SymbolicTensor;
    const model = tfl.model({ inputs: input, outputs: output });
    expect(() => setWidth(model, 0.5)).toThrow('layer "sum" joins');
  });

  it('names batch normalisation that is out of place', () => {
    const norm = (name: string) => slimmableBatchNormalization({ widths, name });
    const conv = () =>
      slimmableConv2d({ filters: 4, kernelSize: 1, widths, inputShape: [2, 2, 1] });
    const last = tfl.sequential({ layers: [dense(4, { inputShape: [3] }), norm('last')] });
    expect(() => setWidth(last, 0.5)).toThrow('layer "last" normalises channels that are the same');
    const flat = tfl.sequential({ layers: [conv(), tfl.layers.flatten(), norm('flat'), dense(2)] });
    expect(() => setWidth(flat, 0.5)).toThrow('before the flatten layer');
    const odd = tfl.sequential({
      layers: [
        slimmableConv2d({ filters: 5, kernelSize: 1, widths, inputShape: [2, 2, 1] }),
        slimmableDepthwiseConv2d({ kernelSize: 1, depthMultiplier: 2, widths }),
        norm('odd'),
        tfl.layers.flatten(),
        dense(2),
      ],
    });
    // 5 * 0.5 rounds to 3, times 2; half of 10 is 5.
    expect(() => setWidth(odd, 0.5)).toThrow(ShapeError);
    expect(widthOf(odd)).toBe(1);
  });

  it('works inside nested models, whose inputs must be whole', () => {
    const inner = tfl.sequential({ layers: [dense(4, { inputShape: [3] }), dense(4)] });
    const model = tfl.sequential({ layers: [inner, tfl.layers.reLU(), dense(2)] });
    setWidth(model, 0.5);
    expect((model.predict(tf.ones([1, 3])) as tf.Tensor).shape).toEqual([1, 2]);
    const second = tfl.sequential({ layers: [dense(2, { inputShape: [4] })] });
    const wrong = tfl.sequential({ layers: [dense(4, { inputShape: [3] }), second] });
    expect(() => setWidth(wrong, 0.5)).toThrow('must get all its channels');
  });
});
