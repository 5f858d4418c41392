import { AttributeReader } from '../attributes.ts';
import { malformed } from '../errors.ts';
import { type Cidr, ipFromBytes } from '../ip.ts';
import { AF } from '../rtnl/constants.ts';
import { GENL_HEADER } from './genl.ts';
import { WG_KEY_BYTES, WGALLOWEDIP_A, WGDEVICE_A, WGPEER_A } from './wireguard-constants.ts';
import type { WireguardDevice, WireguardEndpoint, WireguardPeer } from './wireguard-types.ts';

/** Reads a device from the messages of a dump; a peer that filled one goes on in the next. @throws NetlinkError EPROTO */
export function parseDevice(payloads: readonly Buffer[]): WireguardDevice {
  const device: WireguardDevice = { ifIndex: 0, name: '', listenPort: 0, peers: [] };
  for (const payload of payloads) readDevice(device, new AttributeReader(payload, GENL_HEADER));
  if (device.name === '') throw malformed('WireGuard device without a name');
  return device;
}

function readDevice(device: WireguardDevice, attrs: AttributeReader): void {
  while (attrs.next()) {
    switch (attrs.type) {
      case WGDEVICE_A.IFINDEX:
        device.ifIndex = attrs.u32();
        break;
      case WGDEVICE_A.IFNAME:
        device.name = attrs.string();
        break;
      case WGDEVICE_A.PUBLIC_KEY:
        device.publicKey = readKey(attrs);
        break;
      case WGDEVICE_A.LISTEN_PORT:
        device.listenPort = attrs.u16();
        break;
      case WGDEVICE_A.PEERS: {
        const peers = attrs.nested();
        while (peers.next()) addPeer(device.peers, parsePeer(peers.nested()));
      }
    }
  }
}

function addPeer(peers: WireguardPeer[], peer: WireguardPeer): void {
  const last = peers.at(-1);
  if (last?.publicKey === peer.publicKey) last.allowedIps.push(...peer.allowedIps);
  else peers.push(peer);
}

function parsePeer(attrs: AttributeReader): WireguardPeer {
  const peer: WireguardPeer = {
    publicKey: '',
    keepaliveSeconds: 0,
    allowedIps: [],
    receivedBytes: 0n,
    sentBytes: 0n,
  };
  while (attrs.next()) readPeerAttribute(peer, attrs);
  if (peer.publicKey === '') throw malformed('WireGuard peer without a key');
  return peer;
}

function readPeerAttribute(peer: WireguardPeer, attrs: AttributeReader): void {
  switch (attrs.type) {
    case WGPEER_A.PUBLIC_KEY:
      peer.publicKey = readKey(attrs);
      break;
    case WGPEER_A.PRESHARED_KEY:
      if (attrs.bytes().some((byte) => byte !== 0)) peer.presharedKey = readKey(attrs);
      break;
    case WGPEER_A.ENDPOINT:
      peer.endpoint = readEndpoint(attrs.bytes());
      break;
    case WGPEER_A.KEEPALIVE:
      peer.keepaliveSeconds = attrs.u16();
      break;
    case WGPEER_A.LAST_HANDSHAKE: {
      const ms = readTime(attrs.bytes());
      if (ms > 0) peer.lastHandshakeMs = ms;
      break;
    }
    case WGPEER_A.RX_BYTES:
      peer.receivedBytes = read64(attrs.bytes(), 0);
      break;
    case WGPEER_A.TX_BYTES:
      peer.sentBytes = read64(attrs.bytes(), 0);
      break;
    case WGPEER_A.ALLOWED_IPS: {
      const networks = attrs.nested();
      while (networks.next()) peer.allowedIps.push(parseAllowedIp(networks.nested()));
    }
  }
}

function parseAllowedIp(attrs: AttributeReader): Cidr {
  let network: Partial<Cidr> = {};
  while (attrs.next()) {
    if (attrs.type === WGALLOWEDIP_A.IP) network = { ...network, ip: attrs.ip() };
    else if (attrs.type === WGALLOWEDIP_A.PREFIX) network = { ...network, prefix: attrs.u8() };
  }
  const { ip, prefix } = network;
  if (ip === undefined || prefix === undefined)
    throw malformed('WireGuard allowed address without its parts');
  return { ip, prefix };
}

function readKey(attrs: AttributeReader): string {
  if (attrs.size !== WG_KEY_BYTES) throw malformed(`WireGuard key of ${attrs.size} bytes`);
  return attrs.bytes().toString('base64');
}

/** struct sockaddr_in or sockaddr_in6 */
function readEndpoint(address: Buffer): WireguardEndpoint {
  const family = address.length < 8 ? undefined : address.readUInt16LE(0);
  const port = family === undefined ? 0 : address.readUInt16BE(2);
  if (family === AF.INET) return { ip: ipFromBytes(address.subarray(4, 8)), port };
  if (family === AF.INET6 && address.length >= 24) return { ip: ipFromBytes(address.subarray(8, 24)), port };
  throw malformed(`WireGuard endpoint of ${address.length} bytes and family ${family}`);
}

/** struct __kernel_timespec, in milliseconds */
function readTime(bytes: Buffer): number {
  return Number(read64(bytes, 0)) * 1000 + Math.floor(Number(read64(bytes, 8)) / 1e6);
}

function read64(bytes: Buffer, at: number): bigint {
  if (bytes.length < at + 8) throw malformed(`number of ${bytes.length - at} bytes, expected 8`);
  return bytes.readBigUInt64LE(at);
}
