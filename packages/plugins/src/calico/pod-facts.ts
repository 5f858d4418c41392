import type { WorkloadEndpoint } from '@amphipod/fabric/client';
import type { Workload } from './workload.ts';

/** The parts of a Kubernetes pod that we look at. */
export interface KubernetesPod {
  metadata?: {
    labels?: Record<string, string>;
    annotations?: Record<string, string>;
    generateName?: string;
  };
  spec?: {
    serviceAccountName?: string;
    containers?: { ports?: ContainerPort[] }[];
    initContainers?: { ports?: ContainerPort[] }[];
  };
}

interface ContainerPort {
  name?: string;
  containerPort?: number;
  hostPort?: number;
  hostIP?: string;
  protocol?: string;
}

export interface KubernetesNamespace {
  metadata?: { labels?: Record<string, string>; annotations?: Record<string, string> };
}

/** What is known of a pod beside its name. */
export interface PodFacts {
  readonly annotations: Readonly<Record<string, string>>;
  readonly labels: Readonly<Record<string, string>>;
  /** For the pools' `namespaceSelector`. */
  readonly namespaceLabels: Readonly<Record<string, string>>;
  readonly profiles: readonly string[];
  readonly ports: NonNullable<WorkloadEndpoint['spec']['ports']>;
  readonly serviceAccount?: string;
  readonly generateName?: string;
}

/** Annotations that a namespace has for all of its pods; a pod's own beat them. */
const OF_NAMESPACE = ['ipv4pools', 'ipv6pools', 'ipFamilies'].map((name) => `cni.projectcalico.org/${name}`);
const PROTOCOLS = ['TCP', 'UDP', 'SCTP'];

/** What Calico's endpoint says of a pod that Kubernetes knows. */
export function factsOf(pod: KubernetesPod, ns: KubernetesNamespace, { namespace }: Workload): PodFacts {
  const { labels = {}, annotations = {}, generateName } = pod.metadata ?? {};
  const serviceAccount = pod.spec?.serviceAccountName || undefined;
  const ofNamespace = Object.entries(ns.metadata?.annotations ?? {}).filter(([name]) =>
    OF_NAMESPACE.includes(name),
  );
  const own = Object.entries(annotations).filter(([, value]) => value !== '');
  return {
    annotations: Object.fromEntries([...ofNamespace, ...own]),
    labels: {
      ...labels,
      ...(serviceAccount !== undefined && { 'projectcalico.org/serviceaccount': serviceAccount }),
    },
    namespaceLabels: ns.metadata?.labels ?? {},
    profiles: [
      `kns.${namespace}`,
      ...(serviceAccount === undefined ? [] : [`ksa.${namespace}.${serviceAccount}`]),
    ],
    ports: portsOf(pod),
    ...(serviceAccount !== undefined && { serviceAccount }),
    ...(generateName !== undefined && { generateName }),
  };
}

/** Ports with a name, and those of the host. */
function portsOf({ spec = {} }: KubernetesPod): PodFacts['ports'] {
  const containers = [...(spec.initContainers ?? []), ...(spec.containers ?? [])];
  return containers
    .flatMap(({ ports = [] }) => ports)
    .filter(({ containerPort, hostPort, name }) => containerPort && (hostPort || name))
    .map(({ name = '', protocol = 'TCP', containerPort, hostPort = 0, hostIP = '' }) => ({
      name,
      protocol,
      port: containerPort!,
      hostPort,
      hostIP,
    }))
    .filter(({ protocol }) => PROTOCOLS.includes(protocol));
}
