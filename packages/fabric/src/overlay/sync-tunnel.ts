import {
  formatCidr,
  type Genl,
  type Link,
  linkAdd,
  linkDel,
  linkFind,
  linkGet,
  linkSet,
  type Rtnl,
  type WireguardDevice,
  type WireguardPeer,
  type WireguardPeerSpec,
  wireguardGet,
  wireguardSet,
} from '@amphipod/netlink';
import { syncAddresses } from './sync-devices.ts';
import type { Removals } from './sync-peers.ts';
import type { WantedTunnel, WantedTunnelDevice } from './wanted-tunnel.ts';

/** WireGuard's REJECT_AFTER_TIME: a peer whose last handshake is older is not connected. */
const CONNECTED_MS = 180_000;

/** Connections for the two families of messages that a tunnel takes. */
export interface TunnelConns {
  rtnl: Rtnl;
  genl: Genl;
}

/**
 * Makes a WireGuard device as it is wanted: link, addresses, key, port, peers. What is right stays untouched; peers that nobody
 * wants go with `removals`, once the routes no longer need them.
 * @returns among others the numbers of differences
 */
export async function syncTunnel(
  { rtnl, genl }: TunnelConns,
  tunnel: WantedTunnel,
  removals: Removals,
): Promise<{ ifIndex: number; device: number; peer: number }> {
  const { device } = tunnel;
  const { link, mended: linkMended } = await syncLink(rtnl, device);
  const { ifIndex } = link;
  const found = wireguardGet(genl, device.name);
  let mended = linkMended + syncAddresses(rtnl, ifIndex, device.addresses);
  if (found.publicKey !== device.publicKey || found.listenPort !== device.listenPort) {
    const { privateKey, listenPort } = device;
    wireguardSet(genl, device.name, { privateKey, listenPort });
    mended++;
  }
  // What is looked at now need not be gone through once more.
  tunnel.takeChanges();
  const { wrong, unwanted } = peerDifferences(found, tunnel);
  if (wrong.length > 0) wireguardSet(genl, device.name, { peers: wrong });
  if (unwanted.length > 0) removals.push(() => wireguardSet(genl, device.name, { removedPeers: unwanted }));
  return { ifIndex, device: mended, peer: wrong.length + unwanted.length };
}

async function syncLink(conn: Rtnl, device: WantedTunnelDevice): Promise<{ link: Link; mended: number }> {
  const { name, mtu } = device;
  const found = linkFind(conn, name);
  if (found !== undefined && isTunnelAsWanted(found, device)) return { link: found, mended: 0 };
  if (found?.kind === 'wireguard') {
    linkSet(conn, found.ifIndex, { mtu, up: true });
    return { link: linkGet(conn, found.ifIndex), mended: 1 };
  }
  if (found !== undefined) await linkDel(conn, found.ifIndex);
  return { link: linkAdd(conn, { kind: 'wireguard', name, mtu, up: true }), mended: 1 };
}

/** True when nothing about the link itself is to be mended. */
export function isTunnelAsWanted({ kind, mtu, flags }: Link, device: WantedTunnelDevice): boolean {
  return kind === 'wireguard' && mtu === device.mtu && flags.up;
}

/** Makes what leases have changed since the last time. @returns the number of changes */
export function applyTunnelChanges(genl: Genl, tunnel: WantedTunnel, removals: Removals): number {
  const changed = [...tunnel.takeChanges()];
  const peers = changed.flatMap((key) => tunnel.peer(key) ?? []);
  const gone = changed.filter((key) => tunnel.peer(key) === undefined);
  const { name } = tunnel.device;
  if (peers.length > 0) wireguardSet(genl, name, { peers });
  if (gone.length > 0) removals.push(() => wireguardSet(genl, name, { removedPeers: gone }));
  return changed.length;
}

/** True when key, port and peers of a tunnel are as wanted: the kernel announces no change of them. */
export function isTunnelUntouched(genl: Genl, tunnel: WantedTunnel): boolean {
  const { name, publicKey, listenPort } = tunnel.device;
  const found = wireguardGet(genl, name);
  const { wrong, unwanted } = peerDifferences(found, tunnel);
  return (
    wrong.length + unwanted.length === 0 && found.publicKey === publicKey && found.listenPort === listenPort
  );
}

/** Peers to write, and the public keys of those that nobody wants. */
export function peerDifferences(
  { peers }: Pick<WireguardDevice, 'peers'>,
  tunnel: Pick<WantedTunnel, 'keys' | 'peer'>,
): { wrong: WireguardPeerSpec[]; unwanted: string[] } {
  const missing = tunnel.keys();
  const wrong: WireguardPeerSpec[] = [];
  const unwanted: string[] = [];
  for (const peer of peers) {
    const want = tunnel.peer(peer.publicKey);
    missing.delete(peer.publicKey);
    if (want === undefined) unwanted.push(peer.publicKey);
    else if (!isSame(peer, want)) wrong.push(want);
  }
  return { wrong: [...wrong, ...[...missing].map((key) => tunnel.peer(key)!)], unwanted };
}

function isSame(peer: WireguardPeer, want: WireguardPeerSpec): boolean {
  const networks = (list: WireguardPeerSpec['allowedIps']) => list.map(formatCidr).sort().join();
  return (
    peer.presharedKey === want.presharedKey &&
    peer.keepaliveSeconds === want.keepaliveSeconds &&
    networks(peer.allowedIps) === networks(want.allowedIps) &&
    hasRightEndpoint(peer, want)
  );
}

/** A peer that is connected may have moved: the kernel follows the packets that it signs. */
function hasRightEndpoint(
  { endpoint, lastHandshakeMs = 0 }: WireguardPeer,
  want: WireguardPeerSpec,
): boolean {
  if (endpoint === undefined) return false;
  const { ip, port } = want.endpoint;
  const isAsTold =
    endpoint.ip.family === ip.family && endpoint.ip.value === ip.value && endpoint.port === port;
  return isAsTold || Date.now() - lastHandshakeMs < CONNECTED_MS;
}
