import {
  asNumber,
  cidr,
  community,
  duration,
  interfacePattern,
  ipAddress,
  isCommunity,
  objectName,
  port,
} from './fields.ts';
import { type Resource, resource } from './metadata.ts';
import { type Place, placeOf, refusal } from './place.ts';
import {
  flag,
  integer,
  list,
  nullable,
  type ObjectOf,
  object,
  oneOf,
  optional,
  required,
  text,
} from './schema.ts';

const MAX_PRIORITY = 2_147_483_646;
const SEVERITY = /^(?:trace|debug|info|warning|error|fatal)$/i;

const ranges = list(object({ cidr: optional(cidr()) }));

/** A key of a Kubernetes secret. */
export const bgpPassword = object({
  secretKeyRef: nullable(object({ name: optional(text()), key: required(text()), optional: nullable(flag) })),
});

const fields = {
  /** Trace, Debug, Info, Warning, Error or Fatal; Info unless given. */
  logSeverityScreen: optional(
    text((value) =>
      SEVERITY.test(value) ? undefined : 'must be Trace, Debug, Info, Warning, Error or Fatal',
    ),
  ),
  /** Every node peers with every other; true unless given. */
  nodeToNodeMeshEnabled: nullable(flag),
  /** Of nodes that have none of their own; 64512 unless given. */
  asNumber: nullable(asNumber),
  serviceLoadBalancerIPs: optional(ranges),
  serviceExternalIPs: optional(ranges),
  serviceClusterIPs: optional(ranges),
  serviceLoadBalancerAggregation: nullable(oneOf('Enabled', 'Disabled')),
  /** Names for communities, used in `prefixAdvertisements`. */
  communities: optional(list(object({ name: required(objectName), value: required(community) }))),
  prefixAdvertisements: optional(
    list(object({ cidr: required(cidr()), communities: optional(list(text())) })),
  ),
  /** 179 unless given. */
  listenPort: optional(port),
  /** Of the mesh. Only in `default`. */
  nodeMeshPassword: nullable(bgpPassword),
  /** Graceful restart time of the mesh's sessions; BIRD's 120 s unless given. Only in `default`. */
  nodeMeshMaxRestartTime: nullable(duration),
  /** None listens on all addresses, NodeIP on the node's own. */
  bindMode: nullable(oneOf('None', 'NodeIP')),
  /** Interfaces whose routes are not read; `*` for any characters. */
  ignoredInterfaces: optional(list(interfacePattern)),
  localWorkloadPeeringIPV4: optional(ipAddress(4)),
  localWorkloadPeeringIPV6: optional(ipAddress(6)),
  /** Which routes to other nodes' pods BGP writes; EnabledNoEncapOnly unless given. */
  programClusterRoutes: nullable(oneOf('Enabled', 'Disabled', 'EnabledIPIPOnly', 'EnabledNoEncapOnly')),
  ipv4NormalRoutePriority: nullable(integer(1, MAX_PRIORITY)),
  ipv6NormalRoutePriority: nullable(integer(1, MAX_PRIORITY)),
};

export type BgpConfigurationSpec = ObjectOf<typeof fields>;
export type BgpConfiguration = Resource<'BGPConfiguration', BgpConfigurationSpec>;

/** BGP of all nodes (`default`), or of one (`node.NAME`). */
export const bgpConfiguration = resource('BGPConfiguration', object(fields, check));

function check(spec: BgpConfigurationSpec, place: Place): void {
  const at = (key: keyof BgpConfigurationSpec) => placeOf(place, key);
  if (spec.nodeToNodeMeshEnabled === false) {
    for (const key of ['nodeMeshPassword', 'nodeMeshMaxRestartTime'] as const) {
      if (spec[key] === undefined) continue;
      throw refusal(at(key), undefined, 'cannot be where nodeToNodeMeshEnabled is false');
    }
  }
  const [communities, advertisements] = [spec.communities ?? [], spec.prefixAdvertisements ?? []];
  if (communities.length > 0 && advertisements.length === 0) {
    throw refusal(at('communities'), undefined, 'are used by no prefixAdvertisements');
  }
  const names = new Set(communities.map(({ name }) => name));
  for (const [i, advertisement] of advertisements.entries()) {
    const here = placeOf(placeOf(at('prefixAdvertisements'), i), 'communities');
    if (advertisement.communities === undefined) throw refusal(here, undefined, 'must be given');
    for (const [j, one] of advertisement.communities.entries()) {
      if (isCommunity(one) || names.has(one)) continue;
      throw refusal(placeOf(here, j), one, 'is neither a community nor the name of one in spec.communities');
    }
  }
}
