import { hash } from 'node:crypto';
import { type PluginRequest, parseArgs } from '@amphipod/cni';

const PREFIX = 'cali';
const NAME_LENGTH = 11;

/** What an attachment is of: a pod of Kubernetes, or anything else that has a network namespace. */
export interface Workload {
  readonly node: string;
  readonly orchestrator: 'k8s' | 'cni';
  readonly namespace: string;
  /** Only of a pod. */
  readonly pod?: string;
  readonly containerID: string;
  /** The interface in the pod. */
  readonly endpoint: string;
}

/** CNI_ARGS, as kubelets and their runtimes write them. @throws CniError invalid-environment */
export function readCalicoArgs(args: string) {
  return parseArgs(args, [
    'K8S_POD_NAMESPACE',
    'K8S_POD_NAME',
    'K8S_POD_INFRA_CONTAINER_ID',
    'K8S_POD_UID',
    'IP',
    'MAC',
  ]);
}

/** Reads it from the request: K8S_POD_NAMESPACE and K8S_POD_NAME in CNI_ARGS tell of a pod. */
export function readWorkload({ args, containerID, ifName }: PluginRequest, node: string): Workload {
  const { K8S_POD_NAMESPACE: namespace = '', K8S_POD_NAME: pod = '' } = readCalicoArgs(args);
  const common = { node, containerID, endpoint: ifName };
  return namespace !== '' && pod !== ''
    ? { ...common, orchestrator: 'k8s', namespace, pod }
    : { ...common, orchestrator: 'cni', namespace: 'default' };
}

/** `cali` and eleven digits: what Calico calls the host's end, and what policy finds it by. A pod's name stays over its restarts. */
export function hostVethName({ orchestrator, namespace, pod, containerID }: Workload): string {
  const id = orchestrator === 'k8s' ? hash('sha1', `${namespace}.${pod}`) : containerID;
  return `${PREFIX}${id.slice(0, NAME_LENGTH)}`;
}

/** `NETWORK.CONTAINER`, the handle that counts an attachment's addresses. */
export function handleOf(network: string, containerID: string): string {
  return `${network}.${containerID}`;
}

/** What Calico calls the pod's WorkloadEndpoint: `NODE-k8s-POD-eth0`, the dashes of each part doubled. */
export function endpointName({ node, orchestrator, pod, containerID, endpoint }: Workload): string {
  const parts = [node, orchestrator, pod ?? containerID, endpoint];
  return parts.map((part) => part.replaceAll('-', '--')).join('-');
}
