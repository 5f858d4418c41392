import { type Nft, type NftExpression, type NftOp, nft, nftGeneration, parseCidr } from '@amphipod/netlink';
import { syncTable, type WrittenTable } from './sync-table.ts';
import type { WantedNetwork, WantedState } from './wanted-state.ts';

/** Holds everything that the overlay has in nftables. */
const overlayTable = { family: 'inet', table: 'amphipod_overlay' } as const;
const SRCNAT = 100;
const FILTER = 0;
/** The mark by which kube-proxy asks for masquerading, which it does itself. */
const MASQUERADE_MARK = 0x4000;

const families = {
  4: {
    nfproto: nft.nfProtocols.ipv4,
    saddr: nft.ip.saddr,
    daddr: nft.ip.daddr,
    multicast: parseCidr('224.0.0.0/4'),
  },
  6: {
    nfproto: nft.nfProtocols.ipv6,
    saddr: nft.ip6.saddr,
    daddr: nft.ip6.daddr,
    multicast: parseCidr('ff00::/8'),
  },
} as const;

/** What the kernel had when we wrote it last. */
export type WrittenRules = WrittenTable<WantedRules>;

type WantedRules = Pick<WantedState, 'networks' | 'masquerade'>;
type Statement = readonly (NftExpression | readonly NftExpression[])[];

/**
 * Makes the table as it is wanted, in one transaction: packets see the rules of before or those of after.
 * @param written of the last call; undefined writes the table anew, whoever made the one that is there
 * @returns what to give to the next call, and whether anything was mended
 */
export function syncRules(
  conn: Nft,
  { networks, masquerade }: WantedRules,
  written: WrittenRules | undefined,
): { written: WrittenRules; mended: number } {
  const wanted = { networks, masquerade };
  return syncTable(conn, { table: overlayTable, wanted, baseChains: 2, ops: tableOps }, written);
}

/** True when no network was changed by others since: costs one message, so that it can be asked often. */
export function areRulesUntouched(conn: Nft, { generation }: WrittenRules): boolean {
  return nftGeneration(conn) === generation;
}

function tableOps({ networks, masquerade }: WantedRules): NftOp[] {
  const chain = { op: 'add', object: 'chain', ...overlayTable } as const;
  const rule = (name: string) => (expressions: Statement) =>
    ({ op: 'add', object: 'rule', ...overlayTable, chain: name, expressions }) as const;
  return [
    // Added first so that there is something to delete.
    { op: 'add', object: 'table', ...overlayTable },
    { op: 'delete', object: 'table', ...overlayTable },
    { op: 'add', object: 'table', ...overlayTable, comment: 'Amphipod: the overlay network' },
    { ...chain, chain: 'forward', base: { type: 'filter', hook: 'forward', priority: FILTER } },
    { ...chain, chain: 'postrouting', base: { type: 'nat', hook: 'postrouting', priority: SRCNAT } },
    ...networks.flatMap(forwardRules).map(rule('forward')),
    ...(masquerade ? networks.flatMap(masqueradeRules).map(rule('postrouting')) : []),
  ];
}

function forwardRules({ network }: WantedNetwork): Statement[] {
  const { nfproto, saddr, daddr } = families[network.ip.family];
  const isFamily = nft.eq(nft.meta.nfproto, nfproto);
  return [
    [isFamily, nft.eq(saddr, network), nft.verdict('accept')],
    [isFamily, nft.eq(daddr, network), nft.verdict('accept')],
  ];
}

/** What flannel's iptables rules say, in their order. */
function masqueradeRules({ network, subnet }: WantedNetwork): Statement[] {
  const { nfproto, saddr, daddr, multicast } = families[network.ip.family];
  const isFamily = nft.eq(nft.meta.nfproto, nfproto);
  const goes = nft.verdict('return');
  return [
    [isFamily, nft.eqMasked(nft.meta.mark, MASQUERADE_MARK, MASQUERADE_MARK), goes],
    [isFamily, nft.eq(saddr, subnet), nft.eq(daddr, network), goes],
    [isFamily, nft.eq(saddr, network), nft.eq(daddr, subnet), goes],
    [isFamily, nft.ne(saddr, network), nft.eq(daddr, subnet), goes],
    [isFamily, nft.eq(saddr, network), nft.ne(daddr, multicast), nft.masquerade('fully-random')],
    [isFamily, nft.ne(saddr, network), nft.eq(daddr, network), nft.masquerade('fully-random')],
  ];
}
