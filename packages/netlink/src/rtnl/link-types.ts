import type { IpAddress } from '../ip.ts';

export interface LinkFlags {
  /** Administratively up. */
  up: boolean;
  /** Operational, as `RUNNING`. */
  running: boolean;
  loopback: boolean;
  broadcast: boolean;
  multicast: boolean;
  promisc: boolean;
  allMulti: boolean;
  noArp: boolean;
  /** Carrier. */
  lowerUp: boolean;
}

export type OperState = 'unknown' | 'notpresent' | 'down' | 'lowerlayerdown' | 'testing' | 'dormant' | 'up';

/** A network interface as the kernel describes it. */
export interface Link {
  ifIndex: number;
  name: string;
  /** `02:00:00:0a:0b:0c`; empty for links without a hardware address. */
  mac: string;
  mtu: number;
  txQueueLength: number;
  flags: LinkFlags;
  operState: OperState;
  /** `bridge`, `veth`, …; absent for hardware and the loopback. */
  kind?: string;
  /** The bridge that it is a port of, or the VRF that it is a member of. */
  masterIndex?: number;
  /** IFLA_LINK: a veth's peer, a vlan's or macvlan's parent; in the namespace `peerNetnsId` when that is set. */
  peerIndex?: number;
  peerNetnsId?: number;
  alias?: string;
  /** Number of users of promiscuous mode. */
  promiscuity: number;
  bridge?: { vlanFiltering: boolean; stp: boolean; mcastSnooping: boolean; vlanDefaultPvid: number };
  bridgePort?: {
    hairpin: boolean;
    isolated: boolean;
    learning: boolean;
    guard: boolean;
    neighSuppress: boolean;
  };
  vlan?: { id: number; protocol: VlanProtocol };
  vxlan?: { vni: number; port: number; parentIndex?: number; local?: IpAddress; learning: boolean };
  /** `bcQueueLength`: multicast frames that may wait, as asked for; kernels before 5.11 do not tell. */
  macvlan?: { mode: MacvlanMode; bcQueueLength?: number };
  ipvlan?: { mode: IpvlanMode; isolation?: IpvlanIsolation };
  /** Kind `tun`; owner and group are numeric ids. */
  tun?: { type: 'tun' | 'tap'; owner?: number; group?: number; persistent: boolean; multiQueue: boolean };
  /** Virtual routing and forwarding: the routing table of its members. */
  vrf?: { table: number };
}

export type MacvlanMode = 'private' | 'vepa' | 'bridge' | 'passthru' | 'source';
export type IpvlanMode = 'l2' | 'l3' | 'l3s';
/** No traffic between the ipvlans of a parent: none at all, or by way of the switch outside. */
export type IpvlanIsolation = 'private' | 'vepa';
export type VlanProtocol = '802.1Q' | '802.1ad';

/** What every new link can be given in the message that makes it. */
export interface LinkCommon {
  /** At most 15 bytes. */
  name: string;
  mtu?: number;
  mac?: string;
  /** Makes it a port of this bridge. */
  masterIndex?: number;
  up?: boolean;
  /** Open descriptor of the network namespace that the link is to be in. */
  netnsFd?: number;
  txQueueLength?: number;
  /** Number of queues; the kernel's own choice unless given. */
  txQueues?: number;
  rxQueues?: number;
}

/**
 * The second end of a veth pair; in the namespace of the connection unless `netnsFd` says otherwise. It can be neither up
 * nor in a bridge from the start: the kernel configures it before it joins the two ends (ENOTCONN).
 */
export type VethPeer = Omit<LinkCommon, 'masterIndex' | 'up'>;

/** Settings of a bridge; what is absent stays. */
export interface BridgeSettings {
  vlanFiltering?: boolean;
  /** 0: no VLAN for untagged frames. */
  vlanDefaultPvid?: number;
  stp?: boolean;
  mcastSnooping?: boolean;
  forwardDelaySeconds?: number;
  ageingSeconds?: number;
}

/** A link to be made. */
export type LinkSpec =
  | (LinkCommon & BridgeSettings & { kind: 'bridge' })
  | (LinkCommon & { kind: 'veth'; peer: VethPeer })
  | (LinkCommon & { kind: 'dummy' | 'ifb' | 'wireguard' })
  | (LinkCommon & { kind: 'vlan'; parentIndex: number; vlanId: number; protocol?: VlanProtocol })
  | (LinkCommon & { kind: 'macvlan'; parentIndex: number; mode?: MacvlanMode; bcQueueLength?: number })
  | (LinkCommon & { kind: 'ipvlan'; parentIndex: number; mode?: IpvlanMode; isolation?: IpvlanIsolation })
  | (LinkCommon & { kind: 'vrf'; table: number })
  | (LinkCommon & {
      kind: 'vxlan';
      vni: number;
      /** The link that carries the packets. */
      parentIndex?: number;
      /** UDP destination port; the kernel's own default is 8472. */
      port?: number;
      local?: IpAddress;
      learning?: boolean;
      /** Group based policy extension. */
      gbp?: boolean;
    });

/** Settings of a bridge port; what is absent stays. */
export interface BridgePort {
  /** A frame may leave through the port it came in by. */
  hairpin?: boolean;
  /** No frames between two isolated ports. */
  isolated?: boolean;
  learning?: boolean;
  /** Floods frames to unknown addresses out of this port. */
  flood?: boolean;
  mcastFlood?: boolean;
  /** Drops spanning tree packets that come in. */
  guard?: boolean;
  neighSuppress?: boolean;
  proxyArp?: boolean;
}

/** What is in /proc/sys/net/ipv4/conf/LINK/ otherwise; what is absent stays. */
export interface Ipv4Settings {
  /** Tells the neighbours of a new hardware address. */
  arpNotify?: boolean;
}

/** Changes to a link; what is absent stays. */
export interface LinkChange {
  up?: boolean;
  name?: string;
  mtu?: number;
  mac?: string;
  /** 0 takes the link out of its bridge. */
  masterIndex?: number;
  /** Moves the link into the namespace of this open descriptor. */
  netnsFd?: number;
  alias?: string;
  promisc?: boolean;
  allMulti?: boolean;
  txQueueLength?: number;
  /** The link must be a bridge port already. */
  bridgePort?: BridgePort;
  /** The link must be a bridge. */
  bridge?: BridgeSettings;
  ipv4?: Ipv4Settings;
}
