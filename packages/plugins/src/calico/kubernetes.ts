import { statSync } from 'node:fs';
import { CniError } from '@amphipod/cni';
import type { KubernetesClient } from '@amphipod/fabric/client';
import type { PluginHost } from '../lib/host.ts';
import { factsOf, type KubernetesNamespace, type KubernetesPod, type PodFacts } from './pod-facts.ts';
import type { Workload } from './workload.ts';

interface OpenClient {
  client: KubernetesClient;
  /** Tokens stand in the file itself, which is written anew when they are. */
  modifiedMs: number;
}

/** By host and kubeconfig: a connection takes longer to make than a pod to read. */
const clients = new WeakMap<PluginHost, Map<string, OpenClient>>();

/** Asks Kubernetes for a pod and its namespace. @throws CniError try-again-later while it does not answer */
export async function readPodFacts(
  host: PluginHost,
  kubeconfig: string,
  { workload, signal }: { workload: Workload; signal: AbortSignal },
): Promise<PodFacts> {
  const client = await openClient(host, kubeconfig);
  const { namespace, pod = '' } = workload;
  const path = `/api/v1/namespaces/${namespace}`;
  const [ns, found] = await Promise.all([
    client.get<KubernetesNamespace>({ what: `get namespace ${JSON.stringify(namespace)}`, path, signal }),
    client.get<KubernetesPod>({
      what: `get pod ${JSON.stringify(`${namespace}/${pod}`)}`,
      path: `${path}/pods/${pod}`,
      signal,
    }),
  ]);
  return factsOf(found, ns, workload);
}

async function openClient(host: PluginHost, kubeconfig: string): Promise<KubernetesClient> {
  const modifiedMs = modifiedAt(kubeconfig);
  const ofHost = clients.get(host) ?? new Map<string, OpenClient>();
  clients.set(host, ofHost);
  const known = ofHost.get(kubeconfig);
  if (known?.modifiedMs === modifiedMs) return known.client;
  const { createKubernetesClient } = await import('@amphipod/fabric/calico');
  const client = createKubernetesClient(kubeconfig);
  // Calls on the old one may be under way: it goes when they are done, with its idle connections.
  ofHost.set(kubeconfig, { client, modifiedMs });
  return client;
}

function modifiedAt(file: string): number {
  try {
    return statSync(file).mtimeMs;
  } catch (cause) {
    throw new CniError('invalid-network-config', `key "kubernetes.kubeconfig": ${(cause as Error).message}`, {
      key: 'kubernetes.kubeconfig',
      cause,
    });
  }
}
