// What the plugins calico and calico-ipam need. It takes long to load: they import it when they are called.
export { openEmbeddedDatastore } from './datastore/embedded.ts';
export { openEtcdDatastore } from './datastore/etcd.ts';
export { createIpam } from './ipam/ipam.ts';
export { listNodeHandles } from './ipam/node-handles.ts';
export {
  createResource,
  deleteResource,
  getResource,
  listEndpointsNamed,
  listResources,
  updateResource,
} from './resources/resource-store.ts';
