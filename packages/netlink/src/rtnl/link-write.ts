import type { MessageWriter } from '../attributes.ts';
import { parseMac } from '../mac.ts';
import { AF, IFF, IFLA, IFLA_BRPORT, IFLA_INET_CONF, IFLA_INFO, IPV4_DEVCONF } from './constants.ts';
import type { BridgePort, Ipv4Settings, LinkChange, LinkCommon } from './link-types.ts';

const IFALIASZ = 256;

/** struct ifinfomsg and the attributes that both new and old links take. */
export function writeCommon(
  writer: MessageWriter,
  ifIndex: number,
  change: LinkChange & Partial<LinkCommon>,
): void {
  const { flags, mask } = changedFlags(change);
  const header = writer.header(16);
  header.writeInt32LE(ifIndex, 4);
  header.writeUInt32LE(flags, 8);
  header.writeUInt32LE(mask, 12);
  if (change.name !== undefined) writer.string(IFLA.IFNAME, change.name);
  if (change.mtu !== undefined) writer.u32(IFLA.MTU, change.mtu);
  if (change.mac !== undefined) writer.bytesOf(IFLA.ADDRESS, parseMac(change.mac));
  if (change.txQueueLength !== undefined) writer.u32(IFLA.TXQLEN, change.txQueueLength);
  if (change.txQueues !== undefined) writer.u32(IFLA.NUM_TX_QUEUES, change.txQueues);
  if (change.rxQueues !== undefined) writer.u32(IFLA.NUM_RX_QUEUES, change.rxQueues);
  if (change.masterIndex !== undefined) writer.u32(IFLA.MASTER, change.masterIndex);
  if (change.netnsFd !== undefined) writer.u32(IFLA.NET_NS_FD, change.netnsFd);
  if (change.alias !== undefined) writer.bytesOf(IFLA.IFALIAS, aliasBytes(change.alias));
}

function changedFlags(change: LinkChange): { flags: number; mask: number } {
  let flags = 0;
  let mask = 0;
  const set = (value: boolean | undefined, bit: number) => {
    if (value !== undefined) mask |= bit;
    if (value === true) flags |= bit;
  };
  set(change.up, IFF.UP);
  set(change.promisc, IFF.PROMISC);
  set(change.allMulti, IFF.ALLMULTI);
  return { flags, mask };
}

function aliasBytes(alias: string): Buffer {
  const bytes = Buffer.from(alias);
  if (bytes.length >= IFALIASZ) {
    throw new RangeError(`set link alias: ${bytes.length} bytes exceed ${IFALIASZ - 1}`);
  }
  return bytes;
}

/** IFLA_LINKINFO with the port settings (`ip link set … type bridge_slave …`). */
export function writeBridgePort(writer: MessageWriter, port: BridgePort): void {
  const set = (type: number, value: boolean | undefined) => {
    if (value !== undefined) writer.u8(type, Number(value));
  };
  writer.nested(IFLA.LINKINFO, () => {
    writer.string(IFLA_INFO.SLAVE_KIND, 'bridge');
    writer.nested(IFLA_INFO.SLAVE_DATA, () => {
      set(IFLA_BRPORT.MODE, port.hairpin);
      set(IFLA_BRPORT.ISOLATED, port.isolated);
      set(IFLA_BRPORT.LEARNING, port.learning);
      set(IFLA_BRPORT.UNICAST_FLOOD, port.flood);
      set(IFLA_BRPORT.MCAST_FLOOD, port.mcastFlood);
      set(IFLA_BRPORT.GUARD, port.guard);
      set(IFLA_BRPORT.NEIGH_SUPPRESS, port.neighSuppress);
      set(IFLA_BRPORT.PROXYARP, port.proxyArp);
    });
  });
}

/** IFLA_AF_SPEC with per-link settings of IPv4 (`sysctl net.ipv4.conf.LINK.…`). */
export function writeIpv4Settings(writer: MessageWriter, { arpNotify }: Ipv4Settings): void {
  writer.nested(IFLA.AF_SPEC, () => {
    writer.nested(AF.INET, () => {
      writer.nested(IFLA_INET_CONF, () => {
        if (arpNotify !== undefined) writer.u32(IPV4_DEVCONF.ARP_NOTIFY, Number(arpNotify));
      });
    });
  });
}
