// The address of a Redis server.
import { OptionError } from '@thimble/base';
import type { ConnectionOptions } from 'bullmq';

export const URL_DEFAULT = 'redis://127.0.0.1:6379';

/** What is at redis://user:password@host:port/database; rediss:// is encrypted. */
export function connectionTo(owner: string, address: string): ConnectionOptions {
  const { hostname, port, username, password, pathname, protocol } = parsed(address) ?? {};
  if (!hostname || !/^rediss?:$/.test(protocol!) || !/^\/?\d*$/.test(pathname!)) {
    throw new OptionError(
      `${owner}: url must be like ${URL_DEFAULT}, not "${withoutPassword(address)}".`,
    );
  }
  return {
    host: hostname.replace(/^\[|\]$/g, ''), // of IPv6
    port: Number(port || 6379),
    ...(username ? { username: plain(owner, username) } : {}),
    ...(password ? { password: plain(owner, password) } : {}),
    ...(pathname!.length > 1 ? { db: Number(pathname!.slice(1)) } : {}),
    ...(protocol === 'rediss:' ? { tls: {} } : {}),
    maxRetriesPerRequest: null, // commands wait for a server that is away
  };
}

/** The address as it may be shown and written down. */
export function withoutPassword(address: string): string {
  return address.replace(/^([a-z]+:\/\/[^/:@]*):[^/]*@/i, '$1:***@');
}

function parsed(address: string): URL | undefined {
  return URL.canParse(address) ? new URL(address) : undefined;
}

function plain(owner: string, text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new OptionError(`${owner}: a % in the user or password of url must be written as %25.`);
  }
}
