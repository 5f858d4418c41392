import { isCode } from '@amphipod/linux';
import { MessageWriter } from '../attributes.ts';
import { NFT_MSG, NFTA_RULE } from './constants.ts';
import type { Nft } from './nft.ts';
import { parseRule } from './object-parse.ts';
import type { NftRule, NftRuleRef } from './objects.ts';
import { beginMessage } from './op-write.ts';

/** The rule with this handle; undefined when it, its chain or its table is not there. @throws NetlinkError */
export function nftFindRule(conn: Nft, of: NftRuleRef): NftRule | undefined {
  const message = new MessageWriter(128);
  beginMessage(message, NFT_MSG.GETRULE, 0, of.family);
  message.string(NFTA_RULE.TABLE, of.table);
  message.string(NFTA_RULE.CHAIN, of.chain);
  message.u64be(NFTA_RULE.HANDLE, of.handle);
  try {
    const [reply] = conn.execute({ op: `find rule ${of.family} ${of.table} ${of.chain}`, message });
    return reply && parseRule(reply.payload);
  } catch (error) {
    if (isCode(error, 'ENOENT')) return undefined;
    throw error;
  }
}
