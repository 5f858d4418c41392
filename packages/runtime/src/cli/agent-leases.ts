import { mkdirSync, readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { dirname } from 'node:path';
import {
  type AgentOptions,
  type Datastore,
  inClusterConfig,
  KubernetesClient,
  openDatastoreLeases,
  openEmbeddedDatastore,
  openEtcdDatastore,
  openNodeLeases,
  parseNetworkConfig,
  readKubeconfig,
  readNetworkConfig,
} from '@amphipod/fabric';
import type { OptionValues } from './command.ts';
import { UsageError } from './errors.ts';

/** Options of `amphipod agent` that say where leases are kept. */
export const leaseOptions = {
  'etcd-endpoints': { type: 'string', value: 'URL,...', help: 'keep leases in this etcd cluster' },
  'etcd-prefix': { type: 'string', value: 'KEY', help: 'where in etcd (/coreos.com/network)' },
  'etcd-cafile': { type: 'string', value: 'FILE', help: 'authorities for https endpoints, PEM' },
  'etcd-certfile': { type: 'string', value: 'FILE', help: 'our certificate, PEM' },
  'etcd-keyfile': { type: 'string', value: 'FILE', help: 'its key, PEM' },
  kube: { type: 'boolean', help: 'keep leases in the nodes of the Kubernetes cluster that we are a pod of' },
  kubeconfig: { type: 'string', value: 'FILE', help: 'keep leases in the nodes of this Kubernetes cluster' },
  'kube-annotation-prefix': {
    type: 'string',
    value: 'PREFIX',
    help: 'of annotations of nodes (flannel.alpha.coreos.com)',
  },
  'node-name': {
    type: 'string',
    value: 'NAME',
    help: "Kubernetes' name of this node ($NODE_NAME, that of pod $POD_NAMESPACE/$POD_NAME, or the host's)",
  },
  'net-config': {
    type: 'string',
    value: 'FILE',
    help: 'network configuration, instead of the key "config" in etcd (Kubernetes: /etc/kube-flannel/net-conf.json)',
  },
  database: {
    type: 'string',
    value: 'FILE',
    help: 'leases of a single node without etcd (/var/lib/amphipod/agent.db)',
  },
} as const;

type LeaseValues = OptionValues<typeof leaseOptions>;

/** Where leases and the network configuration come from. */
export interface AgentLeases extends Pick<AgentOptions, 'leases' | 'readConfig'>, AsyncDisposable {}

interface Surroundings {
  env: NodeJS.ProcessEnv;
  log: AgentOptions['log'];
}

/** @throws UsageError for options that contradict each other; FabricError `invalid-config` */
export function openLeases(values: LeaseValues, surroundings: Surroundings): AgentLeases {
  const kinds = (['etcd-endpoints', 'kube', 'kubeconfig', 'database'] as const).filter(
    (name) => values[name],
  );
  if (kinds.length > 1) throw new UsageError(`--${kinds[1]}: not with --${kinds[0]}`);
  return values.kube || values.kubeconfig !== undefined
    ? openKubernetes(values, surroundings)
    : openDatastore(values);
}

function openKubernetes(values: LeaseValues, { env, log }: Surroundings): AgentLeases {
  const config =
    values.kubeconfig === undefined ? inClusterConfig({ env }) : readKubeconfig(values.kubeconfig);
  const client = new KubernetesClient(config);
  const prefix = values['kube-annotation-prefix'];
  return {
    leases: openNodeLeases({
      client,
      node: nodeOf(values, env),
      ...(prefix !== undefined && { annotationPrefix: prefix }),
      onRetry: (error) => log.warn(`${(error as Error).message}; trying again`),
    }),
    readConfig: configFromFile(values['net-config'] ?? '/etc/kube-flannel/net-conf.json'),
    [Symbol.asyncDispose]: async () => client[Symbol.dispose](),
  };
}

/** As flanneld finds it; outside of a pod the name that a kubelet takes when it is given none. */
function nodeOf(values: LeaseValues, env: NodeJS.ProcessEnv): Parameters<typeof openNodeLeases>[0]['node'] {
  const { NODE_NAME, POD_NAMESPACE: namespace, POD_NAME: name } = env;
  const nodeName = values['node-name'] ?? NODE_NAME;
  if (nodeName) return nodeName;
  return namespace && name ? { namespace, name } : hostname().toLowerCase();
}

function openDatastore(values: LeaseValues): AgentLeases {
  const file = values['net-config'];
  const store = openStore(values);
  const keys = { store, prefix: (values['etcd-prefix'] ?? '/coreos.com/network').replace(/\/+$/, '') };
  return {
    leases: openDatastoreLeases(keys),
    readConfig: file === undefined ? () => readNetworkConfig(keys) : configFromFile(file),
    [Symbol.asyncDispose]: () => store[Symbol.asyncDispose](),
  };
}

function configFromFile(file: string): AgentOptions['readConfig'] {
  return async () => parseNetworkConfig(readFileSync(file, 'utf8'), file);
}

function openStore(values: LeaseValues): Datastore {
  const endpoints = values['etcd-endpoints'];
  if (endpoints === undefined) {
    if (values['net-config'] === undefined) {
      throw new UsageError('give --etcd-endpoints, --kube, --kubeconfig or --net-config');
    }
    const file = values.database ?? '/var/lib/amphipod/agent.db';
    mkdirSync(dirname(file), { recursive: true });
    return openEmbeddedDatastore(file);
  }
  const [ca, cert, key] = [values['etcd-cafile'], values['etcd-certfile'], values['etcd-keyfile']];
  if ((cert === undefined) !== (key === undefined)) {
    throw new UsageError('--etcd-certfile and --etcd-keyfile: give both or neither');
  }
  return openEtcdDatastore({
    endpoints: endpoints.split(','),
    tls: {
      ...(ca !== undefined && { ca: readFileSync(ca) }),
      ...(cert !== undefined && { cert: readFileSync(cert) }),
      ...(key !== undefined && { key: readFileSync(key) }),
    },
  });
}
