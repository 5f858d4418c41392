import { type Cidr, formatCidr, tryParseCidr } from '@amphipod/netlink';
import { formatGoJson, parseBigJson } from './go-json.ts';
import { timestamp } from './metadata.ts';
import { type Place, placeOf, refusal } from './place.ts';
import { always, flag, integer, list, map, nullable, object, optional, type Schema, text } from './schema.ts';
import { parseStored, storedPlace } from './stored.ts';

const MAX_BLOCK = 65_536;
const PREFIX = '/calico/ipam/v2/assignment/';
const KEY = /^\/calico\/ipam\/v2\/assignment\/ipv[46]\/block\/([^/]+)-(\d+)$/;

/** Whose an allocated address is. */
export interface AllocationAttribute {
  readonly handle_id?: string;
  /** The owner: `namespace`, `pod`, `node`, `timestamp`, and for addresses of the host `type`. */
  readonly secondary?: Readonly<Record<string, string>>;
  readonly alternateOwnerAttrs?: Readonly<Record<string, string>>;
  /** The address was given back at this time and cools down. */
  readonly releasedAt?: string;
}

/** A block of addresses, as one entry of the datastore holds it. The n-th address has the ordinal n. */
export interface IpamBlock {
  readonly cidr: string;
  /** `host:NODE` of the node that the block belongs to; null when it belongs to none. */
  readonly affinity: string | null;
  readonly affinity_claim_time?: string;
  /** For each ordinal the index of its attribute, null for a free one. */
  readonly allocations: readonly (number | null)[];
  /** Free ordinals in the order in which they are given out. */
  readonly unallocated: readonly number[];
  readonly attributes: readonly AllocationAttribute[];
  /** Grows with every write. */
  readonly sequenceNumber: bigint;
  /** For each allocated ordinal the block's sequence number when it was allocated. */
  readonly sequenceNumberForAllocation: Readonly<Record<string, bigint>>;
  readonly deleted: boolean;
}

const big: Schema<bigint> = {
  read(value, place) {
    if (typeof value === 'bigint') return value;
    throw refusal(place, value, 'must be a whole number');
  },
};

const orNull = <T>(schema: Schema<T>): Schema<T | null> => ({
  read: (value, place) => (value === null ? null : schema.read(value, place)),
});

const schema: Schema<IpamBlock> = object(
  {
    cidr: always(text(), ''),
    affinity: always(orNull(text()), null),
    affinity_claim_time: optional(timestamp),
    allocations: always(list(orNull(integer(0, MAX_BLOCK))), []),
    unallocated: always(list(integer(0, MAX_BLOCK)), []),
    attributes: always(
      list(
        object({
          handle_id: nullable(text()),
          secondary: optional(map(text())),
          alternateOwnerAttrs: optional(map(text())),
          releasedAt: nullable(timestamp),
        }),
      ),
      [],
    ),
    sequenceNumber: always(big, 0n),
    sequenceNumberForAllocation: always(map(big), {}),
    deleted: always(flag, false),
  },
  check,
);

/** `/calico/ipam/v2/assignment/ipv4/block/`, the prefix of all blocks of a family. */
export function blocksPrefix(family: 4 | 6): string {
  return `${PREFIX}ipv${family}/block/`;
}

/** `/calico/ipam/v2/assignment/ipv4/block/10.0.0.0-26` */
export function blockKey(cidr: Cidr): string {
  return `${blocksPrefix(cidr.ip.family)}${formatCidr(cidr).replace('/', '-')}`;
}

/** The block's network, read from its key; undefined for a key of another kind. */
export function parseBlockKey(key: string): Cidr | undefined {
  const [, ip, prefix] = KEY.exec(key) ?? [];
  return ip === undefined ? undefined : tryParseCidr(`${ip}/${prefix}`);
}

/** @param key for errors. @throws FabricError `invalid-resource` */
export function parseBlock(json: string, key: string): IpamBlock {
  const place = storedPlace(key);
  const isBig = (name: string) => name === 'sequenceNumber' || /^\d+$/.test(name);
  return schema.read(
    parseStored(place, () => parseBigJson(json, isBig)),
    place,
  );
}

/** The block's entry as Calico writes it. */
export function formatBlock(block: IpamBlock): string {
  return formatGoJson(block);
}

function check(block: IpamBlock, place: Place): void {
  const cidr = tryParseCidr(block.cidr);
  if (cidr === undefined) throw refusal(placeOf(place, 'cidr'), block.cidr, 'must be a network');
  const size = block.allocations.length;
  if (size !== 2 ** ((cidr.ip.family === 4 ? 32 : 128) - cidr.prefix)) {
    throw refusal(
      placeOf(place, 'allocations'),
      undefined,
      `has ${size} entries, which is not the size of ${block.cidr}`,
    );
  }
  const stray = block.allocations.findIndex((index) => index !== null && index >= block.attributes.length);
  if (stray >= 0) {
    throw refusal(
      placeOf(placeOf(place, 'allocations'), stray),
      block.allocations[stray],
      'is no index of attributes',
    );
  }
}
