import type { MessageWriter } from '../attributes.ts';
import { ipToBytes } from '../ip.ts';
import {
  IFLA,
  IFLA_BR,
  IFLA_INFO,
  IFLA_IPVLAN,
  IFLA_MACVLAN,
  IFLA_VLAN,
  IFLA_VRF,
  IFLA_VXLAN,
  VETH_INFO_PEER,
} from './constants.ts';
import type { BridgeSettings, LinkSpec, VethPeer } from './link-types.ts';
import { writeCommon } from './link-write.ts';

// include/uapi/linux/if_link.h
export const macvlanModes = { private: 1, vepa: 2, bridge: 4, passthru: 8, source: 16 } as const;
export const ipvlanModes = { l2: 0, l3: 1, l3s: 2 } as const;
export const ipvlanFlags = { private: 1, vepa: 2 } as const;
// include/uapi/linux/if_ether.h
export const vlanProtocols = { '802.1Q': 0x8100, '802.1ad': 0x88a8 } as const;
/** The bridge counts time in hundredths of a second (USER_HZ). */
const USER_HZ = 100;

/** IFLA_LINK of kinds that sit on another link. */
export function writeParent(writer: MessageWriter, spec: LinkSpec): void {
  if ('parentIndex' in spec && spec.parentIndex !== undefined && spec.kind !== 'vxlan') {
    writer.u32(IFLA.LINK, spec.parentIndex);
  }
}

/** IFLA_LINKINFO: the kind and its own settings. */
export function writeKind(writer: MessageWriter, spec: LinkSpec): void {
  writer.nested(IFLA.LINKINFO, () => {
    writer.string(IFLA_INFO.KIND, spec.kind);
    if (!isWithoutSettings(spec)) writer.nested(IFLA_INFO.DATA, () => writeKindData(writer, spec));
  });
}

function isWithoutSettings({ kind }: LinkSpec): boolean {
  return kind === 'dummy' || kind === 'ifb' || kind === 'wireguard';
}

/** IFLA_LINKINFO with the settings of a bridge that is there (`ip link set … type bridge …`). */
export function writeBridgeSettings(writer: MessageWriter, settings: BridgeSettings): void {
  writer.nested(IFLA.LINKINFO, () => {
    writer.string(IFLA_INFO.KIND, 'bridge');
    writer.nested(IFLA_INFO.DATA, () => writeBridge(writer, settings));
  });
}

function writeKindData(writer: MessageWriter, spec: LinkSpec): void {
  switch (spec.kind) {
    case 'bridge':
      writeBridge(writer, spec);
      break;
    case 'veth':
      writer.nested(VETH_INFO_PEER, () => writePeer(writer, spec.peer));
      break;
    case 'vlan':
      writer.u16(IFLA_VLAN.ID, spec.vlanId);
      if (spec.protocol !== undefined) writer.u16be(IFLA_VLAN.PROTOCOL, vlanProtocols[spec.protocol]);
      break;
    case 'macvlan':
      writer.u32(IFLA_MACVLAN.MODE, macvlanModes[spec.mode ?? 'bridge']);
      if (spec.bcQueueLength !== undefined) writer.u32(IFLA_MACVLAN.BC_QUEUE_LEN, spec.bcQueueLength);
      break;
    case 'ipvlan':
      writer.u16(IFLA_IPVLAN.MODE, ipvlanModes[spec.mode ?? 'l2']);
      if (spec.isolation !== undefined) writer.u16(IFLA_IPVLAN.FLAGS, ipvlanFlags[spec.isolation]);
      break;
    case 'vxlan':
      writeVxlan(writer, spec);
      break;
    case 'vrf':
      writer.u32(IFLA_VRF.TABLE, spec.table);
      break;
    case 'dummy':
    case 'ifb':
    case 'wireguard':
      break;
  }
}

function writeBridge(writer: MessageWriter, spec: BridgeSettings): void {
  if (spec.forwardDelaySeconds !== undefined) {
    writer.u32(IFLA_BR.FORWARD_DELAY, spec.forwardDelaySeconds * USER_HZ);
  }
  if (spec.ageingSeconds !== undefined) writer.u32(IFLA_BR.AGEING_TIME, spec.ageingSeconds * USER_HZ);
  if (spec.stp !== undefined) writer.u32(IFLA_BR.STP_STATE, Number(spec.stp));
  if (spec.vlanFiltering !== undefined) writer.u8(IFLA_BR.VLAN_FILTERING, Number(spec.vlanFiltering));
  if (spec.mcastSnooping !== undefined) writer.u8(IFLA_BR.MCAST_SNOOPING, Number(spec.mcastSnooping));
  if (spec.vlanDefaultPvid !== undefined) writer.u16(IFLA_BR.VLAN_DEFAULT_PVID, spec.vlanDefaultPvid);
}

function writePeer(writer: MessageWriter, peer: VethPeer): void {
  writeCommon(writer, 0, peer);
}

function writeVxlan(writer: MessageWriter, spec: LinkSpec & { kind: 'vxlan' }): void {
  writer.u32(IFLA_VXLAN.ID, spec.vni);
  if (spec.parentIndex !== undefined) writer.u32(IFLA_VXLAN.LINK, spec.parentIndex);
  if (spec.port !== undefined) writer.u16be(IFLA_VXLAN.PORT, spec.port);
  if (spec.local !== undefined) {
    writer.bytesOf(spec.local.family === 4 ? IFLA_VXLAN.LOCAL : IFLA_VXLAN.LOCAL6, ipToBytes(spec.local));
  }
  if (spec.learning !== undefined) writer.u8(IFLA_VXLAN.LEARNING, Number(spec.learning));
  if (spec.gbp === true) writer.flag(IFLA_VXLAN.GBP);
}
