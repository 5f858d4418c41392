export { type AgentLog, type AgentOptions, runAgent } from './agent/run-agent.ts';
export type {
  CallOptions,
  Change,
  Datastore,
  DeleteOptions,
  Entry,
  PutOptions,
  Snapshot,
  WatchEvent,
  WatchOptions,
} from './datastore/datastore.ts';
export { type EmbeddedOptions, openEmbeddedDatastore } from './datastore/embedded.ts';
export { openEtcdDatastore } from './datastore/etcd.ts';
export type { EtcdClientOptions, EtcdTls } from './datastore/etcd-client.ts';
export {
  type DatastoreServer,
  type ServeOptions,
  serveDatastore,
} from './datastore/serve/serve-datastore.ts';
export type { LeasedPutOptions, ServedStore } from './datastore/serve/served-store.ts';
export { FabricError, type FabricErrorCode } from './errors.ts';
export {
  type AcquireOptions,
  acquireLease,
  type LeaseStore,
  leasesPrefix,
  leaseTtlSeconds,
  type OwnLease,
  renewLease,
} from './overlay/acquire-lease.ts';
export {
  formatAttributes,
  type Lease,
  type LeaseAttributes,
  leaseName,
  parseLease,
} from './overlay/lease.ts';
export {
  type BackendConfig,
  type FamilyNetwork,
  type HostGwConfig,
  type NetworkConfig,
  parseNetworkConfig,
  type VxlanConfig,
} from './overlay/network-config.ts';
export { type Overlay, type OverlayOptions, startOverlay } from './overlay/overlay.ts';
export { type ReadUnderlayOptions, readUnderlay } from './overlay/read-underlay.ts';
export {
  formatSubnetEnv,
  parseSubnetEnv,
  readSubnetEnv,
  type SubnetEnv,
  type SubnetEnvFamily,
  writeSubnetEnv,
} from './overlay/subnet-env.ts';
export { type KernelView, syncKernel } from './overlay/sync-kernel.ts';
export { overlayTable, removeRules, type WrittenRules } from './overlay/sync-rules.ts';
export {
  type OverlayFacts,
  overlayMtu,
  type PassedOver,
  type Underlay,
  type VxlanPeer,
  type WantedDevice,
  type WantedNetwork,
  type WantedRoute,
  type WantedState,
  wantedState,
} from './overlay/wanted-state.ts';
