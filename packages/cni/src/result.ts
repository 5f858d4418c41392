/** An interface that an attachment made or uses. */
export interface ResultInterface {
  name: string;
  mac?: string;
  /** Bytes; 1.1.0. */
  mtu?: number;
  /** Path of the network namespace; absent for interfaces of the host. */
  sandbox?: string;
  /** 1.1.0: vhost-user and the like. */
  socketPath?: string;
  /** 1.1.0. */
  pciID?: string;
}

/** An address; the host bits of `address` are those of the address itself (`10.1.2.3/24`). */
export interface ResultIp {
  address: string;
  gateway?: string;
  /** Index into {@link Result.interfaces}. */
  interface?: number;
}

export interface ResultRoute {
  dst: string;
  gw?: string;
  /** From here on 1.1.0. */
  mtu?: number;
  advmss?: number;
  priority?: number;
  table?: number;
  scope?: number;
}

export interface Dns {
  nameservers?: string[];
  domain?: string;
  search?: string[];
  options?: string[];
}

/** What ADD answers, always in the shape of version 1.1.0; other versions exist only on the wire and on disk. */
export interface Result {
  interfaces?: ResultInterface[];
  ips?: ResultIp[];
  routes?: ResultRoute[];
  dns?: Dns;
}
