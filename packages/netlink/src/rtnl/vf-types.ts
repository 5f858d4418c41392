import type { VlanProtocol } from './link-types.ts';

/** Of a virtual function's link as it sees it: as the physical port's, or always one of both. */
export type VfLinkState = 'auto' | 'enable' | 'disable';

/** Settings of a virtual function that its physical function has; what is absent stays. */
export interface VfSettings {
  /** Administrative hardware address; zeroes: the virtual function chooses its own. */
  mac?: string;
  /** VLAN of all its frames, which it does not see; 0: none. */
  vlan?: { id: number; qos: number; protocol: VlanProtocol };
  /** Frames with another sender's hardware address are dropped. */
  spoofCheck?: boolean;
  /** It may change its own hardware address, go promiscuous, and the like. */
  trust?: boolean;
  linkState?: VfLinkState;
  /** Mbit/s; 0: no limit. Both are said at once. */
  rate?: { min: number; max: number };
}

/** A virtual function as its physical function describes it. */
export interface VfInfo extends Required<Pick<VfSettings, 'mac' | 'vlan' | 'rate' | 'linkState'>> {
  /** From 0 on, in the order of `virtfnN`. */
  index: number;
  /** Undefined where the driver does not tell. */
  spoofCheck?: boolean;
  trust?: boolean;
}
