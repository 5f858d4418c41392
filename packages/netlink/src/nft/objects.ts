import type { NftExpression, NftVerdict } from './expression-types.ts';
import type { NftValue, NftValueType } from './value-types.ts';

export type NftFamily = 'ip' | 'ip6' | 'inet' | 'arp' | 'bridge' | 'netdev';
export type NftHook = 'prerouting' | 'input' | 'forward' | 'output' | 'postrouting' | 'ingress' | 'egress';

/** Which table; every object is in one. */
export interface NftTableRef {
  family: NftFamily;
  table: string;
}

export interface NftTable extends NftTableRef {
  object: 'table';
  /** Its chains see no packets. */
  isDormant?: boolean;
  comment?: string;
  /** Given by the kernel. */
  handle?: bigint;
}

/** Where a chain hangs in the packet's way: `type nat hook prerouting priority -100; policy accept;`. */
export interface NftBaseChain {
  type: 'filter' | 'nat' | 'route';
  hook: NftHook;
  /** Lower comes first; nft's names: raw -300, mangle -150, dstnat -100, filter 0, security 50, srcnat 100. */
  priority: number;
  /** `accept` unless given. */
  policy?: 'accept' | 'drop';
  /** For ingress and egress. */
  device?: string;
}

export interface NftChain extends NftTableRef {
  object: 'chain';
  chain: string;
  /** Absent for a chain that is only jumped to. */
  base?: NftBaseChain;
  comment?: string;
  handle?: bigint;
}

export interface NftRule extends NftTableRef {
  object: 'rule';
  chain: string;
  expressions: NftExpression[];
  comment?: string;
  /** As in {@link NftRuleSpec}. */
  mark?: string;
  /** Names the rule for replace and delete. */
  handle: bigint;
}

/** A rule to be made; the combinators give lists of expressions, which may be nested here as they come. */
export interface NftRuleSpec extends NftTableRef {
  object: 'rule';
  chain: string;
  expressions: readonly (NftExpression | readonly NftExpression[])[];
  comment?: string;
  /** A comment that neither `nft` nor `iptables` shows; they keep it when they change other rules. At most 127 bytes. */
  mark?: string;
  /** `add` puts the rule after the one with this handle, `insert` before it; without: at the end, at the start. */
  position?: bigint;
  /** For `replace`. */
  handle?: bigint;
}

interface NftSetCommon extends NftTableRef {
  set: string;
  /** Parts of the key, as `ipv4_addr . inet_service`. */
  key: readonly NftValueType[];
  /** Elements may be ranges. */
  hasIntervals?: boolean;
  /** Rules may add elements, elements may time out on their own. */
  isDynamic?: boolean;
  /** Elements may have a time limit. */
  hasTimeouts?: boolean;
  /** Time limit of elements that have none of their own. */
  timeoutMs?: number;
  /** Elements cannot change once a rule uses the set. */
  isConstant?: boolean;
  /** Greatest number of elements. */
  size?: number;
  comment?: string;
  handle?: bigint;
}

export interface NftSet extends NftSetCommon {
  object: 'set';
}

/** A map; with `data: 'verdict'` a verdict map. `set` is its name: sets and maps share one space of names. */
export interface NftMap extends NftSetCommon {
  object: 'map';
  data: readonly NftValueType[] | 'verdict';
}

/** An element of a set or map. */
export interface NftElement {
  key: readonly NftValue[];
  /** Last key of a range, included; the set must have `hasIntervals`. */
  keyEnd?: readonly NftValue[];
  /** A map's value. */
  data?: readonly NftValue[];
  /** A verdict map's value. */
  verdict?: NftVerdict;
  timeoutMs?: number;
  /** Only when reading: the time that is left. */
  expiresMs?: number;
  comment?: string;
}

/** Elements of a set or map; `of` gives their place and types. */
export interface NftElements {
  object: 'elements';
  of: NftSet | NftMap;
  elements: readonly NftElement[];
}

type TableRef = Pick<NftTable, 'object' | 'family' | 'table'>;
type ChainRef = Pick<NftChain, 'object' | 'family' | 'table' | 'chain'>;
/** Which rule. Handles begin anew when a table is made anew. */
export type NftRuleRef = Pick<NftRule, 'object' | 'family' | 'table' | 'chain' | 'handle'>;
type SetRef = Pick<NftSet | NftMap, 'object' | 'family' | 'table' | 'set'> & {
  /** For `delete`: refuse, with EBUSY, while there are elements in it. */
  onlyIfEmpty?: boolean;
};

/**
 * One step of a transaction, as the `nft` command of that name. `add` is content with what is there, `create` is not;
 * `delete` wants it there, `destroy` does not (tables and chains: with any kernel; others: from Linux 6.3 on). Flushing a
 * table or chain removes its rules, flushing a set its elements. What was read back can be handed in again.
 */
export type NftOp =
  | ({ op: 'add' | 'create' } & (NftTable | NftChain | NftSet | NftMap | NftElements))
  | ({ op: 'add' | 'insert' | 'replace' } & NftRuleSpec)
  | ({ op: 'delete' | 'destroy' } & (TableRef | ChainRef | NftRuleRef | SetRef | NftElements))
  | ({ op: 'flush' } & (TableRef | ChainRef | SetRef));
