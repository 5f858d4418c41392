import type { MessageWriter } from '../attributes.ts';
import { NLM_F } from '../conn.ts';
import { ipToBytes } from '../ip.ts';
import { familyNumbers } from '../rtnl/address.ts';
import type { Genl } from './genl.ts';
import {
  WG_CMD,
  WG_FAMILY,
  WG_KEY_BYTES,
  WG_VERSION,
  WGALLOWEDIP_A,
  WGDEVICE_A,
  WGPEER_A,
  WGPEER_F,
} from './wireguard-constants.ts';
import { parseDevice } from './wireguard-parse.ts';
import type {
  WireguardChange,
  WireguardDevice,
  WireguardEndpoint,
  WireguardPeerSpec,
} from './wireguard-types.ts';

/** The list of peers is one attribute, which holds 64 KiB. */
const PEERS_IN_A_MESSAGE = 100;

/** `wg show NAME`. @throws NetlinkError ENODEV when there is no such link, EOPNOTSUPP when it is of another kind */
export function wireguardGet(conn: Genl, name: string): WireguardDevice {
  const command = { family: WG_FAMILY, command: WG_CMD.GET_DEVICE, version: WG_VERSION, flags: NLM_F.DUMP };
  const replies = conn.command(`read WireGuard device ${JSON.stringify(name)}`, command, (message) =>
    message.string(WGDEVICE_A.IFNAME, name),
  );
  return parseDevice(replies.map(({ payload }) => payload));
}

/** `wg set NAME [listen-port …] [private-key …] [peer … [remove] …]`. @throws NetlinkError; RangeError for a key that is none */
export function wireguardSet(conn: Genl, name: string, change: WireguardChange): void {
  const { peers = [], removedPeers = [], privateKey, listenPort } = change;
  const steps = [
    ...removedPeers.map((publicKey) => (message: MessageWriter) => writeRemoval(message, publicKey)),
    ...peers.map((peer) => (message: MessageWriter) => writePeer(message, peer)),
  ];
  for (let at = 0; at === 0 || at < steps.length; at += PEERS_IN_A_MESSAGE) {
    const isFirst = at === 0;
    set(conn, name, (message) => {
      if (isFirst && privateKey !== undefined) message.bytesOf(WGDEVICE_A.PRIVATE_KEY, keyBytes(privateKey));
      if (isFirst && listenPort !== undefined) message.u16(WGDEVICE_A.LISTEN_PORT, listenPort);
      const part = steps.slice(at, at + PEERS_IN_A_MESSAGE);
      if (part.length === 0) return;
      message.nested(WGDEVICE_A.PEERS, () => {
        for (const write of part) message.nested(0, () => write(message));
      });
    });
  }
}

function set(conn: Genl, name: string, fill: (message: MessageWriter) => void): void {
  const command = { family: WG_FAMILY, command: WG_CMD.SET_DEVICE, version: WG_VERSION, flags: NLM_F.ACK };
  conn.command(`set WireGuard device ${JSON.stringify(name)}`, command, (message) => {
    message.string(WGDEVICE_A.IFNAME, name);
    fill(message);
  });
}

function writeRemoval(message: MessageWriter, publicKey: string): void {
  message.bytesOf(WGPEER_A.PUBLIC_KEY, keyBytes(publicKey));
  message.u32(WGPEER_A.FLAGS, WGPEER_F.REMOVE_ME);
}

function writePeer(message: MessageWriter, peer: WireguardPeerSpec): void {
  const { publicKey, presharedKey, endpoint, keepaliveSeconds, allowedIps } = peer;
  message.bytesOf(WGPEER_A.PUBLIC_KEY, keyBytes(publicKey));
  // All zeros: none.
  const secret = presharedKey === undefined ? Buffer.alloc(WG_KEY_BYTES) : keyBytes(presharedKey);
  message.bytesOf(WGPEER_A.PRESHARED_KEY, secret);
  message.u32(WGPEER_A.FLAGS, WGPEER_F.REPLACE_ALLOWED_IPS);
  message.bytesOf(WGPEER_A.ENDPOINT, socketAddress(endpoint));
  message.u16(WGPEER_A.KEEPALIVE, keepaliveSeconds);
  message.nested(WGPEER_A.ALLOWED_IPS, () => {
    for (const { ip, prefix } of allowedIps) {
      message.nested(0, () => {
        message.u16(WGALLOWEDIP_A.FAMILY, familyNumbers[ip.family]);
        message.bytesOf(WGALLOWEDIP_A.IP, ipToBytes(ip));
        message.u8(WGALLOWEDIP_A.PREFIX, prefix);
      });
    }
  });
}

/** struct sockaddr_in or sockaddr_in6 */
function socketAddress({ ip, port }: WireguardEndpoint): Buffer {
  const address = Buffer.alloc(ip.family === 4 ? 16 : 28);
  address.writeUInt16LE(familyNumbers[ip.family], 0);
  address.writeUInt16BE(port, 2);
  ipToBytes(ip).copy(address, ip.family === 4 ? 4 : 8);
  return address;
}

/** True for 32 bytes in base64. */
export function isWireguardKey(text: string): boolean {
  return /^[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=$/.test(text);
}

function keyBytes(text: string): Buffer {
  // The text may be secret.
  if (!isWireguardKey(text)) throw new RangeError('set WireGuard device: a key is not 32 bytes in base64');
  return Buffer.from(text, 'base64');
}
