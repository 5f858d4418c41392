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
export {
  formatSubnetEnv,
  parseSubnetEnv,
  readSubnetEnv,
  type SubnetEnv,
  type SubnetEnvFamily,
  writeSubnetEnv,
} from './overlay/subnet-env.ts';
