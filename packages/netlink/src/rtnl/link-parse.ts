import { AttributeReader } from '../attributes.ts';
import { malformed } from '../errors.ts';
import {
  IFF,
  IFLA,
  IFLA_BR,
  IFLA_BRPORT,
  IFLA_INFO,
  IFLA_IPVLAN,
  IFLA_MACVLAN,
  IFLA_TUN,
  IFLA_VLAN,
  IFLA_VRF,
  IFLA_VXLAN,
} from './constants.ts';
import { ipvlanFlags, ipvlanModes, macvlanModes, vlanProtocols } from './link-kinds.ts';
import type {
  IpvlanIsolation,
  IpvlanMode,
  Link,
  LinkFlags,
  MacvlanMode,
  OperState,
  VlanProtocol,
} from './link-types.ts';

const IFINFOMSG = 16;
// IF_OPER_* of include/uapi/linux/if.h, in order
// biome-ignore format: tables read best as tables
const operStates: OperState[] = ['unknown', 'notpresent', 'down', 'lowerlayerdown', 'testing', 'dormant', 'up'];

/** Reads the payload of an RTM_NEWLINK or RTM_DELLINK. @throws NetlinkError EPROTO */
export function parseLink(payload: Buffer): Link {
  if (payload.length < IFINFOMSG) throw malformed(`link message of ${payload.length} bytes`);
  const link: Link = {
    ifIndex: payload.readInt32LE(4),
    name: '',
    mac: '',
    mtu: 0,
    txQueueLength: 0,
    flags: parseFlags(payload.readUInt32LE(8)),
    operState: 'unknown',
    promiscuity: 0,
  };
  const attrs = new AttributeReader(payload, IFINFOMSG);
  while (attrs.next()) readAttribute(link, attrs);
  return link;
}

function readAttribute(link: Link, attrs: AttributeReader): void {
  switch (attrs.type) {
    case IFLA.IFNAME:
      link.name = attrs.string();
      break;
    case IFLA.ADDRESS:
      link.mac = attrs.mac();
      break;
    case IFLA.MTU:
      link.mtu = attrs.u32();
      break;
    case IFLA.TXQLEN:
      link.txQueueLength = attrs.u32();
      break;
    case IFLA.LINK:
      link.peerIndex = attrs.u32();
      break;
    case IFLA.LINK_NETNSID:
      link.peerNetnsId = attrs.i32();
      break;
    case IFLA.MASTER:
      link.masterIndex = attrs.u32();
      break;
    case IFLA.OPERSTATE:
      link.operState = operStates[attrs.u8()] ?? 'unknown';
      break;
    case IFLA.IFALIAS:
      link.alias = attrs.string();
      break;
    case IFLA.PROMISCUITY:
      link.promiscuity = attrs.u32();
      break;
    case IFLA.LINKINFO:
      readLinkInfo(link, attrs.nested());
      break;
  }
}

function parseFlags(flags: number): LinkFlags {
  return {
    up: (flags & IFF.UP) !== 0,
    running: (flags & IFF.RUNNING) !== 0,
    loopback: (flags & IFF.LOOPBACK) !== 0,
    broadcast: (flags & IFF.BROADCAST) !== 0,
    multicast: (flags & IFF.MULTICAST) !== 0,
    promisc: (flags & IFF.PROMISC) !== 0,
    allMulti: (flags & IFF.ALLMULTI) !== 0,
    noArp: (flags & IFF.NOARP) !== 0,
    lowerUp: (flags & IFF.LOWER_UP) !== 0,
  };
}

function readLinkInfo(link: Link, info: AttributeReader): void {
  let slaveKind = '';
  while (info.next()) {
    // The kernel puts the kind before its data.
    if (info.type === IFLA_INFO.KIND) link.kind = info.string();
    else if (info.type === IFLA_INFO.SLAVE_KIND) slaveKind = info.string();
    else if (info.type === IFLA_INFO.DATA) readKindData(link, info.nested());
    else if (info.type === IFLA_INFO.SLAVE_DATA && slaveKind === 'bridge')
      readBridgePort(link, info.nested());
  }
}

function readKindData(link: Link, data: AttributeReader): void {
  switch (link.kind) {
    case 'bridge':
      readBridge(link, data);
      break;
    case 'vxlan':
      readVxlan(link, data);
      break;
    case 'vlan':
      readVlan(link, data);
      break;
    case 'vrf':
      while (data.next()) if (data.type === IFLA_VRF.TABLE) link.vrf = { table: data.u32() };
      break;
    case 'macvlan':
      readMacvlan(link, data);
      break;
    case 'ipvlan':
      readIpvlan(link, data);
      break;
    case 'tun':
      readTun(link, data);
      break;
  }
}

function nameOf(table: Record<string, number>, value: number): string {
  return Object.keys(table).find((name) => table[name] === value) ?? `${value}`;
}

