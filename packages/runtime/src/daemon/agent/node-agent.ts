import { mkdirSync, readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import {
  AgentMonitor,
  type Datastore,
  openEmbeddedDatastore,
  openEtcdDatastore,
  parseNetworkConfig,
  runAgent,
  serveAgent,
  serveDatastore,
} from '@amphipod/fabric';
import type { AgentConfig } from '../../config.ts';
import type { Log } from '../../log.ts';

const FIRST_DELAY_MS = 1_000;
const LAST_DELAY_MS = 60_000;
/** What a node without etcd and without a file gets. */
const usualNetwork = '{"Network":"10.244.0.0/16","Backend":{"Type":"vxlan"}}';

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
  const prefix = config.etcdPrefix;
  await using stack = new AsyncDisposableStack();
  const network = readNetwork(config);
  const opened = await openStore(config, stack);
  const { store, endpoint } = opened;
  if (endpoint !== undefined) {
    await publish(store, `${prefix}/config`, network!.text);
    log.info('serving the database of leases', { endpoint });
  }
  const monitor = new AgentMonitor({ datastore: opened.name, prefix });
  const addresses = addressesOf(config);
  const control = stack.use(await serveAgent(monitor, { socket: config.controlSocket, addresses }));
  if (addresses.length > 0) log.info('metrics and health', { ports: control.ports.join(',') });
  const stop = new AbortController();
  const { iface: interfaceName, subnetFile, ipMasq: masquerade } = config;
  const ended = keep(options, monitor, {
    store,
    prefix,
    ...(network !== undefined && { config: network.config }),
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

/** The network configuration that this node was given; undefined: the datastore has it. */
function readNetwork({ netConfig, etcdEndpoints }: AgentConfig) {
  if (netConfig === '' && etcdEndpoints.length > 0) return undefined;
  const text = netConfig === '' ? usualNetwork : readFileSync(netConfig, 'utf8');
  return { text, config: parseNetworkConfig(text, netConfig || 'default') };
}

interface OpenedStore {
  store: Datastore;
  /** For people. */
  name: string;
  /** What etcd clients are given, when it is served. */
  endpoint?: string;
}

async function openStore(config: AgentConfig, stack: AsyncDisposableStack): Promise<OpenedStore> {
  const { etcdEndpoints: endpoints, database } = config;
  if (endpoints.length > 0) {
    const { etcdCafile: ca, etcdCertfile: cert, etcdKeyfile: key } = config;
    const tls = {
      ...(ca !== '' && { ca: readFileSync(ca) }),
      ...(cert !== '' && { cert: readFileSync(cert), key: readFileSync(key) }),
    };
    return {
      store: stack.use(openEtcdDatastore({ endpoints, tls })),
      name: `etcd at ${endpoints.join(', ')}`,
    };
  }
  mkdirSync(dirname(database), { recursive: true });
  const store = stack.use(openEmbeddedDatastore(database));
  const name = `the file ${database}`;
  if (config.serve === '') return { store, name };
  const {
    serve: address,
    serveCafile: ca,
    serveCertfile: cert,
    serveKeyfile: key,
    serveOpen: isOpen,
  } = config;
  const tls =
    ca === '' ? {} : { tls: { ca: readFileSync(ca), cert: readFileSync(cert), key: readFileSync(key) } };
  const { endpoint } = stack.use(await serveDatastore(store, { address, isOpen, ...tls }));
  return { store, name: `${name}, served at ${endpoint}`, endpoint };
}

/** Has the other nodes find the configuration of this one. */
async function publish(store: Datastore, key: string, text: string): Promise<void> {
  if ((await store.get(key))?.value !== text) await store.put(key, text);
}

function addressesOf({ metricsAddress, healthzIp, healthzPort }: AgentConfig): string[] {
  const host = healthzIp.includes(':') ? `[${healthzIp}]` : healthzIp;
  const all = [metricsAddress, healthzPort === 0 ? '' : `${host}:${healthzPort}`];
  return [...new Set(all.filter((address) => address !== ''))];
}
