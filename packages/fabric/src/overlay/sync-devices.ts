import {
  addrAdd,
  addrDel,
  addrList,
  type FdbEntry,
  fdbDel,
  fdbList,
  fdbReplace,
  formatCidr,
  formatIp,
  type Link,
  linkAdd,
  linkDel,
  linkFind,
  linkGet,
  linkSet,
  type Neighbour,
  neighDel,
  neighList,
  neighReplace,
  RT_SCOPE,
  type Rtnl,
} from '@amphipod/netlink';
import type { Mended } from './mended.ts';
import type { WantedDevice } from './wanted-state.ts';

/**
 * Makes a VXLAN device as it is wanted: the link itself, its addresses, the other nodes behind it. What is right stays
 * untouched. Entries that nobody wants are only found here; `removals` take them out once the routes no longer need them.
 * @returns among others the numbers of differences mended
 */
export async function syncDevice(
  conn: Rtnl,
  device: WantedDevice,
): Promise<{ ifIndex: number; mended: Partial<Mended>; removals: (() => void)[] }> {
  const { link, mended: linkMended } = await syncLink(conn, device);
  const removals: (() => void)[] = [];
  const { ifIndex } = link;
  const mended = {
    device: linkMended,
    address: syncAddresses(conn, ifIndex, device),
    neighbour: syncNeighbours(conn, ifIndex, { device, removals }),
    fdb: syncFdb(conn, ifIndex, { device, removals }),
  };
  return { ifIndex, mended, removals };
}

async function syncLink(conn: Rtnl, device: WantedDevice): Promise<{ link: Link; mended: number }> {
  const { name, vni, gbp, parentIndex, local, mtu, mac } = device;
  const found = linkFind(conn, name);
  if (found !== undefined && isSuitable(found, device)) {
    if (found.mtu === mtu && found.mac === mac && found.flags.up) return { link: found, mended: 0 };
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

function syncAddresses(conn: Rtnl, ifIndex: number, { address }: WantedDevice): number {
  const wanted = formatCidr(address);
  let mended = 0;
  let isThere = false;
  for (const { cidr, scope } of addrList(conn, { ifIndex })) {
    if (formatCidr(cidr) === wanted) isThere = true;
    // The kernel gives a link addresses that reach no further than it by itself.
    else if (scope !== RT_SCOPE.link) {
      addrDel(conn, ifIndex, cidr);
      mended++;
    }
  }
  if (isThere) return mended;
  addrAdd(conn, ifIndex, address, address.ip.family === 6 ? { noDad: true } : {});
  return mended + 1;
}

interface Peers {
  device: WantedDevice;
  removals: (() => void)[];
}

function syncNeighbours(conn: Rtnl, ifIndex: number, { device, removals }: Peers): number {
  const found = new Map<string, Neighbour>();
  const { family } = device.address.ip;
  const wanted = new Set(device.peers.map(({ vtep }) => formatIp(vtep)));
  for (const neighbour of neighList(conn, { ifIndex, family })) {
    const key = formatIp(neighbour.ip);
    found.set(key, neighbour);
    if (!wanted.has(key) && isEntry(neighbour)) removals.push(() => neighDel(conn, neighbour));
  }
  let mended = removals.length;
  for (const { vtep, mac } of device.peers) {
    const there = found.get(formatIp(vtep));
    if (there?.mac === mac && there.state === 'permanent') continue;
    neighReplace(conn, { ifIndex, ip: vtep, mac });
    mended++;
  }
  return mended;
}

/** The kernel's own entries (multicast groups, questions without an answer) come and go by themselves. */
function isEntry({ mac, state }: Neighbour): boolean {
  return mac !== undefined && state !== 'noarp' && state !== 'failed' && state !== 'incomplete';
}

function syncFdb(conn: Rtnl, ifIndex: number, { device, removals }: Peers): number {
  const wanted = new Map(device.peers.map((peer) => [peer.mac, formatIp(peer.dst)]));
  const right = new Set<string>();
  let mended = 0;
  for (const entry of fdbList(conn, { ifIndex })) {
    const isToRightHost = isPlain(entry) && formatIp(entry.dst!) === wanted.get(entry.mac);
    if (isToRightHost && entry.isPermanent) right.add(entry.mac);
    // What was learned from frames, and rightly so, is made to stay below.
    if (isToRightHost) continue;
    mended++;
    // Replacing changes the host of an entry in place; what is then left of it is taken out.
    removals.push(() => fdbDel(conn, entry));
  }
  for (const { mac, dst } of device.peers) {
    if (right.has(mac)) continue;
    fdbReplace(conn, { ifIndex, mac, dst });
    mended++;
  }
  return mended;
}

/** To a host, by the device's own port and network. */
function isPlain({ dst, vni, port }: FdbEntry): boolean {
  return dst !== undefined && vni === undefined && port === undefined;
}
