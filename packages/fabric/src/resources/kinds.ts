import type { Entry } from '../datastore/datastore.ts';
import { type BgpConfiguration, bgpConfiguration } from './bgp-configuration.ts';
import { type BgpFilter, bgpFilter } from './bgp-filter.ts';
import { type BgpPeer, bgpPeer } from './bgp-peer.ts';
import { type ClusterInformation, clusterInformation } from './cluster-information.ts';
import { formatGoJson } from './go-json.ts';
import { type IpPool, ipPool, withPoolDefaults } from './ip-pool.ts';
import { type IpReservation, ipReservation } from './ip-reservation.ts';
import {
  formatIpamConfig,
  type IpamConfiguration,
  ipamConfigKey,
  ipamConfiguration,
  ipamConfigurationSpec,
} from './ipam-config.ts';
import {
  type BlockAffinityResource,
  blockAffinityKind,
  type IpamBlockResource,
  type IpamHandleResource,
  ipamBlockKind,
  ipamHandleKind,
} from './ipam-kinds.ts';
import { apiVersion, type Resource } from './metadata.ts';
import { type Node, node } from './node.ts';
import type { Schema } from './schema.ts';
import { parseStored, storedPlace } from './stored.ts';
import { type WorkloadEndpoint, workloadEndpoint } from './workload-endpoint.ts';

const ROOT = '/calico/resources/v3/projectcalico.org/';

/** The type of each kind of resource. */
export interface Resources {
  IPPool: IpPool;
  IPReservation: IpReservation;
  BGPConfiguration: BgpConfiguration;
  BGPPeer: BgpPeer;
  BGPFilter: BgpFilter;
  Node: Node;
  WorkloadEndpoint: WorkloadEndpoint;
  ClusterInformation: ClusterInformation;
  IPAMConfiguration: IpamConfiguration;
  BlockAffinity: BlockAffinityResource;
  IPAMBlock: IpamBlockResource;
  IPAMHandle: IpamHandleResource;
}

export type KindName = keyof Resources;

/** What is the same for all resources of a kind. */
export interface Kind<R extends Resource = Resource> {
  readonly kind: string;
  /** What people call it, in lower case: `ippool`, `ippools`. */
  readonly names: readonly string[];
  readonly isNamespaced: boolean;
  /** Kept by the allocator: nobody else writes it. */
  readonly isInternal: boolean;
  /** Of all resources of the kind, or those of a namespace. */
  prefix(namespace?: string): string;
  key(name: string, namespace?: string): string;
  /** Undefined for an entry below the prefix that is something else. @throws FabricError `invalid-resource` */
  decode(entry: Entry): R | undefined;
  /** Reads what a person wrote. @throws FabricError `invalid-resource` */
  readonly schema: Schema<R>;
  /** The datastore's value. */
  encode(resource: R): string;
}

interface StoredKind<R extends Resource> {
  kind: R['kind'];
  plural: string;
  shortNames?: readonly string[];
  isNamespaced?: boolean;
  schema: Schema<R>;
  /** Writes out what was not given, where Calico does. */
  withDefaults?: (resource: R) => R;
}

function storedKind<R extends Resource>(options: StoredKind<R>): Kind<R> {
  const {
    kind,
    plural,
    shortNames = [],
    isNamespaced = false,
    schema,
    withDefaults = (same) => same,
  } = options;
  const prefix = (namespace?: string) =>
    isNamespaced && namespace !== undefined ? `${ROOT}${plural}/${namespace}/` : `${ROOT}${plural}/`;
  return {
    kind,
    names: [kind.toLowerCase(), plural, ...shortNames],
    isNamespaced,
    isInternal: false,
    prefix,
    key: (name, namespace) => `${prefix(namespace)}${name}`,
    schema: { read: (value, place) => withDefaults(schema.read(value, place)) },
    decode(entry) {
      const place = storedPlace(entry.key);
      const read = schema.read(
        parseStored(place, () => JSON.parse(entry.value)),
        place,
      );
      return withRevision(withDefaults(read), entry.revision);
    },
    encode(resource) {
      const place = {
        what: `write ${kind} ${JSON.stringify(resource.metadata.name)}`,
        path: '',
        isStrict: false,
      };
      const {
        metadata: { resourceVersion: _revision, ...metadata },
        ...rest
      } = withDefaults(schema.read(resource, place));
      return formatGoJson({ kind, apiVersion, metadata, spec: rest.spec, status: rest.status });
    },
  };
}

function withRevision<R extends Resource>(resource: R, revision: bigint): R {
  return { ...resource, metadata: { ...resource.metadata, resourceVersion: `${revision}` } };
}

const ipamConfigurationKind: Kind<IpamConfiguration> = {
  kind: 'IPAMConfiguration',
  names: ['ipamconfiguration', 'ipamconfigurations', 'ipamconfig', 'ipamconfigs'],
  isNamespaced: false,
  isInternal: false,
  prefix: () => ipamConfigKey,
  key: () => ipamConfigKey,
  schema: ipamConfiguration,
  decode: ({ key, value, revision }) =>
    key !== ipamConfigKey
      ? undefined
      : {
          kind: 'IPAMConfiguration',
          apiVersion,
          metadata: { name: 'default', resourceVersion: `${revision}` },
          spec: ipamConfigurationSpec(value),
        },
  encode: ({ spec }) => formatIpamConfig(spec),
};

/** All kinds, by name. */
export const kinds: { readonly [K in KindName]: Kind<Resources[K]> } = {
  IPPool: storedKind<IpPool>({
    kind: 'IPPool',
    plural: 'ippools',
    shortNames: ['pool', 'pools'],
    schema: ipPool,
    withDefaults: withPoolDefaults,
  }),
  IPReservation: storedKind<IpReservation>({
    kind: 'IPReservation',
    plural: 'ipreservations',
    schema: ipReservation,
  }),
  BGPConfiguration: storedKind<BgpConfiguration>({
    kind: 'BGPConfiguration',
    plural: 'bgpconfigurations',
    shortNames: ['bgpconfig', 'bgpconfigs'],
    schema: bgpConfiguration,
  }),
  BGPPeer: storedKind<BgpPeer>({ kind: 'BGPPeer', plural: 'bgppeers', schema: bgpPeer }),
  BGPFilter: storedKind<BgpFilter>({ kind: 'BGPFilter', plural: 'bgpfilters', schema: bgpFilter }),
  Node: storedKind<Node>({ kind: 'Node', plural: 'nodes', schema: node }),
  WorkloadEndpoint: storedKind<WorkloadEndpoint>({
    kind: 'WorkloadEndpoint',
    plural: 'workloadendpoints',
    shortNames: ['wep', 'weps'],
    isNamespaced: true,
    schema: workloadEndpoint,
  }),
  ClusterInformation: storedKind<ClusterInformation>({
    kind: 'ClusterInformation',
    plural: 'clusterinformations',
    shortNames: ['clusterinfo', 'clusterinfos'],
    schema: clusterInformation,
  }),
  IPAMConfiguration: ipamConfigurationKind,
  BlockAffinity: blockAffinityKind,
  IPAMBlock: ipamBlockKind,
  IPAMHandle: ipamHandleKind,
};

/** The kind that people call so: `IPPool`, `ippools`; undefined for an unknown one. */
export function findKind(name: string): Kind | undefined {
  const lower = name.toLowerCase();
  return Object.values(kinds).find(({ names }) => names.includes(lower)) as Kind | undefined;
}
