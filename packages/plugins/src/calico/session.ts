import { CniError, type PluginRequest } from '@amphipod/cni';
import type { Datastore, Ipam } from '@amphipod/fabric/client';
import type { PluginHost } from '../lib/host.ts';
import { readDatastore } from './datastore-settings.ts';
import { readNodeName } from './node-name.ts';

/** What a call works on. */
export interface CalicoSession {
  readonly store: Datastore;
  readonly node: string;
  readonly ipam: Ipam;
}

/** Allocators remember their last blocks: one for each datastore and node. */
const allocators = new WeakMap<Datastore, Map<string, Ipam>>();

/** Opens what the configuration names, or takes what is open already. @throws CniError invalid-network-config, try-again-later */
export async function openSession(
  { config }: Pick<PluginRequest, 'config'>,
  host: PluginHost,
): Promise<CalicoSession> {
  const settings = readDatastore(config);
  const node = readNodeName(config);
  const [store, { createIpam }] = await Promise.all([
    host.datastores.get(settings),
    import('@amphipod/fabric/calico'),
  ]);
  const ofStore = allocators.get(store) ?? new Map<string, Ipam>();
  allocators.set(store, ofStore);
  const ipam = ofStore.get(node) ?? createIpam({ store, node });
  ofStore.set(node, ipam);
  return { store, node, ipam };
}

/** Waits for nothing: @throws CniError try-again-later while the datastore is being moved */
export async function assertReady({ store }: CalicoSession, signal: AbortSignal): Promise<void> {
  const { getResource } = await import('@amphipod/fabric/calico');
  const found = await getResource(store, 'ClusterInformation', { name: 'default', signal });
  // A cluster that has never been told is one that we made.
  if (found?.spec.datastoreReady !== false) return;
  throw new CniError('try-again-later', 'the datastore is not ready: ClusterInformation "default" says so');
}
