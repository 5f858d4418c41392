import { setTimeout as delay } from 'node:timers/promises';
import { isCode } from '@amphipod/linux';
import { openNft, openRtnl } from '@amphipod/netlink';
import type { AgentLog } from '../agent/run-agent.ts';
import type { Datastore } from '../datastore/datastore.ts';
import { startBgp } from './bgp.ts';
import { ensureNode } from './ensure-node.ts';
import { secretsIn } from './secrets.ts';

const ADDRESS_CHECK_MS = 1_000;
/** Secrets are files, of whose changes nobody tells. */
const SECRETS_CHECK_MS = 10_000;

export interface RoutedOptions {
  store: Datastore;
  nodeName: string;
  /** For BIRD's configuration and control socket. */
  stateDir: string;
  /** Passwords of sessions: files `SECRET/KEY` below. */
  secretsDir: string;
  /** Link whose addresses are the node's; found unless given. */
  interfaceName?: string;
  log: AgentLog;
  /** Ends it; BIRD and what is in the kernel stay. */
  signal: AbortSignal;
}

/**
 * Runs this node's part of the routed network in the current network namespace: writes the node's addresses into its Node, runs BIRD,
 * keeps the kernel's part.
 * @throws what ends a watch of the datastore; NetlinkError
 */
export async function runRouted(options: RoutedOptions): Promise<void> {
  const { store, nodeName, stateDir, secretsDir, log, signal } = options;
  using rtnl = openRtnl();
  using nft = openNft();
  const told = new Set<string>();
  await using bgp = startBgp({
    store,
    nodeName,
    kernel: { rtnl, nft },
    stateDir,
    password: secretsIn(secretsDir),
    onEvent: (message) => log.info(message),
    onError: (error) => log.warn(`${error.message}; trying again`),
  });
  const { interfaceName } = options;
  let checkedMs = performance.now();
  // One handler, however long it lives.
  const bgpEnds = new AbortController();
  const end = bgp.ended.finally(() => bgpEnds.abort());
  end.catch(() => {});
  const ends = AbortSignal.any([signal, bgpEnds.signal]);
  while (!signal.aborted) {
    try {
      const hasChanged = await ensureNode({ store, nodeName, rtnl, interfaceName, signal });
      if (hasChanged) log.info('the addresses of the node are written down', { node: nodeName });
      told.clear();
    } catch (error) {
      if (signal.aborted) break;
      if (!isCode(error, 'unavailable', 'invalid-config', 'conflict', 'already-exists', 'not-found'))
        throw error;
      const { message } = error as Error;
      if (!told.has(message)) log.warn(`${message}; trying again`);
      told.add(message);
    }
    if (performance.now() - checkedMs > SECRETS_CHECK_MS) {
      checkedMs = performance.now();
      bgp.refresh();
    }
    await delay(ADDRESS_CHECK_MS, undefined, { signal: ends }).catch(() => {});
    if (bgpEnds.signal.aborted) return end;
  }
}
