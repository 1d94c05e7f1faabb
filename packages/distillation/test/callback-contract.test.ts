import { schedules } from '@thimble/core';
import {
  distillationCallback,
  hints,
  noisyTeacher,
  relationalDistillation,
  similarityPreserving,
  stagedUnfreezing,
} from '@thimble/distillation';
import { classifier, describeCallbackContract, useCpu } from '@thimble/testing';

useCpu();

const onlyInsideFit = 'it has no place for a callback in the loss';
const features = () => ({
  teacher: classifier(9),
  pairs: [['hidden', 'hidden'] as const, ['logits', 'logits'] as const],
});

describeCallbackContract('distillation', {
  make: () => distillationCallback({ teacher: classifier(9), temperature: 2 }),
  changesTraining: true,
});

describeCallbackContract('distillation by schedules, from teachers by their confidence', {
  make: () =>
    distillationCallback({
      teacher: [classifier(9), classifier(10)],
      weighting: 'confidence',
      temperature: schedules.linear(8, { final: 1 }),
      alpha: schedules.exponential(0.9, { factor: 0.5 }),
    }),
  changesTraining: true,
});

describeCallbackContract('hints', {
  make: () => hints({ ...features(), weight: 'learned' }),
  changesTraining: true,
  onlyInsideFit,
});

describeCallbackContract('relational distillation', {
  make: () => relationalDistillation(features()),
  changesTraining: true,
  onlyInsideFit,
});

describeCallbackContract('similarity preserving', {
  make: () => similarityPreserving({ ...features(), weight: schedules.linear(30) }),
  changesTraining: true,
  onlyInsideFit,
});

describeCallbackContract('a noisy teacher', {
  make: () => noisyTeacher({ teacher: classifier(9) }),
  changesTraining: true,
  onlyInsideFit,
});

describeCallbackContract('staged unfreezing', {
  make: () => stagedUnfreezing(),
  changesTraining: true,
  onlyInsideFit: 'it chooses the weights to train once',
});
