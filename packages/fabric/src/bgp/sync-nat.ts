import { type Nft, type NftExpression, type NftOp, nft, parseCidr } from '@amphipod/netlink';
import { syncTable, type WrittenTable } from '../overlay/sync-table.ts';
import type { WantedCluster } from './wanted-cluster.ts';

const natTable = { family: 'inet', table: 'amphipod_routed' } as const;
const SRCNAT = 100;

const families = {
  4: { nfproto: nft.nfProtocols.ipv4, saddr: nft.ip.saddr, daddr: nft.ip.daddr },
  6: { nfproto: nft.nfProtocols.ipv6, saddr: nft.ip6.saddr, daddr: nft.ip6.daddr },
} as const;

type Nat = WantedCluster['nat'];

/** What the kernel had when we wrote it last. */
export type WrittenNat = WrittenTable<Nat>;

/** Makes the rules of `natOutgoing`: what pods of such pools send to addresses outside of all pools is masqueraded. */
export function syncNat(
  conn: Nft,
  wanted: Nat,
  written: WrittenNat | undefined,
): { written: WrittenNat; mended: number } {
  return syncTable(conn, { table: natTable, wanted, baseChains: 1, ops: tableOps }, written);
}

function tableOps({ pools, outgoing }: Nat): NftOp[] {
  const rule = (expressions: readonly (NftExpression | readonly NftExpression[])[]) =>
    ({ op: 'add', object: 'rule', ...natTable, chain: 'postrouting', expressions }) as const;
  const inFamily = (text: string) => {
    const network = parseCidr(text);
    const { nfproto, saddr, daddr } = families[network.ip.family];
    return { network, isFamily: nft.eq(nft.meta.nfproto, nfproto), saddr, daddr };
  };
  return [
    // Added first so that there is something to delete.
    { op: 'add', object: 'table', ...natTable },
    { op: 'delete', object: 'table', ...natTable },
    { op: 'add', object: 'table', ...natTable, comment: 'Amphipod: the routed network' },
    {
      op: 'add',
      object: 'chain',
      ...natTable,
      chain: 'postrouting',
      base: { type: 'nat', hook: 'postrouting', priority: SRCNAT },
    },
    ...pools.map((pool) => {
      const { network, isFamily, daddr } = inFamily(pool);
      return rule([isFamily, nft.eq(daddr, network), nft.verdict('return')]);
    }),
    ...outgoing.map((pool) => {
      const { network, isFamily, saddr } = inFamily(pool);
      return rule([isFamily, nft.eq(saddr, network), nft.masquerade('fully-random')]);
    }),
  ];
}
