// What the plugins calico and calico-ipam need. It takes long to load: they import it when they are called.
import { KubernetesClient } from './kubernetes/client.ts';
import { readKubeconfig } from './kubernetes/kubeconfig.ts';

/** A client of the API server that a kubeconfig file names. @throws FabricError `invalid-config` */
export function createKubernetesClient(kubeconfig: string): KubernetesClient {
  return new KubernetesClient(readKubeconfig(kubeconfig));
}

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
