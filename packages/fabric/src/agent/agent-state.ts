/** What an agent tells of itself over its socket; addresses, networks and times (RFC 3339) are text. */
export interface AgentState {
  startedAt: string;
  /** `waiting` for the datastore, the configuration or an address; `running` with a lease; `ended`. */
  phase: 'waiting' | 'running' | 'ended';
  /** What it waits for, or why it ended. */
  why?: string;
  /** Where leases are kept: `etcd at http://192.0.2.10:2379`. */
  datastore: string;
  /** The prefix of its keys. */
  prefix: string;
  health: AgentHealth;
  /** All that follows is of the overlay as of now, and absent before there was one. */
  overlay?: OverlayState;
  sync: SyncState;
  store: StoreState;
}

/** Whether the agent works, and whether the node's pods can use the overlay. Empty lists say yes. */
export interface AgentHealth {
  /** What a restart of the agent might mend. */
  unhealthy: string[];
  unready: string[];
}

export interface OverlayState {
  backend: string;
  /** For vxlan. */
  vni?: number;
  /** UDP, for each family; for vxlan and wireguard. 0: VXLAN's usual one. */
  port?: number;
  ipv6Port?: number;
  /** The link to the other nodes and our addresses on it. */
  underlay: { interface: string; mtu: number; ip?: string; ipv6?: string };
  subnet?: string;
  ipv6Subnet?: string;
  /** The lease runs out when nobody renews it. */
  expires: boolean;
  /** The MTU of pods. */
  mtu: number;
  devices: { name: string; kind: string; mtu: number; addresses: string[]; peers: number }[];
  nodes: NodeState[];
}

/** Another node, as its lease tells. */
export interface NodeState {
  /** What the datastore calls its lease: a key, or the node's name in Kubernetes. */
  id: string;
  subnet?: string;
  ipv6Subnet?: string;
  publicIp?: string;
  publicIpv6?: string;
  backend: string;
  vni?: number;
  /** UDP ports of its WireGuard devices, where it tells them. */
  port?: number;
  ipv6Port?: number;
  /** How its subnets are reached: through a device of the overlay, over the underlay's link, or not at all. */
  via: 'device' | 'link' | 'none';
  /** Why nothing can be done for it, or for one of its families. */
  passedOver: string[];
}

/** Looks at the kernel since the agent started. */
export interface SyncState {
  count: number;
  failures: number;
  /** Of the last one that found or made everything right. */
  lastGoodAt?: string;
  /** Milliseconds that it took. */
  lastMs?: number;
  /** Differences mended, by kind. */
  mended: Record<string, number>;
  /** When the last difference was mended. */
  lastMendedAt?: string;
  /** Of the last look, when it failed. */
  error?: string;
}

export interface StoreState {
  /** Calls that failed since the agent started. */
  errors: number;
  /** Of the last call, when it failed. */
  error?: string;
  /** When the lease was last acquired or renewed. */
  lastRenewedAt?: string;
}
