import { OptionError } from '@thimble/base';
import { type Schedule, schedules } from '@thimble/core';
import { describe, expect, it } from 'vitest';

const run = { stepsPerEpoch: 10, epochs: 100 };
const atEpoch = (schedule: Schedule, epoch: number) =>
  schedule({ ...run, epoch, step: epoch * run.stepsPerEpoch });
const atStep = (schedule: Schedule, step: number) =>
  schedule({ ...run, step, epoch: Math.floor(step / run.stepsPerEpoch) });

describe('schedules', () => {
  it('multiStep: IntelLabs/distiller tests/test_learning_rate.py', () => {
    const schedule = schedules.multiStep(0.1, {
      milestones: [30, 60, 80],
      factors: [0.1, 0.1, 0.2],
    });
    const epochs = [0, 15, 30, 33, 60, 79, 80, 100];
    const expected = [0.1, 0.1, 0.01, 0.01, 0.001, 0.001, 0.0002, 0.0002];
    epochs.forEach((epoch, i) => {
      expect(atEpoch(schedule, epoch)).toBeCloseTo(expected[i]!, 12);
    });
  });

  it('multiStep takes one factor for all, and refuses what does not fit', () => {
    const schedule = schedules.multiStep(1, { milestones: [1, 2], factors: 0.5 });
    expect([0, 1, 2, 3].map((epoch) => atEpoch(schedule, epoch))).toEqual([1, 0.5, 0.25, 0.25]);
    expect(() => schedules.multiStep(1, { milestones: [1, 2], factors: [0.5] })).toThrow(
      OptionError,
    );
    expect(() => schedules.multiStep(1, { milestones: [2, 1], factors: 0.5 })).toThrow(OptionError);
  });

  it('step halves every third epoch', () => {
    const schedule = schedules.step(8, { every: 3, factor: 0.5 });
    expect([0, 2, 3, 5, 6, 9].map((epoch) => atEpoch(schedule, epoch))).toEqual([8, 8, 4, 4, 2, 1]);
  });

  it('exponential goes down at every step', () => {
    const schedule = schedules.exponential(1, { factor: 0.25 });
    expect(atStep(schedule, 0)).toBe(1);
    expect(atStep(schedule, 5)).toBeCloseTo(0.5, 12);
    expect(atStep(schedule, 20)).toBeCloseTo(1 / 16, 12);
  });

  it('cosine is half way down in the middle of the run', () => {
    const schedule = schedules.cosine(0.3, { final: 0.1 });
    expect(atStep(schedule, 0)).toBeCloseTo(0.3, 12);
    expect(atStep(schedule, 500)).toBeCloseTo(0.2, 12);
    expect(atStep(schedule, 1000)).toBeCloseTo(0.1, 12);
  });

  it('cosine holds its rate before it falls', () => {
    const schedule = schedules.cosine(0.3, { final: 0.1, hold: 40 });
    expect(atStep(schedule, 0)).toBe(0.3);
    expect(atStep(schedule, 400)).toBe(0.3);
    expect(atStep(schedule, 700)).toBeCloseTo(0.2, 12);
    expect(atStep(schedule, 1000)).toBeCloseTo(0.1, 12);
    expect(atStep(schedules.cosine(0.3, { hold: 100 }), 999)).toBe(0.3);
    expect(() => schedules.cosine(0.3, { hold: -1 })).toThrow(OptionError);
  });

  it('linear goes from the first value to the last in equal steps', () => {
    const schedule = schedules.linear(4, { final: 1 });
    expect([0, 250, 500, 1000, 2000].map((step) => atStep(schedule, step))).toEqual([
      4, 3.25, 2.5, 1, 1,
    ]);
    expect(atStep(schedules.linear(2), 750)).toBe(0.5);
    expect(() => schedules.linear(-1)).toThrow(OptionError);
  });

  it('warmUp rises in a line, then hands over', () => {
    const schedule = schedules.warmUp(4, schedules.constant(0.8));
    expect([0, 1, 2, 3, 4, 9].map((step) => atStep(schedule, step))).toEqual([
      0.2, 0.4, 0.6000000000000001, 0.8, 0.8, 0.8,
    ]);
    expect(atStep(schedules.warmUp(2, 1), 0)).toBe(0.5);
  });

  it('restart begins anew every so many epochs, as a run of that many', () => {
    const steps = schedules.restart(schedules.step(8, { every: 1, factor: 0.5 }), { every: 3 });
    expect([0, 1, 2, 3, 4, 5, 6, 99].map((epoch) => atEpoch(steps, epoch))).toEqual([
      8, 4, 2, 8, 4, 2, 8, 8,
    ]);
    // Half a cosine wave from 0.3 down to 0.1 in every 4 epochs of 10 steps.
    const wave = schedules.restart(schedules.cosine(0.3, { final: 0.1 }), { every: 4 });
    expect([0, 20, 39, 40, 60].map((step) => atStep(wave, step))).toEqual([
      expect.closeTo(0.3, 12),
      expect.closeTo(0.2, 12),
      expect.closeTo(0.2 + 0.1 * Math.cos((Math.PI * 39) / 40), 12),
      expect.closeTo(0.3, 12),
      expect.closeTo(0.2, 12),
    ]);
    const warm = schedules.restart(schedules.warmUp(4, 0.8), { every: 2 });
    expect([0, 1, 19, 20, 21].map((step) => atStep(warm, step))).toEqual([0.2, 0.4, 0.8, 0.2, 0.4]);
    expect(() => schedules.restart(wave, { every: 0 })).toThrow(OptionError);
  });

  it('refuses a negative rate', () => {
    expect(() => schedules.constant(-1)).toThrow(OptionError);
  });
});
