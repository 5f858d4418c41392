import { AttributeReader, MessageWriter } from '../attributes.ts';
import { type NetlinkRequest, NLM_F } from '../conn.ts';
import { ERRNO, malformed, NetlinkError } from '../errors.ts';
import { formatMac, parseMac } from '../mac.ts';
import { IFLA, IFLA_VF, IFLA_VF_INFO, IFLA_VF_VLAN_INFO, RTM, SKIP_STATS, WITH_VFS } from './constants.ts';
import { vlanProtocols } from './link-kinds.ts';
import type { VlanProtocol } from './link-types.ts';
import type { Rtnl } from './rtnl.ts';
import type { VfInfo, VfLinkState, VfSettings } from './vf-types.ts';

const IFINFOMSG = 16;
/** struct ifla_vf_mac: the number of the function, then 32 bytes whatever the address. */
const VF_MAC_BYTES = 36;
const ETH_ALEN = 6;
// IFLA_VF_LINK_STATE_* of include/uapi/linux/if_link.h, in order
const linkStates: readonly VfLinkState[] = ['auto', 'enable', 'disable'];
/** What drivers that know no such setting leave there. */
const UNSET = 0xffffffff;

/**
 * `ip link show PF`: the virtual functions of a physical one, by its index; empty for any other link.
 * @throws NetlinkError ENODEV
 */
export function vfList(conn: Rtnl, pfIndex: number): VfInfo[] {
  const message = new MessageWriter(64).message(RTM.GETLINK, NLM_F.REQUEST);
  message.header(IFINFOMSG).writeInt32LE(pfIndex, 4);
  message.u32(IFLA.EXT_MASK, WITH_VFS | SKIP_STATS);
  const op = `get virtual functions of link ${pfIndex}`;
  const [reply] = conn.execute({ op, message });
  if (reply === undefined) throw new NetlinkError(op, ERRNO.ENODEV);
  return parseVfs(reply.payload);
}

/** Reads the virtual functions in the payload of an RTM_NEWLINK. @throws NetlinkError EPROTO */
export function parseVfs(payload: Buffer): VfInfo[] {
  if (payload.length < IFINFOMSG) throw malformed(`link message of ${payload.length} bytes`);
  const attrs = new AttributeReader(payload, IFINFOMSG);
  const found: VfInfo[] = [];
  while (attrs.next()) {
    if (attrs.type !== IFLA.VFINFO_LIST) continue;
    const list = attrs.nested();
    while (list.next()) if (list.type === IFLA_VF_INFO) found.push(parseVf(list.nested()));
  }
  return found;
}

function parseVf(attrs: AttributeReader): VfInfo {
  const vf: VfInfo = {
    index: -1,
    mac: '',
    vlan: { id: 0, qos: 0, protocol: '802.1Q' },
    rate: { min: 0, max: 0 },
    linkState: 'auto',
  };
  while (attrs.next()) readVfAttribute(vf, attrs);
  return vf;
}

function readVfAttribute(vf: VfInfo, attrs: AttributeReader): void {
  // Each structure begins with the number of the function, then has numbers of 32 bits.
  const at = (i: number) => {
    const bytes = attrs.bytes();
    if (bytes.length < (i + 1) * 4) throw malformed(`VF attribute ${attrs.type} of ${bytes.length} bytes`);
    return bytes.readUInt32LE(i * 4);
  };
  switch (attrs.type) {
    case IFLA_VF.MAC:
      vf.index = at(0);
      vf.mac = formatMac(attrs.bytes().subarray(4, 4 + ETH_ALEN));
      break;
    case IFLA_VF.VLAN:
      vf.vlan = { ...vf.vlan, id: at(1), qos: at(2) };
      break;
    case IFLA_VF.VLAN_LIST:
      readVlanList(vf, attrs.nested());
      break;
    case IFLA_VF.RATE:
      vf.rate = { min: at(1), max: at(2) };
      break;
    case IFLA_VF.SPOOFCHK:
      if (at(1) !== UNSET) vf.spoofCheck = at(1) !== 0;
      break;
    case IFLA_VF.TRUST:
      if (at(1) !== UNSET) vf.trust = at(1) !== 0;
      break;
    case IFLA_VF.LINK_STATE:
      vf.linkState = linkStates[at(1)] ?? 'auto';
      break;
  }
}

function readVlanList(vf: VfInfo, list: AttributeReader): void {
  while (list.next()) {
    if (list.type !== IFLA_VF_VLAN_INFO) continue;
    const bytes = list.bytes();
    if (bytes.length < 14) throw malformed(`VLAN of a VF of ${bytes.length} bytes`);
    const number = bytes.readUInt16BE(12);
    const protocol: VlanProtocol = number === vlanProtocols['802.1ad'] ? '802.1ad' : '802.1Q';
    vf.vlan = { id: bytes.readUInt32LE(4), qos: bytes.readUInt32LE(8), protocol };
  }
}

/**
 * `ip link set PF vf N …`. The kernel applies the settings one after another: one that the driver refuses leaves those before it
 * done. @throws NetlinkError ENOTSUP and EINVAL from drivers that cannot; EPROTONOSUPPORT for 802.1ad
 */
export function vfSet(conn: Rtnl, pfIndex: number, vf: VfSettings & { index: number }): void {
  conn.execute(vfSetRequest(pfIndex, vf));
}

/** {@link vfSet} for {@link NetlinkConn.executeAll}. */
export function vfSetRequest(pfIndex: number, vf: VfSettings & { index: number }): NetlinkRequest {
  const message = new MessageWriter(256).message(RTM.NEWLINK, NLM_F.REQUEST | NLM_F.ACK);
  message.header(IFINFOMSG).writeInt32LE(pfIndex, 4);
  message.nested(IFLA.VFINFO_LIST, () => message.nested(IFLA_VF_INFO, () => writeVf(message, vf)));
  const { index, ...settings } = vf;
  return { op: `set ${Object.keys(settings).join(', ')} of vf ${index} of link ${pfIndex}`, message };
}

function writeVf(writer: MessageWriter, vf: VfSettings & { index: number }): void {
  const numbers = (...values: number[]) => {
    const bytes = Buffer.alloc(values.length * 4 + 4);
    for (const [i, value] of [vf.index, ...values].entries()) bytes.writeUInt32LE(value, i * 4);
    return bytes;
  };
  if (vf.mac !== undefined) {
    const bytes = Buffer.alloc(VF_MAC_BYTES);
    bytes.writeUInt32LE(vf.index, 0);
    parseMac(vf.mac).copy(bytes, 4);
    writer.bytesOf(IFLA_VF.MAC, bytes);
  }
  if (vf.vlan !== undefined) {
    const bytes = numbers(vf.vlan.id, vf.vlan.qos, 0);
    bytes.writeUInt16BE(vlanProtocols[vf.vlan.protocol], 12);
    writer.nested(IFLA_VF.VLAN_LIST, () => writer.bytesOf(IFLA_VF_VLAN_INFO, bytes));
  }
  if (vf.rate !== undefined) writer.bytesOf(IFLA_VF.RATE, numbers(vf.rate.min, vf.rate.max));
  if (vf.spoofCheck !== undefined) writer.bytesOf(IFLA_VF.SPOOFCHK, numbers(Number(vf.spoofCheck)));
  if (vf.linkState !== undefined) {
    writer.bytesOf(IFLA_VF.LINK_STATE, numbers(linkStates.indexOf(vf.linkState)));
  }
  if (vf.trust !== undefined) writer.bytesOf(IFLA_VF.TRUST, numbers(Number(vf.trust)));
}
