// A worker of a queue as a process of its own, to be killed: node worker-process.mjs URL QUEUE MODULE SETTINGS
import { redisWorker } from '@thimble/workers/redis';

const [url, queue, module, settings] = process.argv.slice(2) as [string, string, string, string];
redisWorker({ url, queue, module, settings: JSON.parse(settings), threads: 1, lockSeconds: 1 });
process.stdout.write('ready\n');
