import { findKind, type Kind, type Resource } from '@amphipod/fabric';
import { UsageError } from '../errors.ts';

/** `IPPool "blue"`, `WorkloadEndpoint "default/x"` */
export function subjectOf({ kind, metadata: { name, namespace } }: Resource): string {
  return `${kind} ${JSON.stringify(namespace === undefined ? name : `${namespace}/${name}`)}`;
}

/** @throws UsageError for a word that names no kind */
export function kindOf(word: string): Kind {
  const kind = findKind(word);
  if (kind === undefined) throw new UsageError(`unknown kind "${word}": ippools, bgppeers, nodes and so on`);
  return kind;
}

/** The option that names a namespace. */
export const namespaceOption = {
  namespace: { type: 'string', short: 'n', value: 'NAME', help: 'namespace of WorkloadEndpoints (default)' },
} as const;

/** The namespace that names are looked up in. */
export function namespaceOf(kind: Kind, given: string | undefined): { namespace?: string } {
  return kind.isNamespaced ? { namespace: given ?? 'default' } : {};
}
