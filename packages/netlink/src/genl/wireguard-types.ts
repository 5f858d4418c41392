import type { Cidr, IpAddress } from '../ip.ts';

/** Where packets of a WireGuard peer go to. */
export interface WireguardEndpoint {
  ip: IpAddress;
  /** UDP */
  port: number;
}

/** Another end of a WireGuard device. Keys are 32 bytes in base64, as `wg` writes them. */
export interface WireguardPeer {
  publicKey: string;
  presharedKey?: string;
  endpoint?: WireguardEndpoint;
  /** 0: none. */
  keepaliveSeconds: number;
  /** What comes from this peer, and what goes to it. */
  allowedIps: Cidr[];
  /** Milliseconds since 1970; absent before the first handshake. */
  lastHandshakeMs?: number;
  receivedBytes: bigint;
  sentBytes: bigint;
}

/** A WireGuard device as the kernel describes it. */
export interface WireguardDevice {
  ifIndex: number;
  name: string;
  /** Absent while the device has no private key. */
  publicKey?: string;
  /** UDP; 0 before the device is up. */
  listenPort: number;
  peers: WireguardPeer[];
}

/** A peer to be made, or made different. */
export interface WireguardPeerSpec {
  publicKey: string;
  /** None unless given. */
  presharedKey?: string;
  endpoint: WireguardEndpoint;
  /** 0: none. */
  keepaliveSeconds: number;
  /** In the place of those that the peer has; another peer of the device loses them. */
  allowedIps: readonly Cidr[];
}

/** Changes to a WireGuard device; what is absent stays. */
export interface WireguardChange {
  privateKey?: string;
  listenPort?: number;
  /** Added, or replaced where the key is there. */
  peers?: readonly WireguardPeerSpec[];
  /** Public keys of peers to take out. */
  removedPeers?: readonly string[];
}
