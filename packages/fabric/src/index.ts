export { AgentMonitor } from './agent/agent-monitor.ts';
export type { AgentState, NodeState } from './agent/agent-state.ts';
export { readAgentState } from './agent/read-agent-state.ts';
export { type AgentOptions, runAgent } from './agent/run-agent.ts';
export { serveAgent } from './agent/serve-agent.ts';
export { type Bgp, type BgpOptions, startBgp } from './bgp/bgp.ts';
export type { BgpFacts } from './bgp/bgp-facts.ts';
export { askBird } from './bgp/bird-control.ts';
export { type BirdRoute, parseRoutes, parseSessions, type SessionState } from './bgp/bird-state.ts';
export { ensureNode } from './bgp/ensure-node.ts';
export { type Export, explainExport } from './bgp/explain-export.ts';
export { type JudgedRoute, judgeRoute } from './bgp/judge-route.ts';
export { readFacts } from './bgp/read-facts.ts';
export { renderBird } from './bgp/render-bird.ts';
export { runRouted } from './bgp/run-routed.ts';
export { secretsIn } from './bgp/secrets.ts';
export { type LocalView, podAddresses, traceRoute } from './bgp/trace-route.ts';
export { type WantedBird, wantedBird } from './bgp/wanted-bird.ts';
export type { Change, Datastore, WatchEvent } from './datastore/datastore.ts';
export { openEmbeddedDatastore } from './datastore/embedded.ts';
export { openEtcdDatastore } from './datastore/etcd.ts';
export {
  type DatastoreServer,
  type ServeOptions,
  serveDatastore,
} from './datastore/serve/serve-datastore.ts';
export type { ServedStore } from './datastore/serve/served-store.ts';
export { FabricError } from './errors.ts';
export { isYoungerThan, readAddressUse } from './ipam/address-use.ts';
export { type AddressUse, findMistakes } from './ipam/check.ts';
export { deletePool } from './ipam/delete-pool.ts';
export { createIpam } from './ipam/ipam.ts';
export { observe } from './ipam/observe.ts';
export { repair } from './ipam/repair.ts';
export { KubernetesClient } from './kubernetes/client.ts';
export type { KubernetesConfig } from './kubernetes/config.ts';
export { inClusterConfig } from './kubernetes/in-cluster.ts';
export { readKubeconfig } from './kubernetes/kubeconfig.ts';
export { acquireLease, leasesPrefix } from './overlay/acquire-lease.ts';
export { openDatastoreLeases } from './overlay/datastore-leases.ts';
export type { LeaseStore, LeasesEvent } from './overlay/lease-store.ts';
export { type NetworkConfig, parseNetworkConfig } from './overlay/network-config.ts';
export { openNodeLeases } from './overlay/node-leases.ts';
export { startOverlay } from './overlay/overlay.ts';
export type { Overlay } from './overlay/overlay-types.ts';
export { readNetworkConfig } from './overlay/read-network-config.ts';
export { readUnderlay } from './overlay/read-underlay.ts';
export type { KernelView } from './overlay/sync-kernel.ts';
export { readWireguardKey } from './overlay/wireguard-key.ts';
export { findNode } from './ping/find-node.ts';
export { type PingCheck, pingNode } from './ping/ping-node.ts';
export { readDocuments } from './resources/documents.ts';
export { formatJson, formatYaml } from './resources/format-documents.ts';
export type { IpamBlockResource } from './resources/ipam-kinds.ts';
export { findKind, type Kind, type KindName, kinds, type Resources } from './resources/kinds.ts';
export type { Resource } from './resources/metadata.ts';
export {
  applyResource,
  createResource,
  deleteResource,
  getResource,
  listResources,
  type ResourceId,
} from './resources/resource-store.ts';
