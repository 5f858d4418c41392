import type { Fields } from './fields.ts';
import { readCalicoRule } from './read-calico-rule.ts';
import { readCalicoSelector, readNamespaceSelector } from './read-label-selector.ts';
import { readCidrs } from './read-values.ts';
import type {
  CalicoPolicyResource,
  Direction,
  NetworkSetResource,
  ResourceOrigin,
  TierResource,
} from './resources.ts';

/** Orders and default actions of the tiers that are always there. */
export const builtInTiers = {
  'kube-admin': { order: 1000, defaultAction: 'pass' },
  default: { order: 1_000_000, defaultAction: 'deny' },
  'kube-baseline': { order: 10_000_000, defaultAction: 'pass' },
} as const;

const common = [
  'tier',
  'order',
  'selector',
  'serviceAccountSelector',
  'types',
  'ingress',
  'egress',
  'performanceHints',
];

/** Reads (Staged)NetworkPolicy and (Staged)GlobalNetworkPolicy of projectcalico.org/v3. @throws FabricError `invalid-config` */
export function parseCalicoPolicy(document: Fields, origin: ResourceOrigin): CalicoPolicyResource {
  const spec = document.need('spec', document.object('spec'));
  const isGlobal = origin.namespace === undefined;
  const isStaged = origin.kind.startsWith('Staged');
  const forGlobal = ['namespaceSelector', 'doNotTrack', 'preDNAT', 'applyOnForward'];
  spec.allowOnly(...common, ...(isGlobal ? forGlobal : []), ...(isStaged ? ['stagedAction'] : []));
  const order = spec.number('order');
  const namespaceSelector = readNamespaceSelector(spec, 'namespaceSelector');
  const serviceAccountSelector = readCalicoSelector(spec, 'serviceAccountSelector');
  return {
    type: 'calico-policy',
    origin,
    tier: spec.string('tier') ?? 'default',
    ...(order !== undefined && { order }),
    selector: readCalicoSelector(spec, 'selector') ?? { is: 'all' },
    ...(namespaceSelector && { namespaceSelector }),
    ...(serviceAccountSelector && { serviceAccountSelector }),
    directions: readDirections(spec),
    ingress: spec.list('ingress')?.map((rule) => readCalicoRule(rule, 'ingress')) ?? [],
    egress: spec.list('egress')?.map((rule) => readCalicoRule(rule, 'egress')) ?? [],
    isStaged,
    isForHosts: isForHosts(spec),
  };
}

/** Egress alone when there are only egress rules; ingress otherwise, both when there are both. */
function readDirections(spec: Fields): Direction[] {
  const types = spec.strings('types') ?? [];
  for (const type of types) {
    if (type !== 'Ingress' && type !== 'Egress') {
      throw spec.refusal('types', `${JSON.stringify(type)} must be Ingress or Egress`);
    }
  }
  const has = (key: string) => (spec.list(key) ?? []).length > 0;
  if (types.length === 0) {
    if (!has('egress')) return ['ingress'];
    return has('ingress') ? ['ingress', 'egress'] : ['egress'];
  }
  return (['ingress', 'egress'] as const).filter((one) => types.some((type) => type.toLowerCase() === one));
}

/** Rules that run before connection tracking or address translation concern host endpoints alone. */
function isForHosts(spec: Fields): boolean {
  const [doNotTrack, preDnat] = [spec.boolean('doNotTrack') ?? false, spec.boolean('preDNAT') ?? false];
  const applyOnForward = spec.boolean('applyOnForward');
  if (doNotTrack && preDnat) throw spec.refusal('preDNAT', 'not together with doNotTrack');
  if ((doNotTrack || preDnat) && applyOnForward === false) {
    throw spec.refusal('applyOnForward', `must be true with ${doNotTrack ? 'doNotTrack' : 'preDNAT'}`);
  }
  if (preDnat && (spec.list('egress') ?? []).length > 0) {
    throw spec.refusal('egress', 'must be empty with preDNAT');
  }
  return doNotTrack || preDnat;
}

/** @throws FabricError `invalid-config` */
export function parseTier(document: Fields, origin: ResourceOrigin): TierResource {
  const spec = document.object('spec');
  spec?.allowOnly('order', 'defaultAction');
  const order = spec?.number('order');
  const given = spec?.word('defaultAction', ['Deny', 'Pass']);
  if (Object.hasOwn(builtInTiers, origin.name)) {
    const { order: fixed, defaultAction } = builtInTiers[origin.name as keyof typeof builtInTiers];
    if (order !== undefined && order !== fixed) throw spec!.refusal('order', `must be ${fixed}`);
    if (given !== undefined && given.toLowerCase() !== defaultAction) {
      throw spec!.refusal('defaultAction', `must be ${defaultAction === 'deny' ? 'Deny' : 'Pass'}`);
    }
    return { type: 'tier', origin, order: fixed, defaultAction };
  }
  return {
    type: 'tier',
    origin,
    ...(order !== undefined && { order }),
    defaultAction: given === 'Pass' ? 'pass' : 'deny',
  };
}

/** NetworkSet and GlobalNetworkSet. @throws FabricError `invalid-config` */
export function parseNetworkSet(document: Fields, origin: ResourceOrigin): NetworkSetResource {
  const spec = document.object('spec');
  spec?.allowOnly('nets', 'allowedEgressDomains');
  return {
    type: 'network-set',
    origin,
    labels: document.object('metadata')!.stringMap('labels'),
    nets: (spec && readCidrs(spec, 'nets', { allowsAddresses: true })) ?? [],
  };
}
