/** A token bucket filter: a limit for a whole link. */
export interface TbfOptions {
  kind: 'tbf';
  bytesPerSecond: number;
  /** The bucket, as the time that its bytes take at the rate: `transmitTicks`. */
  bufferTicks: number;
  /** Bytes that may wait. */
  limitBytes: number;
}

/** A hierarchy of limits; what no filter gives to a class goes to the default one. */
export interface HtbOptions {
  kind: 'htb';
  /** Minor number of the class; 0: unlimited. */
  defaultClass: number;
}

/** Sees what a link receives; it has no settings. */
export interface IngressOptions {
  kind: 'ingress';
}

export type QdiscOptions = TbfOptions | HtbOptions | IngressOptions;

/** A qdisc to be made. */
export type QdiscSpec = QdiscOptions & {
  ifIndex: number;
  /** {@link tcHandle}; the kernel picks one unless given. Ingress always has `ffff:`. */
  handle?: number;
};

/** A qdisc as the kernel describes it; of other kinds only the name is known. */
export interface Qdisc {
  ifIndex: number;
  handle: number;
  parent: number;
  kind: string;
  tbf?: TbfOptions;
  htb?: HtbOptions;
}

/** A class of HTB. */
export interface HtbClassSpec {
  ifIndex: number;
  handle: number;
  /** A qdisc or another class. */
  parent: number;
  bytesPerSecond: number;
  /** Reached by borrowing what others leave; the rate unless given. */
  ceilBytesPerSecond?: number;
  bufferTicks: number;
  ceilBufferTicks: number;
}

export type HtbClass = Required<HtbClassSpec>;
