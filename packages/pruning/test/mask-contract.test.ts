import { mask } from '@thimble/pruning';
import { describeTransformContract, useCpu } from '@thimble/testing';

useCpu();

describeTransformContract('mask', {
  make: () => mask({ sparsity: 0.5 }),
  gradient: (stored, upstream) => {
    const order = stored
      .map((_, i) => i)
      .sort((a, b) => Math.abs(stored[a]!) - Math.abs(stored[b]!));
    const pruned = new Set(order.slice(0, Math.round(stored.length / 2)));
    return upstream.map((value, i) => (pruned.has(i) ? 0 : value));
  },
});
