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
