import {
  addrAdd,
  addrDel,
  addrList,
  type Cidr,
  formatCidr,
  formatIp,
  type Link,
  linkAdd,
  linkDel,
  linkFind,
  linkGet,
  linkSet,
  RT_SCOPE,
  type Rtnl,
} from '@amphipod/netlink';
import type { WantedDevice } from './wanted-state.ts';

/**
 * Makes a VXLAN device as it is wanted: the link itself and its addresses. What is right stays untouched.
 * @returns the number of differences mended
 */
export async function syncDevice(
  conn: Rtnl,
  device: WantedDevice,
): Promise<{ ifIndex: number; mended: number }> {
  const { link, mended } = await syncLink(conn, device);
  return { ifIndex: link.ifIndex, mended: mended + syncAddresses(conn, link.ifIndex, [device.address]) };
}

async function syncLink(conn: Rtnl, device: WantedDevice): Promise<{ link: Link; mended: number }> {
  const { name, vni, gbp, parentIndex, local, mtu, mac } = device;
  const found = linkFind(conn, name);
  if (found !== undefined && isAsWanted(found, device)) return { link: found, mended: 0 };
  if (found !== undefined && isSuitable(found, device)) {
    linkSet(conn, found.ifIndex, { mtu, mac, up: true });
    return { link: linkGet(conn, found.ifIndex), mended: 1 };
  }
  // Settings of a VXLAN cannot be changed afterwards.
  if (found !== undefined) await linkDel(conn, found.ifIndex);
  const port = device.port === 0 ? {} : { port: device.port };
  const link = linkAdd(conn, {
    kind: 'vxlan',
    name,
    vni,
    ...port,
    parentIndex,
    local,
    learning: false,
    gbp,
    mtu,
    mac,
    up: true,
  });
  return { link, mended: 1 };
}

/** True when nothing about the link itself is to be mended. */
export function isAsWanted(link: Link, device: WantedDevice): boolean {
  const { mtu, mac } = device;
  return isSuitable(link, device) && link.mtu === mtu && link.mac === mac && link.flags.up;
}

function isSuitable({ vxlan }: Link, { vni, port, parentIndex, local }: WantedDevice): boolean {
  return (
    vxlan !== undefined &&
    vxlan.vni === vni &&
    !vxlan.learning &&
    vxlan.parentIndex === parentIndex &&
    vxlan.local !== undefined &&
    formatIp(vxlan.local) === formatIp(local) &&
    (port === 0 || vxlan.port === port)
  );
}

/** Gives a link these addresses and no others. @returns the number of differences */
export function syncAddresses(conn: Rtnl, ifIndex: number, addresses: readonly Cidr[]): number {
  const missing = new Map(addresses.map((address) => [formatCidr(address), address]));
  let mended = 0;
  for (const { cidr, scope } of addrList(conn, { ifIndex })) {
    if (missing.delete(formatCidr(cidr))) continue;
    // The kernel gives a link addresses that reach no further than it by itself.
    if (scope === RT_SCOPE.link) continue;
    addrDel(conn, ifIndex, cidr);
    mended++;
  }
  for (const address of missing.values()) {
    addrAdd(conn, ifIndex, address, address.ip.family === 6 ? { noDad: true } : {});
  }
  return mended + missing.size;
}
