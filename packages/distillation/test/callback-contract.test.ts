import { distillationCallback } from '@thimble/distillation';
import { classifier, describeCallbackContract, useCpu } from '@thimble/testing';

useCpu();

describeCallbackContract('distillation', {
  make: () => distillationCallback({ teacher: classifier(9), temperature: 2 }),
  changesTraining: true,
});
