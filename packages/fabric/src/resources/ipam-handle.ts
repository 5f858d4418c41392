import { formatGoJson } from './go-json.ts';
import { always, flag, integer, map, object, type ValueOf } from './schema.ts';
import { parseStored, storedPlace } from './stored.ts';

const MAX_COUNT = 2 ** 31 - 1;
const KEY = /^\/calico\/ipam\/v2\/handle\/([^/]+)$/;

const schema = object({
  /** For each block, by its network, how many of its addresses the handle holds. */
  block: always(map(integer(0, MAX_COUNT)), {}),
  deleted: always(flag, false),
});

/** What one owner holds: in which blocks, and how many addresses of each. */
export type IpamHandle = ValueOf<typeof schema>;

/** `/calico/ipam/v2/handle/`, the prefix of all handles. */
export const handlesPrefix = '/calico/ipam/v2/handle/';

/** `/calico/ipam/v2/handle/ID` */
export function handleKey(handleId: string): string {
  return `${handlesPrefix}${handleId}`;
}

/** The handle's id, read from its key; undefined for a key of another kind. */
export function parseHandleKey(key: string): string | undefined {
  return KEY.exec(key)?.[1];
}

/** @param key for errors. @throws FabricError `invalid-resource` */
export function parseHandle(json: string, key: string): IpamHandle {
  const place = storedPlace(key);
  return schema.read(
    parseStored(place, () => JSON.parse(json)),
    place,
  );
}

/** The handle's entry as Calico writes it. */
export function formatHandle(handle: IpamHandle): string {
  const blocks = Object.entries(handle.block).toSorted(([a], [b]) => (a < b ? -1 : 1));
  return formatGoJson({ block: Object.fromEntries(blocks), deleted: handle.deleted });
}
