// The worker as the page sees it: a question, news while it works, an answer.
import type { Made, News, Reply, Request } from './messages.ts';

interface Waiting {
  resolve(answer: Made | undefined): void;
  reject(problem: Error): void;
  news?: (news: News) => void;
}

/** Asks a worker. */
export class Helper {
  readonly #worker: Worker;
  readonly #waiting = new Map<number, Waiting>();
  #next = 0;

  constructor(worker: Worker) {
    this.#worker = worker;
    worker.addEventListener('message', ({ data }: MessageEvent<Reply>) => this.#take(data));
    worker.addEventListener('error', ({ message }) => {
      for (const { reject } of this.#waiting.values()) reject(new Error(message));
      this.#waiting.clear();
    });
  }

  ask(
    request: Extract<Request, { ask: 'train' | 'prune' | 'convert' }>,
    news?: (news: News) => void,
  ): Promise<Made>;
  ask(request: Extract<Request, { ask: 'stop' }>): Promise<undefined>;
  ask(request: Request, news?: (news: News) => void): Promise<Made | undefined> {
    return new Promise((resolve, reject) => {
      const id = this.#next++;
      this.#waiting.set(id, { resolve, reject, ...(news ? { news } : {}) });
      this.#worker.postMessage({ id, request });
    });
  }

  #take(reply: Reply): void {
    const waiting = this.#waiting.get(reply.id);
    if (!waiting) return;
    if ('news' in reply) {
      waiting.news?.(reply.news);
      return;
    }
    this.#waiting.delete(reply.id);
    if ('failed' in reply) waiting.reject(new Error(reply.failed));
    else waiting.resolve(reply.done);
  }
}
