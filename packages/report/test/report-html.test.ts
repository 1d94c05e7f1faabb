import '@thimble/backend';
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { reportHtml } from '@thimble/report';
import { data, type Report, report, withSeed } from 'thimble';
import { beforeAll, expect, test } from 'vitest';
import { bitmap, grey, heat } from '../src/bitmap.ts';

let found: Report;

beforeAll(async () => {
  await tf.setBackend('thimble');
  const { test: digits } = await data.syntheticDigits({ train: 10, test: 40, onProgress: false });
  const network = (seed: number) =>
    withSeed(seed, () =>
      tfl.sequential({
        layers: [
          tfl.layers.flatten({ inputShape: [28, 28, 1] }),
          tfl.layers.dense({ name: 'last', units: 10, activation: 'softmax' }),
        ],
      }),
    );
  const classNames = ['<b>one</b>'];
  const options = { classNames, robustness: 10, repeats: 2, maps: 2, progress: false };
  found = await report(network(1), network(2), digits, options);
});

test('the page has every chart and loads nothing', async () => {
  const html = await reportHtml(found, { title: 'Small & smaller', notes: ['1 < 2'] });
  expect(html.match(/<svg/g)).toHaveLength(6);
  for (const text of [
    'What it costs',
    'Errors by class',
    'Calibration',
    'Robustness',
    'Sparsity by layer',
    'Energy',
  ]) {
    expect(html).toContain(text);
  }
  const samples = [...html.matchAll(/<path [^>]*d="M-5,0L5,0"[^>]*>/g)]; // lines of the legend
  expect(samples).toHaveLength(3);
  for (const [sample] of samples) expect(sample).toContain(' stroke="');
  expect(html).toContain('<title>Small &amp; smaller</title>');
  expect(html).toContain('<p>1 &lt; 2</p>');
  expect(html).not.toContain('<b>');
  expect(html).not.toMatch(/<script|<link|@import/);
  const addresses = [...html.matchAll(/(?:src|href)="([^"]*)"/g)].map(([, address]) => address!);
  expect(addresses).toHaveLength(6); // two images, and their maps before and after
  for (const address of addresses) expect(address).toMatch(/^data:image\/bmp;base64,/);
});

test('without robustness and images the page is shorter', async () => {
  const { robustness: _, ...before } = found.before;
  const html = await reportHtml({ ...found, before, saliency: [] });
  expect(html.match(/<svg/g)).toHaveLength(5);
  expect(html).not.toContain('hang on');
});

test('a bitmap has its rows from the top, padded to four bytes, blue first', () => {
  const [type, base64] = bitmap([0, 1, 0.5, 1 / 3], [2, 2], heat).split(';base64,');
  expect(type).toBe('data:image/bmp');
  const bytes = Uint8Array.from(atob(base64!), (c) => c.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  expect([view.getInt32(18, true), view.getInt32(22, true), view.getUint32(2, true)]).toEqual([
    2, -2, 70,
  ]);
  // 0 black, 1 white; 0.5 red and half of green; a third red alone.
  expect(Array.from(bytes.subarray(54))).toEqual([
    0, 0, 0, 255, 255, 255, 0, 0, 0, 128, 255, 0, 0, 255, 0, 0,
  ]);
  expect(grey(0.5)).toEqual([128, 128, 128]);
});
