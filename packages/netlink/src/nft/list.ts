import { MessageWriter } from '../attributes.ts';
import { NLM_F } from '../conn.ts';
import { NFNL_SUBSYS, NFPROTO, NFT_MSG, NFTA_RULE, NFTA_SET, NFTA_SET_ELEM_LIST } from './constants.ts';
import { joinRanges, parseElementList, type RawElement } from './element-parse.ts';
import type { Nft } from './nft.ts';
import { parseChain, parseRule, parseSet, parseTable } from './object-parse.ts';
import type {
  NftChain,
  NftElement,
  NftFamily,
  NftMap,
  NftRule,
  NftSet,
  NftTable,
  NftTableRef,
} from './objects.ts';

/** `nft list tables [FAMILY]`. @throws NetlinkError */
export function nftListTables(conn: Nft, family?: NftFamily): NftTable[] {
  return dump(conn, { op: 'list tables', get: NFT_MSG.GETTABLE, family }, parseTable);
}

/** `nft list chains`, of one table or of all, without their rules. @throws NetlinkError */
export function nftListChains(conn: Nft, of?: NftTableRef): NftChain[] {
  const chains = dump(conn, { op: 'list chains', get: NFT_MSG.GETCHAIN, family: of?.family }, parseChain);
  return of === undefined ? chains : chains.filter((chain) => chain.table === of.table);
}

/**
 * `nft -a list chain FAMILY TABLE CHAIN`: the rules with comments and handles, in order; of one chain or of a whole
 * table. `containing` saves time: only rules with one of these values somewhere in them are read.
 */
export function nftListRules(
  conn: Nft,
  of: NftTableRef & { chain?: string; containing?: readonly Buffer[] },
): NftRule[] {
  const request: Request = {
    op: `list rules of ${of.family} ${of.table}`,
    get: NFT_MSG.GETRULE,
    family: of.family,
  };
  request.write = (writer) => {
    writer.string(NFTA_RULE.TABLE, of.table);
    if (of.chain !== undefined) writer.string(NFTA_RULE.CHAIN, of.chain);
  };
  const { containing } = of;
  const parse = (payload: Buffer): NftRule | undefined =>
    containing?.some((bytes) => payload.includes(bytes)) === false ? undefined : parseRule(payload);
  const rules = dump(conn, request, parse).filter((rule) => rule.table === of.table);
  return of.chain === undefined ? rules : rules.filter((rule) => rule.chain === of.chain);
}

/** `nft list sets` and `nft list maps` of one table, without elements; sets with key types unknown here are left out. */
export function nftListSets(conn: Nft, of: NftTableRef): (NftSet | NftMap)[] {
  const request: Request = {
    op: `list sets of ${of.family} ${of.table}`,
    get: NFT_MSG.GETSET,
    family: of.family,
  };
  request.write = (writer) => writer.string(NFTA_SET.TABLE, of.table);
  return dump(conn, request, parseSet).filter((set) => set.table === of.table);
}

/**
 * `nft list set FAMILY TABLE SET`: the elements. `of` needs the right types: that which made the set, or was read back.
 * Just after thousands of elements were added the kernel may pass over some: it is enlarging its hash table.
 * @throws NetlinkError ENOENT
 */
export function nftListElements(conn: Nft, of: NftSet | NftMap): NftElement[] {
  const request: Request = {
    op: `list elements of ${of.family} ${of.table} ${of.set}`,
    get: NFT_MSG.GETSETELEM,
    family: of.family,
    write(writer) {
      writer.string(NFTA_SET_ELEM_LIST.TABLE, of.table);
      writer.string(NFTA_SET_ELEM_LIST.SET, of.set);
    },
  };
  const raw: RawElement[] = dump(conn, request, (payload) => parseElementList(payload)).flat();
  return joinRanges(of, raw);
}

interface Request {
  op: string;
  get: number;
  family?: NftFamily | undefined;
  write?: (writer: MessageWriter) => void;
}

function dump<T>(conn: Nft, request: Request, parse: (payload: Buffer) => T | undefined): T[] {
  const message = new MessageWriter(128).message(
    (NFNL_SUBSYS.NFTABLES << 8) | request.get,
    NLM_F.REQUEST | NLM_F.DUMP,
  );
  message.header(4)[0] = request.family === undefined ? 0 : NFPROTO[request.family];
  request.write?.(message);
  return conn
    .execute({ op: request.op, message })
    .map((reply) => parse(reply.payload))
    .filter((value) => value !== undefined);
}
