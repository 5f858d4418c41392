/**
 * The measured process of bench/overlay.ts: keeps the overlay of one node in a network namespace, as the agent does, and tells its parent
 * what it did. Started with fork and one {@link AgentStart}.
 */
import {
  type Datastore,
  openDatastoreLeases,
  openEtcdDatastore,
  parseNetworkConfig,
  readUnderlay,
  startOverlay,
} from '@amphipod/fabric';
import { openNftIn, openRtnlIn } from '@amphipod/netlink';

export interface AgentStart {
  endpoints: string[];
  prefix: string;
  /** Path of the node's network namespace. */
  netns: string;
  /** flannel's net-conf.json. */
  config: string;
  families: (4 | 6)[];
}

/** What the process tells; times in ms, memory in MiB. */
export type AgentReport =
  | { type: 'ready'; firstMs: number; cpuMs: number; maxRss: number }
  | {
      type: 'sync';
      mended: number;
      isFull: boolean;
      durationMs: number;
      /** CPU time since a resync was asked for. */
      cpuMs: number;
      /** Since the store's watch told of a change. */
      sinceEventMs: number | undefined;
    }
  | { type: 'memory'; maxRss: number; cpuMs: number };

/** What it can be asked for. */
export type AgentRequest = 'resync' | 'memory';

const maxRss = () => process.resourceUsage().maxRSS / 1024;
const tell = (report: AgentReport) => process.connected && process.send!(report);

/** The store, with the moment at which the last change of leases came out of its watch. */
function noteEvents(store: Datastore, note: () => void): Datastore {
  const watch: Datastore['watch'] = async function* (prefix, options) {
    for await (const event of store.watch(prefix, options)) {
      note();
      yield event;
    }
  };
  return new Proxy(store, {
    get: (target, key) => {
      if (key === 'watch') return watch;
      const value: unknown = Reflect.get(target, key, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

async function run({ endpoints, prefix, netns, config, families }: AgentStart): Promise<void> {
  let eventAt: number | undefined;
  let cpuAt = process.cpuUsage();
  const store = noteEvents(openEtcdDatastore({ endpoints }), () => {
    eventAt ??= performance.now();
  });
  const kernel = { rtnl: openRtnlIn(netns), nft: openNftIn(netns) };
  const start = performance.now();
  const overlay = await startOverlay({
    leases: openDatastoreLeases({ store, prefix }),
    config: parseNetworkConfig(config, 'bench'),
    underlay: readUnderlay(kernel.rtnl, { families, name: 'eth0' }),
    kernel,
    masquerade: true,
    onSync: (mended, { isFull, durationMs }) => {
      const sinceEventMs = eventAt === undefined ? undefined : performance.now() - eventAt;
      eventAt = undefined;
      const { user, system } = process.cpuUsage(cpuAt);
      tell({ type: 'sync', mended, isFull, durationMs, cpuMs: (user + system) / 1000, sinceEventMs });
    },
    onError: (error) => console.error(error),
  });
  const { user, system } = process.cpuUsage(cpuAt);
  const firstMs = performance.now() - start;
  tell({ type: 'ready', firstMs, cpuMs: (user + system) / 1000, maxRss: maxRss() });
  process.on('message', (request: AgentRequest) => {
    if (request === 'resync') {
      cpuAt = process.cpuUsage();
      overlay.resync();
    } else {
      const { user, system } = process.cpuUsage();
      tell({ type: 'memory', maxRss: maxRss(), cpuMs: (user + system) / 1000 });
    }
  });
}

// By itself, so that profiles are written.
process.once('disconnect', () => process.exit());
process.once('message', (start: AgentStart) => void run(start));
