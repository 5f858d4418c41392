import { isCode } from '@amphipod/linux';
import { MessageWriter } from '../attributes.ts';
import { NFT_MSG, NFTA_CHAIN } from './constants.ts';
import type { Nft } from './nft.ts';
import { parseChain } from './object-parse.ts';
import type { NftChain, NftTableRef } from './objects.ts';
import { beginMessage } from './op-write.ts';

/** One chain by its name; undefined when it, or its table, is not there. @throws NetlinkError */
export function nftFindChain(conn: Nft, of: NftTableRef & { chain: string }): NftChain | undefined {
  const message = new MessageWriter(128);
  beginMessage(message, NFT_MSG.GETCHAIN, 0, of.family);
  message.string(NFTA_CHAIN.TABLE, of.table);
  message.string(NFTA_CHAIN.NAME, of.chain);
  try {
    const [reply] = conn.execute({ op: `find chain ${of.family} ${of.table} ${of.chain}`, message });
    return reply && parseChain(reply.payload);
  } catch (error) {
    if (isCode(error, 'ENOENT')) return undefined;
    throw error;
  }
}
