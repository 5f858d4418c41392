import { type Cidr, formatCidr, tryParseCidr } from '@amphipod/netlink';
import { formatGoJson } from './go-json.ts';
import { always, flag, object, oneOf, type ValueOf } from './schema.ts';
import { parseStored, storedPlace } from './stored.ts';

const KEY = /^\/calico\/ipam\/v2\/(host|virtual)\/([^/]+)\/ipv[46]\/block\/([^/]+)-(\d+)$/;

const schema = object({
  state: always(oneOf('confirmed', 'pending', 'pendingDeletion'), 'confirmed'),
  deleted: always(flag, false),
});

/**
 * That a block belongs to a node, as an entry of its own, so that a node finds its blocks: pending before there is the block,
 * confirmed with it, pendingDeletion while it is given up.
 */
export type BlockAffinity = ValueOf<typeof schema>;

/** Whose block it is, and which. */
export interface AffinityId {
  readonly type: 'host' | 'virtual';
  readonly host: string;
  readonly cidr: Cidr;
}

/** `/calico/ipam/v2/host/`, the prefix of the affinities of all nodes. */
export const affinitiesPrefix = '/calico/ipam/v2/host/';

/** `/calico/ipam/v2/host/NODE/ipv4/block/`, the prefix of a node's affinities. */
export function hostAffinitiesPrefix(host: string, family: 4 | 6): string {
  return `${affinitiesPrefix}${host}/ipv${family}/block/`;
}

/** `/calico/ipam/v2/host/NODE/ipv4/block/10.0.0.0-26` */
export function affinityKey(host: string, cidr: Cidr): string {
  return `${hostAffinitiesPrefix(host, cidr.ip.family)}${formatCidr(cidr).replace('/', '-')}`;
}

/** What the key of an affinity says; undefined for a key of another kind. */
export function parseAffinityKey(key: string): AffinityId | undefined {
  const [, type, host, ip, prefix] = KEY.exec(key) ?? [];
  const cidr = tryParseCidr(`${ip}/${prefix}`);
  return type === undefined || cidr === undefined
    ? undefined
    : { type: type as AffinityId['type'], host: host!, cidr };
}

/** @param key for errors. @throws FabricError `invalid-resource` */
export function parseAffinity(json: string, key: string): BlockAffinity {
  const place = storedPlace(key);
  // Calico once wrote nothing.
  return schema.read(
    parseStored(place, () => JSON.parse(json || '{}')),
    place,
  );
}

/** The affinity's entry as Calico writes it. */
export function formatAffinity(affinity: BlockAffinity): string {
  return formatGoJson({ state: affinity.state, deleted: affinity.deleted });
}
