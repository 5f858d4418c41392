// What plugins need of the agent, and nothing that takes long to load.

export type { Datastore } from './datastore/datastore.ts';
export type { Ipam } from './ipam/ipam.ts';
export type { KubernetesClient } from './kubernetes/client.ts';
export { readSubnetEnv, type SubnetEnv, type SubnetEnvFamily } from './overlay/subnet-env.ts';
export type { WorkloadEndpoint } from './resources/workload-endpoint.ts';
