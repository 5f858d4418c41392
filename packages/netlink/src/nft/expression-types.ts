import type {
  cmpOps,
  ctDirections,
  ctKeys,
  fibFlags,
  fibResults,
  limitKinds,
  limitUnits,
  logLevels,
  metaKeys,
  natFlags,
  natTypes,
  payloadBases,
  rejectTypes,
} from './constants.ts';

/** One of the sixteen 4-byte registers, 0 to 15; a longer value takes the following ones too. */
export type NftRegister = number;

export type NftMetaKey = keyof typeof metaKeys;
export type NftCtKey = keyof typeof ctKeys;
export type NftCmpOp = keyof typeof cmpOps;
export type NftNatFlag = keyof typeof natFlags;
export type NftFibFlag = keyof typeof fibFlags;
export type NftLogLevel = keyof typeof logLevels;

/** What becomes of the packet. */
export type NftVerdict =
  | { verdict: 'accept' | 'drop' | 'continue' | 'return' }
  | { verdict: 'jump' | 'goto'; chain: string };

/** One instruction of a rule, as `nft --debug=netlink list ruleset` shows them. The kernel runs them in order. */
export type NftExpression =
  | {
      expr: 'payload';
      base: keyof typeof payloadBases;
      offset: number;
      length: number;
      register: NftRegister;
    }
  | { expr: 'meta'; key: NftMetaKey; register: NftRegister }
  /** Writes the register to the packet (`meta mark set …`). */
  | { expr: 'meta-set'; key: NftMetaKey; register: NftRegister }
  | { expr: 'ct'; key: NftCtKey; direction?: keyof typeof ctDirections; register: NftRegister }
  | { expr: 'ct-set'; key: NftCtKey; register: NftRegister }
  | { expr: 'fib'; result: keyof typeof fibResults; flags: NftFibFlag[]; register: NftRegister }
  /** Ends the rule unless the comparison holds. */
  | { expr: 'cmp'; register: NftRegister; op: NftCmpOp; data: Buffer }
  /** Ends the rule unless the value lies in (or, inverted, outside of) the range, ends included. */
  | { expr: 'range'; register: NftRegister; from: Buffer; to: Buffer; isInverted?: boolean }
  /** register = (register & mask) ^ xor, into `to` when given. */
  | { expr: 'bitwise'; register: NftRegister; to?: NftRegister; mask: Buffer; xor: Buffer }
  /** Ends the rule unless the key is in the set; a map's value goes `to` a register, or is the verdict. */
  | { expr: 'lookup'; set: string; register: NftRegister; to?: NftRegister | 'verdict'; isInverted?: boolean }
  | { expr: 'immediate'; register: NftRegister; data: Buffer }
  | ({ expr: 'verdict' } & NftVerdict)
  | {
      expr: 'nat';
      type: keyof typeof natTypes;
      family: 'ip' | 'ip6';
      /** Registers that hold the address and the port, and the end of their ranges. */
      address?: NftRegister;
      addressMax?: NftRegister;
      port?: NftRegister;
      portMax?: NftRegister;
      flags?: NftNatFlag[];
    }
  | { expr: 'masquerade'; port?: NftRegister; portMax?: NftRegister; flags?: NftNatFlag[] }
  | { expr: 'redirect'; port?: NftRegister; portMax?: NftRegister; flags?: NftNatFlag[] }
  | { expr: 'counter'; packets?: bigint; bytes?: bigint }
  | { expr: 'log'; prefix?: string; level?: NftLogLevel; group?: number; snapLength?: number }
  /** Ends the rule when there are more than `rate` per `unit` (or, with `isOver`, when there are not). */
  | {
      expr: 'limit';
      rate: bigint;
      unit: keyof typeof limitUnits;
      burst?: number;
      kind?: keyof typeof limitKinds;
      isOver?: boolean;
    }
  /** `code` is the ICMP code; for icmpx 0 no-route, 1 port, 2 host, 3 admin-prohibited. */
  | { expr: 'reject'; type: keyof typeof rejectTypes; code?: number }
  | { expr: 'notrack' }
  /** A match of iptables (`-m NAME`) with its structure; {@link xt} makes them. */
  | { expr: 'xt-match'; name: string; revision: number; info: Buffer }
  /** Only when reading: an expression that this library has no type for. */
  | { expr: 'unknown'; name: string; data: Buffer };

/** The instruction of one kind. */
export type NftExpressionOf<Kind extends NftExpression['expr']> = Extract<NftExpression, { expr: Kind }>;
