/** The reference's plugins, as Debian 12 has them. */
export const PEER = 'containernetworking-plugins 1.1.1';
export const PEER_DIR = '/usr/lib/cni';
