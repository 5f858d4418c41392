import type { Selector } from '../../selector/selector.ts';

/**
 * Labels that we add have a character that no label of a document can have, so that nobody can pretend to them.
 * `ns:KEY` and `sa:KEY` are the labels of the namespace and of the service account.
 */
export const KIND = '@kind';
export const NAMESPACE = '@namespace';
export const SERVICE_ACCOUNT = '@serviceaccount';
const RESERVED = /[@:]/;

export const isPod: Selector = { is: 'equal', key: KIND, value: 'pod' };

export function inNamespace(name: string): Selector {
  return { is: 'equal', key: NAMESPACE, value: name };
}

export const inSomeNamespace: Selector = { is: 'has', key: NAMESPACE };

/** What a pod or a network set is selected by. */
export interface LabelSources {
  kind: 'pod' | 'network-set';
  labels: Readonly<Record<string, string>>;
  /** Absent for global network sets. */
  namespace?: string;
  namespaceLabels?: Readonly<Record<string, string>>;
  serviceAccount?: string;
  serviceAccountLabels?: Readonly<Record<string, string>>;
}

/** All of it in one map, with the labels that Calico adds. */
export function itemLabels(sources: LabelSources): Map<string, string> {
  const { namespace, serviceAccount } = sources;
  const labels = new Map(Object.entries(sources.labels).filter(([key]) => !RESERVED.test(key)));
  labels.set(KIND, sources.kind);
  if (namespace !== undefined) {
    labels.set(NAMESPACE, namespace).set('projectcalico.org/namespace', namespace);
    // Also for a namespace that nobody has described.
    const known = { 'kubernetes.io/metadata.name': namespace, ...sources.namespaceLabels };
    for (const [key, value] of Object.entries(known)) labels.set(`ns:${key}`, value);
    labels.set('ns:projectcalico.org/name', namespace);
  }
  if (sources.kind === 'pod') labels.set('projectcalico.org/orchestrator', 'k8s');
  if (serviceAccount !== undefined) {
    labels.set(SERVICE_ACCOUNT, serviceAccount).set('projectcalico.org/serviceaccount', serviceAccount);
    for (const [key, value] of Object.entries(sources.serviceAccountLabels ?? {}))
      labels.set(`sa:${key}`, value);
    labels.set('sa:projectcalico.org/name', serviceAccount);
  }
  return labels;
}
