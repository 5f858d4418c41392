import { stringify } from 'yaml';
import { apiVersion, type Resource } from './metadata.ts';

/** Resources as YAML that {@link readDocuments} and calicoctl read: one alone, several as a list. */
export function formatYaml(resources: readonly Resource[]): string {
  return stringify(plain(resources.length === 1 ? resources[0] : listOf(resources)), { lineWidth: 0 });
}

/** Resources as JSON. */
export function formatJson(resources: readonly Resource[]): string {
  return `${JSON.stringify(plain(resources.length === 1 ? resources[0] : listOf(resources)), null, 2)}\n`;
}

function listOf(resources: readonly Resource[]): object {
  const [first] = resources;
  const isOne = first !== undefined && resources.every(({ kind }) => kind === first.kind);
  return isOne
    ? { apiVersion, kind: `${first.kind}List`, items: resources }
    : { apiVersion: 'v1', kind: 'List', items: resources };
}

/** Without what is undefined, and with long numbers as text: YAML readers round them else. */
function plain(value: unknown): unknown {
  return JSON.parse(
    JSON.stringify(value, (_key, inner: unknown) => (typeof inner === 'bigint' ? `${inner}` : inner)),
  );
}