function readVlan(link: Link, data: AttributeReader): void {
  const vlan: NonNullable<Link['vlan']> = { id: 0, protocol: '802.1Q' };
  while (data.next()) {
    if (data.type === IFLA_VLAN.ID) vlan.id = data.u16();
    else if (data.type === IFLA_VLAN.PROTOCOL)
      vlan.protocol = nameOf(vlanProtocols, data.u16be()) as VlanProtocol;
  }
  link.vlan = vlan;
}

function readMacvlan(link: Link, data: AttributeReader): void {
  const macvlan: NonNullable<Link['macvlan']> = { mode: 'bridge' };
  while (data.next()) {
    if (data.type === IFLA_MACVLAN.MODE) macvlan.mode = nameOf(macvlanModes, data.u32()) as MacvlanMode;
    else if (data.type === IFLA_MACVLAN.BC_QUEUE_LEN) macvlan.bcQueueLength = data.u32();
  }
  link.macvlan = macvlan;
}

function readIpvlan(link: Link, data: AttributeReader): void {
  const ipvlan: NonNullable<Link['ipvlan']> = { mode: 'l2' };
  while (data.next()) {
    if (data.type === IFLA_IPVLAN.MODE) ipvlan.mode = nameOf(ipvlanModes, data.u16()) as IpvlanMode;
    else if (data.type === IFLA_IPVLAN.FLAGS) {
      const flags = data.u16();
      if (flags !== 0) ipvlan.isolation = nameOf(ipvlanFlags, flags) as IpvlanIsolation;
    }
  }
  link.ipvlan = ipvlan;
}

/** IFF_TAP of include/uapi/linux/if_tun.h; the other type is IFF_TUN. */
const TYPE_TAP = 2;

function readTun(link: Link, data: AttributeReader): void {
  const tun: NonNullable<Link['tun']> = { type: 'tun', persistent: false, multiQueue: false };
  while (data.next()) {
    if (data.type === IFLA_TUN.OWNER) tun.owner = data.u32();
    else if (data.type === IFLA_TUN.GROUP) tun.group = data.u32();
    else if (data.type === IFLA_TUN.TYPE) tun.type = data.u8() === TYPE_TAP ? 'tap' : 'tun';
    else if (data.type === IFLA_TUN.PERSIST) tun.persistent = data.u8() !== 0;
    else if (data.type === IFLA_TUN.MULTI_QUEUE) tun.multiQueue = data.u8() !== 0;
  }
  link.tun = tun;
}

function readBridge(link: Link, data: AttributeReader): void {
  const bridge = { vlanFiltering: false, stp: false, mcastSnooping: false, vlanDefaultPvid: 0 };
  while (data.next()) {
    if (data.type === IFLA_BR.VLAN_FILTERING) bridge.vlanFiltering = data.u8() !== 0;
    else if (data.type === IFLA_BR.STP_STATE) bridge.stp = data.u32() !== 0;
    else if (data.type === IFLA_BR.MCAST_SNOOPING) bridge.mcastSnooping = data.u8() !== 0;
    else if (data.type === IFLA_BR.VLAN_DEFAULT_PVID) bridge.vlanDefaultPvid = data.u16();
  }
  link.bridge = bridge;
}

function readBridgePort(link: Link, data: AttributeReader): void {
  const port = { hairpin: false, isolated: false, learning: false, guard: false, neighSuppress: false };
  while (data.next()) {
    if (data.type === IFLA_BRPORT.MODE) port.hairpin = data.u8() !== 0;
    else if (data.type === IFLA_BRPORT.ISOLATED) port.isolated = data.u8() !== 0;
    else if (data.type === IFLA_BRPORT.LEARNING) port.learning = data.u8() !== 0;
    else if (data.type === IFLA_BRPORT.GUARD) port.guard = data.u8() !== 0;
    else if (data.type === IFLA_BRPORT.NEIGH_SUPPRESS) port.neighSuppress = data.u8() !== 0;
  }
  link.bridgePort = port;
}

function readVxlan(link: Link, data: AttributeReader): void {
  const vxlan: NonNullable<Link['vxlan']> = { vni: 0, port: 0, learning: false };
  while (data.next()) {
    if (data.type === IFLA_VXLAN.ID) vxlan.vni = data.u32();
    else if (data.type === IFLA_VXLAN.PORT) vxlan.port = data.u16be();
    else if (data.type === IFLA_VXLAN.LINK) vxlan.parentIndex = data.u32();
    else if (data.type === IFLA_VXLAN.LEARNING) vxlan.learning = data.u8() !== 0;
    else if (data.type === IFLA_VXLAN.LOCAL || data.type === IFLA_VXLAN.LOCAL6) vxlan.local = data.ip();
  }
  link.vxlan = vxlan;
}
