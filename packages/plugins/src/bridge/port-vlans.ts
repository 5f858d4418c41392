import {
  type BridgeVlan,
  bridgeVlanAddRequest,
  bridgeVlanDelRequest,
  bridgeVlanList,
  type Link,
  linkList,
  type NetlinkRequest,
  type Rtnl,
} from '@amphipod/netlink';
import type { PortVlans } from './read-vlans.ts';

/** VLAN of untagged frames on a port that has a trunk and no VLAN of its own, as in the reference. */
const NATIVE_VLAN = 1;

/** What gives a new port of `bridge` its VLANs and takes the bridge's default VLAN away (field case NET-15). */
export function portVlanRequests(
  ifIndex: number,
  bridge: Link,
  { vlanId, trunk, preserveDefault }: PortVlans,
): NetlinkRequest[] {
  const native = nativeVlan({ vlanId, trunk });
  if (native === undefined) return [];
  const defaultId = bridge.bridge?.vlanDefaultPvid ?? 0;
  return [
    ...(preserveDefault || defaultId === 0 ? [] : [bridgeVlanDelRequest(ifIndex, { vlanId: defaultId })]),
    ...trunk.map(({ first, last }) =>
      bridgeVlanAddRequest(ifIndex, { vlanId: first, ...(last > first && { lastVlanId: last }) }),
    ),
    // The last, or a trunk with the same VLAN in it would turn it into a tagged one.
    bridgeVlanAddRequest(ifIndex, { vlanId: native, isPvid: true, isUntagged: true }),
  ];
}

function nativeVlan({ vlanId, trunk }: Pick<PortVlans, 'vlanId' | 'trunk'>): number | undefined {
  return vlanId ?? (trunk.length > 0 ? NATIVE_VLAN : undefined);
}

/** What is wrong with the VLANs of a port; undefined when nothing is. */
export function findVlanFault(rtnl: Rtnl, port: Link, bridge: Link, wanted: PortVlans): string | undefined {
  const native = nativeVlan(wanted);
  if (native === undefined) return undefined;
  const present = bridgeVlanList(rtnl, port.ifIndex);
  const pvid = present.find(({ isPvid }) => isPvid);
  if (pvid?.vlanId !== native || !pvid.isUntagged) return `has no VLAN ${native} for untagged frames`;
  for (const range of wanted.trunk) {
    for (let id = range.first; id <= range.last; id++) {
      if (!present.some((vlan) => includes(vlan, id))) return `lacks VLAN ${id}`;
    }
  }
  const defaultId = bridge.bridge?.vlanDefaultPvid ?? 0;
  const isWanted = (vlan: BridgeVlan) =>
    includes(vlan, native) ||
    wanted.trunk.some(
      ({ first, last }) => vlan.vlanId >= first && (vlan.lastVlanId ?? vlan.vlanId) <= last,
    ) ||
    (wanted.preserveDefault && vlan.vlanId === defaultId && vlan.lastVlanId === undefined);
  const other = present.find((vlan) => !isWanted(vlan));
  return other === undefined ? undefined : `has VLAN ${other.vlanId}, which it should not have`;
}

function includes({ vlanId, lastVlanId }: BridgeVlan, id: number): boolean {
  return vlanId <= id && id <= (lastVlanId ?? vlanId);
}

/** Whether a port, or the bridge itself, carries this VLAN. */
export function hasVlan(rtnl: Rtnl, ifIndex: number, vlanId: number): boolean {
  return bridgeVlanList(rtnl, ifIndex).some((vlan) => includes(vlan, vlanId));
}

/** Whether some port of the bridge carries this VLAN. */
export function isVlanUsed(rtnl: Rtnl, bridgeIndex: number, vlanId: number): boolean {
  return linkList(rtnl, { masterIndex: bridgeIndex }).some(({ ifIndex }) => hasVlan(rtnl, ifIndex, vlanId));
}
