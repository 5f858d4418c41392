import type { Datastore } from '../datastore/datastore.ts';
import { affinitiesPrefix } from '../resources/block-affinity.ts';
import { listResources } from '../resources/resource-store.ts';
import type { BgpFacts } from './bgp-facts.ts';
import { readBlock } from './watch-facts.ts';

/** Reads what BGP follows from, once. Entries that cannot be read are passed over. @throws FabricError of the datastore */
export async function readFacts(
  store: Datastore,
  { nodeName, password }: Pick<BgpFacts, 'nodeName' | 'password'>,
): Promise<BgpFacts> {
  const [nodes, pools, peers, filters, configurations, endpoints, affinities] = await Promise.all([
    listResources(store, 'Node'),
    listResources(store, 'IPPool'),
    listResources(store, 'BGPPeer'),
    listResources(store, 'BGPFilter'),
    listResources(store, 'BGPConfiguration'),
    listResources(store, 'WorkloadEndpoint'),
    store.list(affinitiesPrefix),
  ]);
  return {
    nodeName,
    password,
    nodes: nodes.resources,
    pools: pools.resources,
    peers: peers.resources,
    filters: filters.resources,
    configurations: configurations.resources,
    endpoints: endpoints.resources,
    blocks: affinities.entries.flatMap((entry) => readBlock(entry) ?? []),
  };
}
