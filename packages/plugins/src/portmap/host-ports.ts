import {
  type IpFamily,
  type NftElement,
  type NftMap,
  type NftOp,
  type NftRuleSpec,
  type NftSet,
  type NftTableRef,
  nft,
  parseCidr,
  parseIp,
} from '@amphipod/netlink';

const TABLE = 'amphipod_hostports';
/** Rules of pods whose ports are open under conditions. */
export const CONDITIONS_CHAIN = 'conditional';
const DSTNAT = -100;
const SRCNAT = 100;
/** Just before other filters. */
const PROTECT = -1;

/** Table, maps and sets of one family. */
export interface HostPortTable {
  family: IpFamily;
  ref: NftTableRef;
  /** protocol . port → address . port, for any address of the machine. */
  anyIp: NftMap;
  /** address . protocol . port → address . port. */
  oneIp: NftMap;
  /** pod . pod: connections of a pod to itself. */
  hairpin: NftSet;
  /** Pods that 127.0.0.1 may reach. */
  loopback: NftSet;
  /** Pods that see this machine as the source of every connection. */
  masqAll: NftSet;
}

export const tables: Record<IpFamily, HostPortTable> = { 4: tableOf(4), 6: tableOf(6) };

function tableOf(family: IpFamily): HostPortTable {
  const ref = { family: family === 4 ? 'ip' : 'ip6', table: TABLE } as const;
  const address = family === 4 ? 'ipv4_addr' : 'ipv6_addr';
  const data = [address, 'inet_service'] as const;
  const set = { object: 'set', ...ref } as const;
  return {
    family,
    ref,
    anyIp: { object: 'map', ...ref, set: 'hostports', key: ['inet_proto', 'inet_service'], data },
    oneIp: {
      object: 'map',
      ...ref,
      set: 'hostip_hostports',
      key: [address, 'inet_proto', 'inet_service'],
      data,
    },
    hairpin: { ...set, set: 'hairpin', key: [address, address] },
    loopback: { ...set, set: 'loopback', key: [address] },
    masqAll: { ...set, set: 'masq_all', key: [address] },
  };
}

/** All maps and sets of a table. */
export function setsOf({ anyIp, oneIp, hairpin, loopback, masqAll }: HostPortTable): (NftMap | NftSet)[] {
  return [anyIp, oneIp, hairpin, loopback, masqAll];
}

/** What belongs into one map or set. */
export interface Entry {
  of: NftMap | NftSet;
  element: NftElement;
}

/** The steps that put in or take out elements, one for each map or set. */
export function elementOps(op: 'create' | 'delete', entries: readonly Entry[]): NftOp[] {
  const bySet = Map.groupBy(entries, ({ of }) => of);
  return [...bySet].map(([of, list]) => ({
    op,
    object: 'elements',
    of,
    elements: list.map(({ element }) => element),
  }));
}

/** Table, sets and chains, made where they are missing; rules anew. One lookup for each packet, whatever the number of pods. */
export function frame(table: HostPortTable): NftOp[] {
  const { ref, family } = table;
  const chain = { object: 'chain', ...ref } as const;
  const base = (name: string, hook: 'prerouting' | 'output' | 'postrouting', priority: number): NftOp[] => [
    { op: 'add', ...chain, chain: name, base: { type: 'nat', hook, priority } },
    { op: 'flush', ...chain, chain: name },
  ];
  return [
    { op: 'add', object: 'table', ...ref, comment: 'Amphipod: host ports of pods (portmap)' },
    ...setsOf(table).map((set): NftOp => ({ op: 'add', ...set })),
    { op: 'add', ...chain, chain: CONDITIONS_CHAIN },
    { op: 'add', ...chain, chain: 'dnat' },
    { op: 'flush', ...chain, chain: 'dnat' },
    ...base('prerouting', 'prerouting', DSTNAT),
    ...base('output', 'output', DSTNAT),
    ...base('postrouting', 'postrouting', SRCNAT),
    ...natRules(table),
    ...(family === 4 ? protectLoopback(ref) : []),
  ];
}

function natRules({ ref, family, anyIp, oneIp, hairpin, loopback, masqAll }: HostPortTable): NftOp[] {
  const { saddr, daddr } = family === 4 ? nft.ip : nft.ip6;
  const to = { family: family === 4 ? 'ip' : 'ip6', hasPort: true } as const;
  const rule = (chain: string, ...expressions: NftRuleSpec['expressions'][number][]): NftOp => ({
    op: 'add',
    object: 'rule',
    ...ref,
    chain,
    expressions,
  });
  const isLocal = nft.eq(nft.fib.type('daddr'), nft.fibTypes.local);
  const cameThroughPort = nft.hasAny(nft.ct.status, nft.ctStatuses.dnat);
  const loopbackNet = parseCidr('127.0.0.0/8');
  return [
    rule('dnat', nft.jump(CONDITIONS_CHAIN)),
    rule('dnat', nft.dnatMap([daddr, nft.meta.l4proto, nft.th.dport], oneIp.set, to)),
    rule('dnat', nft.dnatMap([nft.meta.l4proto, nft.th.dport], anyIp.set, to)),
    rule('prerouting', isLocal, nft.jump('dnat')),
    // Other loopback addresses belong to programs such as a resolver (field case NET-12); ::1 cannot be led out.
    family === 4
      ? rule('output', nft.eq(daddr, loopbackNet), nft.ne(daddr, parseIp('127.0.0.1')), nft.verdict('return'))
      : rule('output', nft.eq(daddr, parseIp('::1')), nft.verdict('return')),
    rule('output', isLocal, nft.jump('dnat')),
    rule('postrouting', cameThroughPort, nft.inSet([saddr, daddr], hairpin.set), nft.masquerade()),
    ...(family === 4
      ? [
          rule(
            'postrouting',
            cameThroughPort,
            nft.eq(saddr, loopbackNet),
            nft.inSet(daddr, loopback.set),
            nft.masquerade(),
          ),
        ]
      : []),
    rule('postrouting', cameThroughPort, nft.inSet(daddr, masqAll.set), nft.masquerade()),
  ];
}

/** With route_localnet a pod could reach what listens on 127.0.0.1 (CVE-2020-8558); only answers may come in. */
function protectLoopback(ref: NftTableRef): NftOp[] {
  const chain = { object: 'chain', ...ref, chain: 'protect_loopback' } as const;
  const { new: isNew, invalid, untracked } = nft.ctStates;
  return [
    { op: 'add', ...chain, base: { type: 'filter', hook: 'input', priority: PROTECT } },
    { op: 'flush', ...chain },
    {
      op: 'add',
      object: 'rule',
      ...ref,
      chain: chain.chain,
      expressions: [
        nft.eq(nft.ip.daddr, parseCidr('127.0.0.0/8')),
        nft.ne(nft.meta.iifname, 'lo'),
        nft.hasAny(nft.ct.state, isNew | invalid | untracked),
        nft.verdict('drop'),
      ],
    },
  ];
}
