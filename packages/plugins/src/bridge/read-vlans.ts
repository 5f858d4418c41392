import type { KeyReader } from '../lib/read-keys.ts';

const MAX_VLAN_ID = 4094;
const ANY_INTEGER = [-(2 ** 53 - 1), 2 ** 53 - 1] as const;

/** VLANs, ends included. */
export interface VlanRange {
  first: number;
  last: number;
}

/** VLANs of a pod's port on the bridge. */
export interface PortVlans {
  /** What the pod sends without a tag belongs to it, and comes back without one. */
  vlanId: number | undefined;
  /** What goes both ways with its tag; in order and without overlaps. */
  trunk: VlanRange[];
  /** The port keeps the VLAN that every new port of the bridge has. */
  preserveDefault: boolean;
}

/** The keys `vlan`, `vlanTrunk` and `preserveDefaultVlan`; undefined when none asks for VLANs. @throws CniError invalid-network-config */
export function readVlans(keys: KeyReader): PortVlans | undefined {
  const vlanId = keys.integer('vlan', ...ANY_INTEGER) ?? 0;
  if (vlanId < 0 || vlanId > MAX_VLAN_ID) {
    return keys.refuse('vlan', `invalid VLAN ID ${vlanId} (must be between 0 and ${MAX_VLAN_ID})`);
  }
  const trunk = keys.objects('vlanTrunk');
  const preserveDefault = keys.boolean('preserveDefaultVlan') ?? false;
  if (vlanId === 0 && trunk === undefined) return undefined;
  return {
    vlanId: vlanId === 0 ? undefined : vlanId,
    trunk: merge((trunk ?? []).flatMap(readTrunkItem)),
    preserveDefault,
  };
}

/** `{ "minID": 10, "maxID": 20 }`, `{ "id": 30 }`, or both in one. */
function readTrunkItem(item: KeyReader): VlanRange[] {
  const [minId, maxId, id] = ['minID', 'maxID', 'id'].map((key) => item.integer(key, ...ANY_INTEGER));
  if ((minId === undefined) !== (maxId === undefined)) {
    const missing = minId === undefined ? 'minID' : 'maxID';
    return item.refuse(missing, `minID and maxID should be configured simultaneously, ${missing} is missing`);
  }
  const ranges: VlanRange[] = [];
  if (minId !== undefined && maxId !== undefined) {
    requireVlanId(item, 'minID', minId);
    requireVlanId(item, 'maxID', maxId);
    if (maxId < minId) item.refuse('minID', 'minID is greater than maxID in trunk parameter');
    ranges.push({ first: minId, last: maxId });
  }
  if (id !== undefined) {
    requireVlanId(item, 'id', id);
    ranges.push({ first: id, last: id });
  }
  return ranges;
}

function requireVlanId(item: KeyReader, key: string, value: number): void {
  if (value <= 0 || value > MAX_VLAN_ID) item.refuse(key, `incorrect trunk ${key} parameter`);
}

function merge(ranges: VlanRange[]): VlanRange[] {
  const merged: VlanRange[] = [];
  for (const { first, last } of ranges.toSorted((a, b) => a.first - b.first)) {
    const previous = merged.at(-1);
    if (previous !== undefined && first <= previous.last + 1) previous.last = Math.max(previous.last, last);
    else merged.push({ first, last });
  }
  return merged;
}
