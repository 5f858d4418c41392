import { setTimeout as delay } from 'node:timers/promises';
import type { AgentConfig } from '../../config.ts';
import type { Log } from '../../log.ts';
import { startNodeAgent } from './node-agent.ts';

const FIRST_DELAY_MS = 1_000;
const LAST_DELAY_MS = 60_000;

/**
 * Runs the network agent in the background until it is disposed of. What keeps it from starting (an address that is taken, a
 * file that is not there yet) is logged and tried again, for it is nothing to the pods of this node.
 */
export function keepAgent(config: AgentConfig, log: Log): AsyncDisposable {
  const stop = new AbortController();
  const work = keep(config, log, stop.signal);
  return {
    async [Symbol.asyncDispose]() {
      stop.abort();
      await work;
    },
  };
}

async function keep(config: AgentConfig, log: Log, signal: AbortSignal): Promise<void> {
  for (let delayMs = FIRST_DELAY_MS; !signal.aborted; delayMs = Math.min(2 * delayMs, LAST_DELAY_MS)) {
    try {
      await using _agent = await startNodeAgent(config, { log, keepsTrying: true });
      await new Promise<void>((resolve) => {
        if (signal.aborted) resolve();
        else signal.addEventListener('abort', () => resolve(), { once: true });
      });
      return;
    } catch (error) {
      log.error(`start network agent: ${(error as Error).message}; trying again`, {
        seconds: delayMs / 1000,
      });
    }
    await delay(delayMs, undefined, { signal }).catch(() => {});
  }
}
