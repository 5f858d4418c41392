import { CniError } from '@amphipod/cni';
import { isCode, type UndoStack } from '@amphipod/linux';
import {
  bridgeVlanList,
  type Link,
  linkAdd,
  linkDel,
  linkFind,
  linkList,
  linkSet,
  type Rtnl,
  randomMac,
} from '@amphipod/netlink';
import { trySysctl } from '../lib/settings.ts';
import type { BridgeConfig } from './config.ts';

/** The bridge of this name, made and brought up where needed. @throws CniError when something else has the name */
export function ensureBridge(rtnl: Rtnl, config: BridgeConfig, undo: UndoStack): Link {
  const { bridge: name, promisc, vlans } = config;
  const bridge = linkFind(rtnl, name) ?? createBridge(rtnl, config, undo);
  if (bridge.kind !== 'bridge') {
    throw new CniError('internal', `${JSON.stringify(name)} already exists but is not a bridge`);
  }
  const wantsPromisc = promisc && !bridge.flags.promisc;
  if (!bridge.flags.up || wantsPromisc) {
    linkSet(rtnl, bridge.ifIndex, { up: true, ...(wantsPromisc && { promisc: true }) });
  }
  if (vlans !== undefined && !bridge.bridge!.vlanFiltering) filterVlans(rtnl, bridge, undo);
  return bridge;
}

function createBridge(rtnl: Rtnl, { bridge: name, mtu, vlans }: BridgeConfig, undo: UndoStack): Link {
  let madeIndex: number | undefined;
  undo.defer(`remove bridge ${name}`, async () => {
    if (madeIndex !== undefined && !hasPorts(rtnl, madeIndex)) await linkDel(rtnl, madeIndex);
  });
  try {
    // An address of its own, or it would change with every port that comes and goes.
    const made = linkAdd(rtnl, {
      kind: 'bridge',
      name,
      mac: randomMac(),
      up: true,
      ...(mtu !== undefined && { mtu }),
      ...(vlans !== undefined && { vlanFiltering: true }),
    });
    madeIndex = made.ifIndex;
    trySysctl(`net/ipv6/conf/${name}/accept_ra`, '0');
    return { ...made, flags: { ...made.flags, up: true } };
  } catch (error) {
    if (vlans !== undefined && isCode(error, 'ENOTSUP')) throw noFiltering(name, error);
    // Another pod's ADD was quicker (field case NET-06).
    const existing = isCode(error, 'EEXIST') ? linkFind(rtnl, name) : undefined;
    if (existing === undefined) throw error;
    return existing;
  }
}

/** Makes a bridge that is there keep VLANs apart; what is untagged goes on as before, in the bridge's default VLAN. */
function filterVlans(rtnl: Rtnl, { name, ifIndex, bridge }: Link, undo: UndoStack): void {
  let isChanged = false;
  undo.defer(`stop VLAN filtering of bridge ${name}`, () => {
    if (isChanged && !hasPortWithVlans(rtnl, ifIndex, bridge!.vlanDefaultPvid)) {
      linkSet(rtnl, ifIndex, { bridge: { vlanFiltering: false } });
    }
  });
  try {
    linkSet(rtnl, ifIndex, { bridge: { vlanFiltering: true } });
    isChanged = true;
  } catch (error) {
    throw isCode(error, 'ENOTSUP') ? noFiltering(name, error) : error;
  }
}

function noFiltering(name: string, cause: unknown): CniError {
  return new CniError('internal', `could not add ${JSON.stringify(name)}: operation not supported`, {
    details: 'this kernel has no VLAN filtering for bridges (CONFIG_BRIDGE_VLAN_FILTERING)',
    cause,
  });
}

/** Whether some pod uses the bridge. */
export function hasPorts(rtnl: Rtnl, bridgeIndex: number): boolean {
  return linkList(rtnl, { masterIndex: bridgeIndex }).length > 0;
}

function hasPortWithVlans(rtnl: Rtnl, bridgeIndex: number, defaultId: number): boolean {
  return linkList(rtnl, { masterIndex: bridgeIndex }).some(({ ifIndex }) =>
    bridgeVlanList(rtnl, ifIndex).some(({ vlanId }) => vlanId !== defaultId),
  );
}
