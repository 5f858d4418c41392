import {
  type IpFamily,
  type NftChain,
  type NftMap,
  type NftOp,
  type NftRuleSpec,
  type NftSet,
  nft,
} from '@amphipod/netlink';
import type { Direction } from '../documents/resources.ts';

/** Holds everything that network policy has in nftables. */
export const policyTable = { family: 'inet', table: 'amphipod_policy' } as const;

const FILTER = 0;
/** MLD, router solicitation and neighbour discovery: without them there is no IPv6. Router advertisements are not for pods. */
const neighbourTypes = [130, 131, 132, 133, 135, 136, 143];

/** What the two families differ in. */
export const families = {
  4: { nfproto: nft.nfProtocols.ipv4, saddr: nft.ip.saddr, daddr: nft.ip.daddr, type: 'ipv4_addr' },
  6: { nfproto: nft.nfProtocols.ipv6, saddr: nft.ip6.saddr, daddr: nft.ip6.daddr, type: 'ipv6_addr' },
} as const;

export const ipFamilies: readonly IpFamily[] = [4, 6];

/** Leads from a pod's address to the chain of its policies. */
export function dispatchMap(direction: Direction, family: IpFamily): NftMap {
  const { type } = families[family];
  return { object: 'map', ...policyTable, set: `${direction}${family}`, key: [type], data: 'verdict' };
}

/** Pairs of a pod's address with itself: what a pod sends to itself by way of a service. */
export function selfSet(family: IpFamily): NftSet {
  const { type } = families[family];
  return { object: 'set', ...policyTable, set: `self${family}`, key: [type, type] };
}

const neighbourSet: NftSet = { object: 'set', ...policyTable, set: 'neighbour', key: ['icmpv6_type'] };

type Statement = NftRuleSpec['expressions'];

export interface TableOptions {
  /** Flows can be revoked that have begun. */
  isStrict: boolean;
}

/** Flows that have begun and are not allowed any more, as their first packet had them, before any translation. */
export function revokedSet(family: IpFamily): NftSet {
  const { type } = families[family];
  const key = [type, type, 'inet_proto', 'inet_service', 'inet_service'] as const;
  return { object: 'set', ...policyTable, set: `revoked${family}`, key };
}

/** The table with its two base chains, which find a pod's own chain by one look-up, however many policies there are. */
export function skeletonOps({ isStrict }: TableOptions): NftOp[] {
  const maps = ipFamilies.flatMap((family) => [
    dispatchMap('egress', family),
    dispatchMap('ingress', family),
    selfSet(family),
  ]);
  const chain = (name: 'forward' | 'input'): NftChain => ({
    object: 'chain',
    ...policyTable,
    chain: name,
    base: { type: 'filter', hook: name, priority: FILTER },
  });
  const rule = (name: string) => (expressions: Statement) =>
    ({ op: 'add', object: 'rule', ...policyTable, chain: name, expressions }) as const;
  const dispatch = (direction: Direction) =>
    ipFamilies.map((family): Statement => {
      const { nfproto, saddr, daddr } = families[family];
      const address = direction === 'egress' ? saddr : daddr;
      return [nft.eq(nft.meta.nfproto, nfproto), nft.vmap(address, dispatchMap(direction, family).set)];
    });
  return [
    { op: 'add', object: 'table', ...policyTable, comment: 'Amphipod: network policy' },
    ...(isStrict ? ipFamilies.map((family) => ({ op: 'add', ...revokedSet(family) }) as const) : []),
    ...maps.map((map) => ({ op: 'add', ...map }) as const),
    { op: 'add', ...neighbourSet },
    {
      op: 'add',
      object: 'elements',
      of: neighbourSet,
      elements: neighbourTypes.map((type) => ({ key: [type] })),
    },
    { op: 'add', ...chain('forward') },
    { op: 'add', ...chain('input') },
    ...(isStrict ? revocations() : []).map(rule('forward')),
    ...[...passing(), ...selfRules(), ...dispatch('egress'), ...dispatch('ingress')].map(rule('forward')),
    // To the node itself; what the node sends to its pods is always let through.
    ...(isStrict ? revocations().map((statement) => [...fromItsSender(), ...statement]) : []).map(
      rule('input'),
    ),
    ...[...passing(), ...dispatch('egress')].map(rule('input')),
  ];
}

/** What passes before any policy is asked. */
function passing(): Statement[] {
  const { established, related } = nft.ctStates;
  return [
    [nft.hasAny(nft.ct.state, established | related), nft.verdict('accept')],
    [
      nft.eq(nft.meta.l4proto, nft.ipProtocols.icmpv6),
      nft.inSet(nft.icmpv6.type, neighbourSet.set),
      nft.verdict('accept'),
    ],
  ];
}

function selfRules(): Statement[] {
  return ipFamilies.map((family) => {
    const { nfproto, saddr, daddr } = families[family];
    return [
      nft.eq(nft.meta.nfproto, nfproto),
      nft.inSet([saddr, daddr], selfSet(family).set),
      nft.verdict('accept'),
    ];
  });
}

function revocations(): Statement[] {
  const { ct, meta } = nft;
  const ends = {
    4: [ct.originalIpSaddr, ct.originalIpDaddr],
    6: [ct.originalIp6Saddr, ct.originalIp6Daddr],
  };
  return ipFamilies.map((family) => [
    nft.eq(meta.nfproto, families[family].nfproto),
    nft.inSet([...ends[family], meta.l4proto, ct.originalSport, ct.originalDport], revokedSet(family).set),
    nft.counter(),
    nft.verdict('drop'),
  ]);
}

/** Answers to what the node itself has asked for are not meant. */
function fromItsSender(): Statement {
  return [
    { expr: 'ct', key: 'direction', register: 0 },
    { expr: 'cmp', register: 0, op: '==', data: Buffer.from([0]) },
  ];
}
