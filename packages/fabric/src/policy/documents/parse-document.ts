import { type DocumentPlace, Fields, isObject, policyError } from './fields.ts';
import { parseAdminPolicy } from './parse-admin-policy.ts';
import { parseCalicoPolicy, parseNetworkSet, parseTier } from './parse-calico-policy.ts';
import { parseNetworkPolicy } from './parse-network-policy.ts';
import { parseNamespace, parsePod, parseServiceAccount } from './parse-pod.ts';
import type { Resource, ResourceKind, ResourceOrigin } from './resources.ts';

interface KindReader {
  kind: ResourceKind;
  group: ResourceOrigin['group'];
  isNamespaced: boolean;
  parse(document: Fields, origin: ResourceOrigin): Resource;
}

const calico = { group: 'projectcalico.org' } as const;
const cluster = { group: 'policy.networking.k8s.io', isNamespaced: false, parse: parseAdminPolicy } as const;
/** By `apiVersion kind`. */
const readers = new Map<string, KindReader>(
  Object.entries({
    'v1 Pod': { kind: 'Pod', group: 'core', isNamespaced: true, parse: parsePod },
    'v1 Namespace': { kind: 'Namespace', group: 'core', isNamespaced: false, parse: parseNamespace },
    'v1 ServiceAccount': {
      kind: 'ServiceAccount',
      group: 'core',
      isNamespaced: true,
      parse: parseServiceAccount,
    },
    'networking.k8s.io/v1 NetworkPolicy': {
      ...{ kind: 'NetworkPolicy', group: 'networking.k8s.io' },
      ...{ isNamespaced: true, parse: parseNetworkPolicy },
    },
    'projectcalico.org/v3 NetworkPolicy': calicoPolicy('NetworkPolicy', true),
    'projectcalico.org/v3 GlobalNetworkPolicy': calicoPolicy('GlobalNetworkPolicy', false),
    'projectcalico.org/v3 StagedNetworkPolicy': calicoPolicy('StagedNetworkPolicy', true),
    'projectcalico.org/v3 StagedGlobalNetworkPolicy': calicoPolicy('StagedGlobalNetworkPolicy', false),
    'projectcalico.org/v3 Tier': { kind: 'Tier', ...calico, isNamespaced: false, parse: parseTier },
    'projectcalico.org/v3 NetworkSet': {
      kind: 'NetworkSet',
      ...calico,
      isNamespaced: true,
      parse: parseNetworkSet,
    },
    'projectcalico.org/v3 GlobalNetworkSet': {
      ...{ kind: 'GlobalNetworkSet', ...calico },
      ...{ isNamespaced: false, parse: parseNetworkSet },
    },
    'policy.networking.k8s.io/v1alpha1 AdminNetworkPolicy': { kind: 'AdminNetworkPolicy', ...cluster },
    'policy.networking.k8s.io/v1alpha1 BaselineAdminNetworkPolicy': {
      ...{ kind: 'BaselineAdminNetworkPolicy', ...cluster },
    },
    'policy.networking.k8s.io/v1alpha2 ClusterNetworkPolicy': { kind: 'ClusterNetworkPolicy', ...cluster },
  } satisfies Record<string, KindReader>),
);

function calicoPolicy(kind: ResourceKind, isNamespaced: boolean): KindReader {
  return { kind, ...calico, isNamespaced, parse: parseCalicoPolicy };
}

// RFC 1123 subdomain, as object names are; Calico's may have a dot and a tier in front, which is one too.
const OBJECT_NAME = /^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/;

/**
 * Reads one document that has been parsed as YAML or JSON. A resource of a namespaced kind without a namespace is in `default`.
 * @throws FabricError `invalid-config` that names file, document, key path and value
 */
export function parseDocument(value: unknown, place: DocumentPlace): Resource {
  if (!isObject(value)) throw policyError(place, 'must be an object', { path: '', value });
  const document = new Fields(value, place);
  const apiVersion = document.need('apiVersion', document.string('apiVersion'));
  const kind = document.need('kind', document.string('kind'));
  const reader = readers.get(`${apiVersion} ${kind}`);
  if (reader === undefined) throw unknownKind(document, kind);
  const metadata = document.need('metadata', document.object('metadata'));
  const name = metadata.need('name', metadata.string('name'));
  if (!OBJECT_NAME.test(name)) throw metadata.refusal('name', 'must be lower case letters, digits, - and .');
  const namespace = metadata.string('namespace') ?? '';
  if (!reader.isNamespaced && namespace !== '') {
    throw metadata.refusal('namespace', `${kind} is in no namespace`);
  }
  const origin: ResourceOrigin = {
    ...place,
    kind: reader.kind,
    group: reader.group,
    name,
    ...(reader.isNamespaced && { namespace: namespace === '' ? 'default' : namespace }),
  };
  return reader.parse(document, origin);
}

function unknownKind(document: Fields, kind: string): Error {
  const versions = [...readers.keys()]
    .map((key) => key.split(' ') as [string, string])
    .filter(([, known]) => known === kind)
    .map(([version]) => version);
  return versions.length > 0
    ? document.refusal('apiVersion', `for ${kind} it must be ${versions.join(' or ')}`)
    : document.refusal('kind', 'is no kind that network policy reads');
}
