import { channelGroups, summarize, withoutChannels } from '@thimble/core';
import { useCpu } from '@thimble/testing';
import { describe, expect, it } from 'vitest';
import { free, MOBILENET_V1, mobilenetV1, resnet18, trainedParams } from './channel-models.ts';

useCpu();

/** Half of the channels of every group that can shrink. */
const half = (model: ReturnType<typeof resnet18>) =>
  Object.fromEntries(
    free(model).map(({ name, size }) => [name, Array.from({ length: size / 2 }, (_, i) => 2 * i)]),
  );

describe('parameters of the networks of the literature', () => {
  it('ResNet-18 with half of its channels: from 11,689,512 to 3,055,880', async () => {
    // shared/golden pruning-039, VainF/Torch-Pruning:README.md
    const model = resnet18();
    expect(trainedParams(model)).toBe(11_689_512);
    expect(free(model).map(({ producers, size }) => [producers.join(' '), size])).toEqual([
      ['conv1 layer1.0.conv2 layer1.1.conv2', 64],
      ['layer1.0.conv1', 64],
      ['layer1.1.conv1', 64],
      ['layer2.0.conv1', 128],
      ['layer2.0.conv2 layer2.0.downsample layer2.1.conv2', 128],
      ['layer2.1.conv1', 128],
      ['layer3.0.conv1', 256],
      ['layer3.0.conv2 layer3.0.downsample layer3.1.conv2', 256],
      ['layer3.1.conv1', 256],
      ['layer4.0.conv1', 512],
      ['layer4.0.conv2 layer4.0.downsample layer4.1.conv2', 512],
      ['layer4.1.conv1', 512],
    ]);
    const smaller = await withoutChannels(model, half(model));
    expect(trainedParams(smaller)).toBe(3_055_880);
  });

  it('MobileNet-v1 with half of its channels: from 4,231,976 to 1,331,592', async () => {
    // osmr/imgclsmob, tables of MobileNet x1.0 and x0.5. The same in closed form: a 3 x 3 convolution, 13
    // pairs of a depthwise and a pointwise one, two vectors of batch normalisation after each, a dense
    // layer with bias.
    const closedForm = (width: number) => {
      let channels = 32 * width;
      let params = 3 * 3 * 3 * channels + 2 * channels;
      for (const [filters] of MOBILENET_V1) {
        const next = filters * width;
        params += 9 * channels + 2 * channels + channels * next + 2 * next;
        channels = next;
      }
      return params + channels * 1000 + 1000;
    };
    const model = mobilenetV1();
    expect(trainedParams(model)).toBe(4_231_976);
    expect(closedForm(1)).toBe(4_231_976);
    const groups = channelGroups(model).filter(({ fixed }) => !fixed);
    expect(groups.map(({ size }) => size)).toEqual([
      32,
      ...MOBILENET_V1.map(([filters]) => filters),
    ]);
    const smaller = await withoutChannels(model, half(model));
    expect(trainedParams(smaller)).toBe(1_331_592);
    expect(closedForm(0.5)).toBe(1_331_592);
    // With the statistics of batch normalisation: the model zoo of MXNet Gluon, mobilenet0.5.
    expect(smaller.countParams()).toBe(1_342_536);
    // Depthwise convolutions shrink by two, pointwise ones by four.
    const macs = (of: typeof model, layer: string) =>
      summarize(of).layers.find(({ name }) => name === layer)!.macs;
    expect(macs(model, 'depthwise3') / macs(smaller, 'depthwise3')).toBe(2);
    expect(macs(model, 'pointwise3') / macs(smaller, 'pointwise3')).toBe(4);
  });
});
