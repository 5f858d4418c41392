export { AgentMonitor } from './agent/agent-monitor.ts';
export type { AgentState, NodeState } from './agent/agent-state.ts';
export { readAgentState } from './agent/read-agent-state.ts';
export { type AgentOptions, runAgent } from './agent/run-agent.ts';
export { serveAgent } from './agent/serve-agent.ts';
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
export { acquireLease, leasesPrefix } from './overlay/acquire-lease.ts';
export { type NetworkConfig, parseNetworkConfig } from './overlay/network-config.ts';
export { startOverlay } from './overlay/overlay.ts';
export type { Overlay } from './overlay/overlay-types.ts';
export { readUnderlay } from './overlay/read-underlay.ts';
export type { KernelView } from './overlay/sync-kernel.ts';
export { readWireguardKey } from './overlay/wireguard-key.ts';
export { findNode } from './ping/find-node.ts';
export { type PingCheck, pingNode } from './ping/ping-node.ts';
