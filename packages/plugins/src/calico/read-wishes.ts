import type { PluginRequest } from '@amphipod/cni';
import type { PluginHost } from '../lib/host.ts';
import { type PodWishes, readAnnotations } from './annotations.ts';
import { type CalicoConfig, readConfig } from './config.ts';
import { readPodFacts } from './kubernetes.ts';
import type { PodFacts } from './pod-facts.ts';
import type { CalicoSession } from './session.ts';
import { readWorkload } from './workload.ts';

/** What configuration, runtime and Kubernetes say of an attachment. */
export interface AttachmentWishes {
  config: CalicoConfig;
  /** Undefined where Kubernetes is not asked. */
  facts: PodFacts | undefined;
  wishes: PodWishes;
}

/** @throws CniError invalid-network-config, try-again-later */
export async function readWishes(
  request: PluginRequest,
  host: PluginHost,
  { node }: CalicoSession,
): Promise<AttachmentWishes> {
  const config = readConfig(request);
  const workload = readWorkload(request, node);
  const { kubeconfig } = config;
  const isKnown = kubeconfig !== undefined && workload.orchestrator === 'k8s';
  const facts = isKnown
    ? await readPodFacts(host, kubeconfig, { workload, signal: request.signal })
    : undefined;
  return { config, facts, wishes: readAnnotations(config, facts) };
}
