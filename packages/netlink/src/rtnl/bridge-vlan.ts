import { MessageWriter } from '../attributes.ts';
import { NLM_F } from '../conn.ts';
import { AF, IFLA, RTM } from './constants.ts';
import type { Rtnl } from './rtnl.ts';

// include/uapi/linux/if_bridge.h
const IFLA_BRIDGE = { FLAGS: 0, VLAN_INFO: 2 } as const;
const BRIDGE_FLAGS_SELF = 2;
const VLAN_INFO = { PVID: 2, UNTAGGED: 4, RANGE_BEGIN: 8, RANGE_END: 16 } as const;

/** VLANs of a bridge port. */
export interface BridgeVlan {
  /** 1 to 4094. */
  vlanId: number;
  /** Last of a range, included. */
  lastVlanId?: number;
  /** Frames without a tag belong to this VLAN. */
  isPvid?: boolean;
  /** Frames of this VLAN leave without a tag. */
  isUntagged?: boolean;
  /** The link is the bridge itself. */
  isSelf?: boolean;
}

/** `bridge vlan add dev … vid … [pvid] [untagged] [self]`. @throws NetlinkError ENOTSUP when the kernel has no VLAN filtering */
export function bridgeVlanAdd(conn: Rtnl, ifIndex: number, vlan: BridgeVlan): void {
  changeVlan(conn, RTM.SETLINK, ifIndex, vlan);
}

/** `bridge vlan del dev … vid … [self]`. @throws NetlinkError */
export function bridgeVlanDel(conn: Rtnl, ifIndex: number, vlan: BridgeVlan): void {
  changeVlan(conn, RTM.DELLINK, ifIndex, vlan);
}

function changeVlan(conn: Rtnl, type: number, ifIndex: number, vlan: BridgeVlan): void {
  const message = new MessageWriter(64).message(type, NLM_F.REQUEST | NLM_F.ACK);
  const header = message.header(16);
  header[0] = AF.BRIDGE;
  header.writeInt32LE(ifIndex, 4);
  const flags = (vlan.isPvid ? VLAN_INFO.PVID : 0) | (vlan.isUntagged ? VLAN_INFO.UNTAGGED : 0);
  const last = vlan.lastVlanId ?? vlan.vlanId;
  message.nested(IFLA.AF_SPEC, () => {
    if (vlan.isSelf) message.u16(IFLA_BRIDGE.FLAGS, BRIDGE_FLAGS_SELF);
    if (last === vlan.vlanId) writeInfo(message, flags, last);
    else {
      writeInfo(message, flags | VLAN_INFO.RANGE_BEGIN, vlan.vlanId);
      writeInfo(message, flags | VLAN_INFO.RANGE_END, last);
    }
  });
  const verb = type === RTM.SETLINK ? 'add' : 'delete';
  conn.execute({ op: `${verb} vlan ${vlan.vlanId} of bridge port ${ifIndex}`, message });
}

/** struct bridge_vlan_info */
function writeInfo(message: MessageWriter, flags: number, vlanId: number): void {
  const info = Buffer.alloc(4);
  info.writeUInt16LE(flags, 0);
  info.writeUInt16LE(vlanId, 2);
  message.bytesOf(IFLA_BRIDGE.VLAN_INFO, info);
}
