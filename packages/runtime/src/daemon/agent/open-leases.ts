import { mkdirSync, readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { dirname } from 'node:path';
import {
  type AgentOptions,
  inClusterConfig,
  KubernetesClient,
  openDatastoreLeases,
  openEmbeddedDatastore,
  openEtcdDatastore,
  openNodeLeases,
  parseNetworkConfig,
  readKubeconfig,
  readNetworkConfig,
  type ServedStore,
  serveDatastore,
} from '@amphipod/fabric';
import type { AgentConfig } from '../../config.ts';

/** What a node gets that was told nothing. */
const usualNetwork = '{"Network":"10.244.0.0/16","Backend":{"Type":"vxlan"}}';

/** Where leases and the network configuration come from. */
export interface OpenedLeases extends Pick<AgentOptions, 'leases' | 'readConfig'> {
  /** For people: `etcd at http://192.0.2.10:2379`. */
  datastore: string;
  /** Of keys, or of annotations. */
  prefix: string;
  /** What etcd clients are given, when the database is served. */
  endpoint?: string;
}

/** Opens what the settings name; `stack` closes it. @throws FabricError */
export async function openLeases(config: AgentConfig, stack: AsyncDisposableStack): Promise<OpenedLeases> {
  if (config.kube || config.kubeconfig !== '') return openKubernetes(config, stack);
  return config.etcdEndpoints.length > 0 ? openEtcd(config, stack) : await openDatabase(config, stack);
}

function openKubernetes(config: AgentConfig, stack: AsyncDisposableStack): OpenedLeases {
  const { kubeconfig, kubeAnnotationPrefix: prefix, netConfig } = config;
  const access = kubeconfig === '' ? inClusterConfig({ env: process.env }) : readKubeconfig(kubeconfig);
  const client = new KubernetesClient(access);
  stack.use(client);
  return {
    leases: openNodeLeases({ client, node: nodeOf(config), annotationPrefix: prefix }),
    readConfig: configFromFile(netConfig || '/etc/kube-flannel/net-conf.json'),
    datastore: `the nodes of the Kubernetes cluster${kubeconfig === '' ? '' : ` of ${kubeconfig}`}`,
    prefix,
  };
}

/** As flanneld finds it; outside of a pod the name that a kubelet takes when it is given none. */
function nodeOf({ nodeName }: AgentConfig): Parameters<typeof openNodeLeases>[0]['node'] {
  const { NODE_NAME, POD_NAMESPACE: namespace, POD_NAME: name } = process.env;
  const told = nodeName || NODE_NAME;
  if (told) return told;
  return namespace && name ? { namespace, name } : hostname().toLowerCase();
}

function openEtcd(config: AgentConfig, stack: AsyncDisposableStack): OpenedLeases {
  const { etcdEndpoints: endpoints, netConfig } = config;
  const prefix = prefixOf(config);
  const { etcdCafile: ca, etcdCertfile: cert, etcdKeyfile: key } = config;
  const tls = {
    ...(ca !== '' && { ca: readFileSync(ca) }),
    ...(cert !== '' && { cert: readFileSync(cert), key: readFileSync(key) }),
  };
  const keys = { store: stack.use(openEtcdDatastore({ endpoints, tls })), prefix };
  return {
    leases: openDatastoreLeases(keys),
    readConfig: netConfig === '' ? () => readNetworkConfig(keys) : configFromFile(netConfig),
    datastore: `etcd at ${endpoints.join(', ')}`,
    prefix,
  };
}

/** The file of this node, for itself or, served, for others too. */
async function openDatabase(config: AgentConfig, stack: AsyncDisposableStack): Promise<OpenedLeases> {
  const { database, netConfig, serve } = config;
  const prefix = prefixOf(config);
  mkdirSync(dirname(database), { recursive: true });
  const store = stack.use(openEmbeddedDatastore(database));
  const opened = {
    leases: openDatastoreLeases({ store, prefix }),
    readConfig:
      netConfig === '' ? async () => parseNetworkConfig(usualNetwork, 'default') : configFromFile(netConfig),
    datastore: `the file ${database}`,
    prefix,
  };
  if (serve === '') return opened;
  // Other nodes find it there.
  await publish(store, `${prefix}/config`, netConfig === '' ? usualNetwork : readFileSync(netConfig, 'utf8'));
  const endpoint = await serveStore(store, config, stack);
  return { ...opened, datastore: `${opened.datastore}, served at ${endpoint}`, endpoint };
}

function prefixOf({ etcdPrefix }: AgentConfig): string {
  return etcdPrefix.replace(/\/+$/, '');
}

function configFromFile(file: string): AgentOptions['readConfig'] {
  return async () => parseNetworkConfig(readFileSync(file, 'utf8'), file);
}

/** @throws FabricError for a text that is no network configuration */
async function publish(store: ServedStore, key: string, text: string): Promise<void> {
  parseNetworkConfig(text, key);
  if ((await store.get(key))?.value !== text) await store.put(key, text);
}

async function serveStore(
  store: ServedStore,
  config: AgentConfig,
  stack: AsyncDisposableStack,
): Promise<string> {
  const { serve: address, serveCafile: ca, serveCertfile: cert, serveKeyfile: key, serveOpen } = config;
  const tls =
    ca === '' ? {} : { tls: { ca: readFileSync(ca), cert: readFileSync(cert), key: readFileSync(key) } };
  return stack.use(await serveDatastore(store, { address, isOpen: serveOpen, ...tls })).endpoint;
}
