import { setTimeout as delay } from 'node:timers/promises';
import { AgentMonitor, runAgent, serveAgent } from '@amphipod/fabric';
import type { AgentConfig } from '../../config.ts';
import type { Log } from '../../log.ts';
import { openLeases } from './open-leases.ts';

const FIRST_DELAY_MS = 1_000;
const LAST_DELAY_MS = 60_000;

export interface NodeAgentOptions {
  log: Log;
  /** Starts the agent again after a failure, later each time. */
  keepsTrying: boolean;
}

/** The network agent of this node, at work. Disposing of it ends it; what is in the kernel stays. */
export interface NodeAgent extends AsyncDisposable {
  /** Is rejected when the agent ends by itself, which it does not when it keeps trying. */
  ended: Promise<void>;
}

/**
 * Opens the datastore, serves what is to be served, and runs the agent in the background.
 * @throws FabricError for files, addresses and configurations that cannot be used
 */
export async function startNodeAgent(config: AgentConfig, options: NodeAgentOptions): Promise<NodeAgent> {
  const { log } = options;
  await using stack = new AsyncDisposableStack();
  const { leases, readConfig, endpoint, ...names } = await openLeases(config, stack);
  if (endpoint !== undefined) log.info('serving the database of leases', { endpoint });
  const monitor = new AgentMonitor(names);
  const addresses = addressesOf(config);
  const control = stack.use(await serveAgent(monitor, { socket: config.controlSocket, addresses }));
  if (addresses.length > 0) log.info('metrics and health', { ports: control.ports.join(',') });
  const stop = new AbortController();
  const { iface: interfaceName, subnetFile, ipMasq: masquerade } = config;
  const ended = keep(options, monitor, {
    leases,
    readConfig,
    ...(interfaceName !== '' && { interfaceName }),
    subnetFile,
    masquerade,
    log,
    monitor,
    signal: stop.signal,
  });
  ended.catch(() => {});
  const resources = stack.move();
  return {
    ended,
    async [Symbol.asyncDispose]() {
      stop.abort();
      await ended.catch(() => {});
      await resources.disposeAsync();
    },
  };
}

/** Runs the agent until it is told to end, or fails for good. */
async function keep(
  { log, keepsTrying }: NodeAgentOptions,
  monitor: AgentMonitor,
  options: Parameters<typeof runAgent>[0],
): Promise<void> {
  const { signal } = options;
  for (let delayMs = FIRST_DELAY_MS; !signal.aborted; delayMs = Math.min(2 * delayMs, LAST_DELAY_MS)) {
    try {
      await runAgent(options);
      return;
    } catch (error) {
      const { message } = error as Error;
      monitor.ended(message);
      if (!keepsTrying) throw error;
      log.error(`network agent: ${message}; trying again`, { seconds: delayMs / 1000 });
    }
    await delay(delayMs, undefined, { signal }).catch(() => {});
  }
}

function addressesOf({ metricsAddress, healthzIp, healthzPort }: AgentConfig): string[] {
  const host = healthzIp.includes(':') ? `[${healthzIp}]` : healthzIp;
  const all = [metricsAddress, healthzPort === 0 ? '' : `${host}:${healthzPort}`];
  return [...new Set(all.filter((address) => address !== ''))];
}
