// include/uapi/linux/wireguard.h
export const WG_FAMILY = 'wireguard';
export const WG_VERSION = 1;
export const WG_CMD = { GET_DEVICE: 0, SET_DEVICE: 1 } as const;
export const WGDEVICE_A = {
  IFINDEX: 1,
  IFNAME: 2,
  PRIVATE_KEY: 3,
  PUBLIC_KEY: 4,
  LISTEN_PORT: 6,
  PEERS: 8,
} as const;
export const WGPEER_A = {
  PUBLIC_KEY: 1,
  PRESHARED_KEY: 2,
  FLAGS: 3,
  ENDPOINT: 4,
  KEEPALIVE: 5,
  LAST_HANDSHAKE: 6,
  RX_BYTES: 7,
  TX_BYTES: 8,
  ALLOWED_IPS: 9,
} as const;
export const WGPEER_F = { REMOVE_ME: 1, REPLACE_ALLOWED_IPS: 2 } as const;
export const WGALLOWEDIP_A = { FAMILY: 1, IP: 2, PREFIX: 3 } as const;
export const WG_KEY_BYTES = 32;
