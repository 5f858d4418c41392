import { AttributeReader, MessageWriter } from '../attributes.ts';
import { type NetlinkRequest, NLM_F } from '../conn.ts';
import { malformed } from '../errors.ts';
import { AF, IFLA, RTM } from './constants.ts';
import type { Rtnl } from './rtnl.ts';

// include/uapi/linux/if_bridge.h
const IFLA_BRIDGE = { FLAGS: 0, VLAN_INFO: 2 } as const;
const BRIDGE_FLAGS_SELF = 2;
const BRIDGE_VLANDB_ENTRY = 1;
const BRIDGE_VLANDB_ENTRY_INFO = 1;
const BRIDGE_VLANDB_ENTRY_RANGE = 2;
/** struct br_vlan_msg */
const BR_VLAN_MSG = 8;
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
  conn.execute(bridgeVlanAddRequest(ifIndex, vlan));
}

/** {@link bridgeVlanAdd} for {@link NetlinkConn.executeAll}. */
export function bridgeVlanAddRequest(ifIndex: number, vlan: BridgeVlan): NetlinkRequest {
  return vlanRequest(RTM.SETLINK, ifIndex, vlan);
}

/** `bridge vlan del dev … vid … [self]`. @throws NetlinkError */
export function bridgeVlanDel(conn: Rtnl, ifIndex: number, vlan: BridgeVlan): void {
  conn.execute(bridgeVlanDelRequest(ifIndex, vlan));
}

/** {@link bridgeVlanDel} for {@link NetlinkConn.executeAll}. */
export function bridgeVlanDelRequest(ifIndex: number, vlan: BridgeVlan): NetlinkRequest {
  return vlanRequest(RTM.DELLINK, ifIndex, vlan);
}

/**
 * `bridge vlan show dev …`: of a port, or of the bridge itself. Runs of VLANs with the same flags are one entry, with
 * `lastVlanId`. @throws NetlinkError ENODEV, ENOTSUP (Linux before 5.6)
 */
export function bridgeVlanList(conn: Rtnl, ifIndex: number): BridgeVlan[] {
  const message = new MessageWriter(64).message(RTM.GETVLAN, NLM_F.REQUEST | NLM_F.DUMP);
  const header = message.header(BR_VLAN_MSG);
  header[0] = AF.BRIDGE;
  header.writeUInt32LE(ifIndex, 4);
  return conn
    .execute({ op: `list vlans of bridge port ${ifIndex}`, message })
    .filter((reply) => reply.type === RTM.NEWVLAN)
    .flatMap((reply) => parseVlans(reply.payload));
}

/** Reads the payload of an RTM_NEWVLAN. @throws NetlinkError EPROTO */
export function parseVlans(payload: Buffer): BridgeVlan[] {
  if (payload.length < BR_VLAN_MSG) throw malformed(`vlan message of ${payload.length} bytes`);
  const vlans: BridgeVlan[] = [];
  const attrs = new AttributeReader(payload, BR_VLAN_MSG);
  while (attrs.next()) {
    if (attrs.type === BRIDGE_VLANDB_ENTRY) vlans.push(parseEntry(attrs.nested()));
  }
  return vlans;
}

function parseEntry(entry: AttributeReader): BridgeVlan {
  const vlan: BridgeVlan = { vlanId: 0, isPvid: false, isUntagged: false };
  while (entry.next()) {
    if (entry.type === BRIDGE_VLANDB_ENTRY_RANGE) vlan.lastVlanId = entry.u16();
    else if (entry.type === BRIDGE_VLANDB_ENTRY_INFO) {
      const info = entry.bytes();
      if (info.length < 4) throw malformed(`vlan entry of ${info.length} bytes`);
      const flags = info.readUInt16LE(0);
      vlan.vlanId = info.readUInt16LE(2);
      vlan.isPvid = (flags & VLAN_INFO.PVID) !== 0;
      vlan.isUntagged = (flags & VLAN_INFO.UNTAGGED) !== 0;
    }
  }
  return vlan;
}

function vlanRequest(type: number, ifIndex: number, vlan: BridgeVlan): NetlinkRequest {
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
  return { op: `${verb} vlan ${vlan.vlanId} of bridge port ${ifIndex}`, message };
}

/** struct bridge_vlan_info */
function writeInfo(message: MessageWriter, flags: number, vlanId: number): void {
  const info = Buffer.alloc(4);
  info.writeUInt16LE(flags, 0);
  info.writeUInt16LE(vlanId, 2);
  message.bytesOf(IFLA_BRIDGE.VLAN_INFO, info);
}
