import { get } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';

/** GETs a page until it is there, for a server needs a moment to listen. @returns the HTTP status */
export async function checkHttp(url: string, { timeoutMs = 5000 } = {}): Promise<number> {
  const endMs = performance.now() + timeoutMs;
  for (;;) {
    try {
      return await statusOf(url);
    } catch (error) {
      if (performance.now() > endMs) {
        throw new Error(`get ${url}: ${(error as Error).message}`, { cause: error });
      }
      await delay(10);
    }
  }
}

function statusOf(url: string): Promise<number> {
  return new Promise((resolve, reject) => {
    // No agent: a connection that stays open would keep the process, and the pod, from ending.
    const request = get(url, { agent: false, timeout: 1000 }, (response) => {
      response.resume();
      resolve(response.statusCode ?? 0);
    });
    request.on('timeout', () => request.destroy(new Error('no answer within 1 s')));
    request.on('error', reject);
  });
}
