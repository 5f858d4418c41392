// Numbers of traffic control: include/uapi/linux/{rtnetlink,pkt_sched,pkt_cls,gen_stats,tc_act/tc_mirred}.h.
// biome-ignore format: tables read best as tables
export const RTM_TC = {
  NEWQDISC: 36, DELQDISC: 37, GETQDISC: 38,
  NEWTCLASS: 40, DELTCLASS: 41, GETTCLASS: 42,
  NEWTFILTER: 44, DELTFILTER: 45, GETTFILTER: 46,
} as const;
/** Size of struct tcmsg. */
export const TCMSG = 20;
export const TCA = { KIND: 1, OPTIONS: 2 } as const;
/** Places that a qdisc can have on a link, beside a class. */
export const TC_H = { ROOT: 0xffffffff, INGRESS: 0xfffffff1 } as const;
export const TCA_TBF = { PARMS: 1, RATE64: 4, PRATE64: 5 } as const;
export const TCA_HTB = { PARMS: 1, INIT: 2, DIRECT_QLEN: 5, RATE64: 6, CEIL64: 7 } as const;
/** The version of HTB's messages, and the share of a class's rate that one round serves. */
export const HTB = { VERSION: 3, RATE2QUANTUM: 10 } as const;
export const TCA_U32 = { CLASSID: 1, SEL: 5, ACT: 7 } as const;
export const TC_U32_TERMINAL = 1;
export const TCA_ACT = { KIND: 1, OPTIONS: 2 } as const;
export const TCA_MIRRED_PARMS = 2;
export const TCA_EGRESS_REDIR = 1;
export const TC_ACT_STOLEN = 4;
