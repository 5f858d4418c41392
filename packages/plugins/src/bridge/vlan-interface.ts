import { CniError } from '@amphipod/cni';
import { isCode, type UndoStack } from '@amphipod/linux';
import {
  bridgeVlanAdd,
  bridgeVlanDel,
  type Link,
  linkAdd,
  linkDel,
  linkFind,
  linkSet,
  type Rtnl,
} from '@amphipod/netlink';
import { trySysctl } from '../lib/settings.ts';
import { pinMac } from './gateway.ts';
import { hasVlan, isVlanUsed } from './port-vlans.ts';

const NAME_BYTES = 15;

/** `cni0.100`: where the machine itself is in a VLAN of the bridge. */
export function vlanInterfaceName(bridge: string, vlanId: number): string {
  return `${bridge}.${vlanId}`;
}

/**
 * The machine's own interface in a VLAN of the bridge, made and brought up where needed. One that the reference plugin made
 * (a veth whose other end is a port of the bridge) does as well. @throws CniError when something else has the name
 */
export function ensureVlanInterface(rtnl: Rtnl, bridge: Link, vlanId: number, undo: UndoStack): Link {
  const name = vlanInterfaceName(bridge.name, vlanId);
  if (Buffer.byteLength(name) > NAME_BYTES) {
    throw new CniError(
      'invalid-network-config',
      `failed to create vlan interface ${JSON.stringify(name)}: names have at most ${NAME_BYTES} bytes`,
    );
  }
  const link = linkFind(rtnl, name) ?? createVlanInterface(rtnl, { name, bridge, vlanId }, undo);
  const isOurs = link.kind === 'vlan' && link.peerIndex === bridge.ifIndex && link.vlan?.id === vlanId;
  if (!isOurs && link.kind !== 'veth') {
    throw new CniError(
      'internal',
      `failed to create vlan interface: ${JSON.stringify(name)} already exists but is not VLAN ${vlanId} of ${JSON.stringify(bridge.name)}`,
    );
  }
  if (!link.flags.up) linkSet(rtnl, link.ifIndex, { up: true });
  return link;
}

interface VlanInterface {
  name: string;
  bridge: Link;
  vlanId: number;
}

function createVlanInterface(rtnl: Rtnl, { name, bridge, vlanId }: VlanInterface, undo: UndoStack): Link {
  let isMade = false;
  const carried = hasVlan(rtnl, bridge.ifIndex, vlanId);
  undo.defer(`remove vlan interface ${name}`, async () => {
    if (!isMade || isVlanUsed(rtnl, bridge.ifIndex, vlanId)) return;
    await linkDel(rtnl, name);
    if (!carried) bridgeVlanDel(rtnl, bridge.ifIndex, { vlanId, isSelf: true });
  });
  // It takes the bridge's address, which must not change any more.
  pinMac(rtnl, bridge.ifIndex);
  try {
    const made = linkAdd(rtnl, { kind: 'vlan', name, parentIndex: bridge.ifIndex, vlanId, up: true });
    isMade = true;
    bridgeVlanAdd(rtnl, bridge.ifIndex, { vlanId, isSelf: true });
    trySysctl(`net/ipv6/conf/${name}/accept_ra`, '0');
    return { ...made, flags: { ...made.flags, up: true } };
  } catch (error) {
    // Another pod's ADD was quicker.
    const existing = isCode(error, 'EEXIST') ? linkFind(rtnl, name) : undefined;
    if (existing === undefined) throw error;
    return existing;
  }
}
