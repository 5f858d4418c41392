import { CniError } from '@amphipod/cni';
import { isCode, type UndoStack } from '@amphipod/linux';
import { type Link, linkAdd, linkDel, linkFind, linkList, linkSet, type Rtnl } from '@amphipod/netlink';
import { randomMac } from '../lib/random-mac.ts';
import { trySysctl } from '../lib/settings.ts';
import type { BridgeConfig } from './config.ts';

/** The bridge of this name, made and brought up where needed. @throws CniError when something else has the name */
export function ensureBridge(
  rtnl: Rtnl,
  { bridge: name, mtu, promisc }: BridgeConfig,
  undo: UndoStack,
): Link {
  const bridge = linkFind(rtnl, name) ?? createBridge(rtnl, { name, mtu }, undo);
  if (bridge.kind !== 'bridge') {
    throw new CniError('internal', `${JSON.stringify(name)} already exists but is not a bridge`);
  }
  const wantsPromisc = promisc && !bridge.flags.promisc;
  if (!bridge.flags.up || wantsPromisc) {
    linkSet(rtnl, bridge.ifIndex, { up: true, ...(wantsPromisc && { promisc: true }) });
  }
  return bridge;
}

function createBridge(
  rtnl: Rtnl,
  { name, mtu }: { name: string; mtu: number | undefined },
  undo: UndoStack,
): Link {
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
    });
    madeIndex = made.ifIndex;
    trySysctl(`net/ipv6/conf/${name}/accept_ra`, '0');
    return { ...made, flags: { ...made.flags, up: true } };
  } catch (error) {
    // Another pod's ADD was quicker (field case NET-06).
    const existing = isCode(error, 'EEXIST') ? linkFind(rtnl, name) : undefined;
    if (existing === undefined) throw error;
    return existing;
  }
}

/** Whether some pod uses the bridge. */
export function hasPorts(rtnl: Rtnl, bridgeIndex: number): boolean {
  return linkList(rtnl, { masterIndex: bridgeIndex }).length > 0;
}
