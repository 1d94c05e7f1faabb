// thimble serve
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { UnsupportedError } from '@thimble/base';
import sirv from 'sirv';
import type { Context, Outcome } from '../context.ts';

export interface ServeOptions {
  port?: number;
}

/** Above 1023, and not one that other development servers take. */
const PORT = 8642;
/** The page, built; the same place from src and from dist. */
const PAGE = fileURLToPath(new URL('../../playground', import.meta.url));

/** Serves the playground to this machine alone, until it is interrupted. */
export async function serve(
  { port = PORT }: ServeOptions,
  { signal }: Context,
  page: string = PAGE,
): Promise<Outcome> {
  if (!existsSync(join(page, 'index.html'))) {
    throw new UnsupportedError(
      'The playground is not built. In a clone "npm run playground" serves it from source; "npm run build:playground" builds it for this command.',
    );
  }
  const files = sirv(page, { etag: true });
  const server = createServer((request, response) =>
    files(request, response, () => {
      response.statusCode = 404;
      response.end('The playground has no such file.\n');
    }),
  );
  server.listen(port, '127.0.0.1');
  await once(server, 'listening'); // throws what `error` says, a port in use for example
  const address = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  const stop = () => {
    server.close();
    server.closeAllConnections();
  };
  const closed = once(server, 'close').then(() => {});
  if (signal.aborted) stop();
  else signal.addEventListener('abort', stop, { once: true });
  return { text: `The playground: ${address}\nCtrl-C stops it.`, json: { address }, after: closed };
}
