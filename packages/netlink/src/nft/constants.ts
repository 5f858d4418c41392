// Numbers of nf_tables: include/uapi/linux/netfilter/{nfnetlink,nf_tables,nf_nat}.h, netfilter.h.
export const NFNL_SUBSYS = { CTNETLINK: 1, NFTABLES: 10 } as const;
export const NFNL_MSG_BATCH = { BEGIN: 16, END: 17 } as const;
export const NFNL_BATCH_GENID = 1;
export const NFPROTO = { inet: 1, ip: 2, arp: 3, netdev: 5, bridge: 7, ip6: 10 } as const;
// biome-ignore format: tables read best as tables
export const NFT_MSG = {
  NEWTABLE: 0, GETTABLE: 1, DELTABLE: 2, NEWCHAIN: 3, GETCHAIN: 4, DELCHAIN: 5, NEWRULE: 6, GETRULE: 7, DELRULE: 8,
  NEWSET: 9, GETSET: 10, DELSET: 11, NEWSETELEM: 12, GETSETELEM: 13, DELSETELEM: 14, GETGEN: 16,
  DESTROYTABLE: 26, DESTROYCHAIN: 27, DESTROYRULE: 28, DESTROYSET: 29, DESTROYSETELEM: 30,
} as const;
export const NFTA_GEN_ID = 1;
export const NFTA_LIST_ELEM = 1;
export const NFTA_TABLE = { NAME: 1, FLAGS: 2, HANDLE: 4, USERDATA: 6 } as const;
export const NFT_TABLE_F_DORMANT = 1;
// biome-ignore format: tables read best as tables
export const NFTA_CHAIN = { TABLE: 1, HANDLE: 2, NAME: 3, HOOK: 4, POLICY: 5, TYPE: 7, FLAGS: 10, USERDATA: 12 } as const;
export const NFTA_HOOK = { HOOKNUM: 1, PRIORITY: 2, DEV: 3, DEVS: 4 } as const;
// biome-ignore format: tables read best as tables
export const NFTA_RULE = { TABLE: 1, CHAIN: 2, HANDLE: 3, EXPRESSIONS: 4, POSITION: 6, USERDATA: 7 } as const;
// biome-ignore format: tables read best as tables
export const NFTA_SET = {
  TABLE: 1, NAME: 2, FLAGS: 3, KEY_TYPE: 4, KEY_LEN: 5, DATA_TYPE: 6, DATA_LEN: 7, DESC: 9, ID: 10, TIMEOUT: 11,
  GC_INTERVAL: 12, USERDATA: 13, HANDLE: 16,
} as const;
export const NFTA_SET_DESC = { SIZE: 1, CONCAT: 2 } as const;
export const NFTA_SET_FIELD_LEN = 1;
// biome-ignore format: tables read best as tables
export const NFT_SET = {
  ANONYMOUS: 0x1, CONSTANT: 0x2, INTERVAL: 0x4, MAP: 0x8, TIMEOUT: 0x10, EVAL: 0x20, OBJECT: 0x40, CONCAT: 0x80,
} as const;
// biome-ignore format: tables read best as tables
export const NFTA_SET_ELEM = {
  KEY: 1, DATA: 2, FLAGS: 3, TIMEOUT: 4, EXPIRATION: 5, USERDATA: 6, KEY_END: 10,
} as const;
export const NFT_SET_ELEM_INTERVAL_END = 1;
export const NFTA_SET_ELEM_LIST = { TABLE: 1, SET: 2, ELEMENTS: 3 } as const;
export const NFT_DATA_VERDICT = 0xffffff00;
export const NFTA_DATA = { VALUE: 1, VERDICT: 2 } as const;
export const NFTA_VERDICT = { CODE: 1, CHAIN: 2 } as const;
export const verdictCodes = { drop: 0, accept: 1, continue: -1, jump: -3, goto: -4, return: -5 } as const;
export const NFTA_EXPR = { NAME: 1, DATA: 2 } as const;
export const NFTA_IMMEDIATE = { DREG: 1, DATA: 2 } as const;
export const NFTA_BITWISE = { SREG: 1, DREG: 2, LEN: 3, MASK: 4, XOR: 5 } as const;
export const NFTA_CMP = { SREG: 1, OP: 2, DATA: 3 } as const;
export const cmpOps = { '==': 0, '!=': 1, '<': 2, '<=': 3, '>': 4, '>=': 5 } as const;
export const NFTA_RANGE = { SREG: 1, OP: 2, FROM_DATA: 3, TO_DATA: 4 } as const;
export const NFTA_LOOKUP = { SET: 1, SREG: 2, DREG: 3, FLAGS: 5 } as const;
export const NFT_LOOKUP_F_INV = 1;
export const NFTA_PAYLOAD = { DREG: 1, BASE: 2, OFFSET: 3, LEN: 4 } as const;
export const payloadBases = { link: 0, network: 1, transport: 2 } as const;
export const NFTA_META = { DREG: 1, KEY: 2, SREG: 3 } as const;
// biome-ignore format: tables read best as tables
export const metaKeys = {
  length: 0, protocol: 1, priority: 2, mark: 3, iif: 4, oif: 5, iifname: 6, oifname: 7, iiftype: 8, oiftype: 9,
  skuid: 10, skgid: 11, nftrace: 12, nfproto: 15, l4proto: 16, pkttype: 19, cpu: 20, cgroup: 23,
} as const;
export const NFTA_CT = { DREG: 1, KEY: 2, DIRECTION: 3, SREG: 4 } as const;
// biome-ignore format: tables read best as tables
export const ctKeys = {
  state: 0, direction: 1, status: 2, mark: 3, l3proto: 7, saddr: 8, daddr: 9, protocol: 10, 'proto-src': 11,
  'proto-dst': 12, zone: 17, 'ip saddr': 19, 'ip daddr': 20, 'ip6 saddr': 21, 'ip6 daddr': 22,
} as const;
export const ctDirections = { original: 0, reply: 1 } as const;
export const NFTA_FIB = { DREG: 1, RESULT: 2, FLAGS: 3 } as const;
export const fibResults = { oif: 1, oifname: 2, type: 3 } as const;
export const fibFlags = { saddr: 1, daddr: 2, mark: 4, iif: 8, oif: 16 } as const;
export const NFTA_NAT = {
  TYPE: 1,
  FAMILY: 2,
  ADDR_MIN: 3,
  ADDR_MAX: 4,
  PROTO_MIN: 5,
  PROTO_MAX: 6,
  FLAGS: 7,
} as const;
export const natTypes = { snat: 0, dnat: 1 } as const;
export const NFTA_MASQ = { FLAGS: 1, PROTO_MIN: 2, PROTO_MAX: 3 } as const;
export const NFTA_REDIR = { PROTO_MIN: 1, PROTO_MAX: 2, FLAGS: 3 } as const;
/** NF_NAT_RANGE_*; which parts are given the kernel works out itself. */
export const natFlags = { random: 4, persistent: 8, 'fully-random': 16 } as const;
export const NFTA_COUNTER = { BYTES: 1, PACKETS: 2 } as const;
export const NFTA_LOG = { GROUP: 1, PREFIX: 2, SNAPLEN: 3, LEVEL: 5, FLAGS: 6 } as const;
// biome-ignore format: tables read best as tables
export const logLevels = { emerg: 0, alert: 1, crit: 2, err: 3, warn: 4, notice: 5, info: 6, debug: 7 } as const;
export const NFTA_LIMIT = { RATE: 1, UNIT: 2, BURST: 3, TYPE: 4, FLAGS: 5 } as const;
/** Seconds per unit. */
export const limitUnits = { second: 1, minute: 60, hour: 3600, day: 86400, week: 604800 } as const;
export const limitKinds = { packets: 0, bytes: 1 } as const;
export const NFTA_MATCH = { NAME: 1, REV: 2, INFO: 3 } as const;
export const NFTA_REJECT = { TYPE: 1, CODE: 2 } as const;
export const rejectTypes = { icmp: 0, 'tcp reset': 1, icmpx: 2 } as const;
