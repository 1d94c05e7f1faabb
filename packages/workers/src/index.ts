export {
  type ThreadOptions,
  type ThreadPool,
  type ThreadTrials,
  threadPool,
  threadTrials,
} from './thread-pool.ts';
