import { AttributeReader, MessageWriter } from '../attributes.ts';
import { ERRNO, NetlinkError } from '../errors.ts';
import { NFT_MSG, NFTA_GEN_ID } from './constants.ts';
import type { Nft } from './nft.ts';
import { beginMessage } from './op-write.ts';

const NFGENMSG = 4;

/** A number that changes with every change of the namespace's ruleset, for a transaction that rests on what was read. */
export function nftGeneration(conn: Nft): number {
  const message = new MessageWriter(32);
  beginMessage(message, NFT_MSG.GETGEN, 0, 'inet');
  const op = 'read nftables generation';
  const [reply] = conn.execute({ op, message });
  const attrs = new AttributeReader(reply?.payload ?? Buffer.alloc(0), reply === undefined ? 0 : NFGENMSG);
  while (attrs.next()) if (attrs.type === NFTA_GEN_ID) return attrs.u32be();
  throw new NetlinkError(op, ERRNO.EPROTO, { message: 'the kernel gave no number' });
}

/** True for a transaction's failure that says: somebody else was first, read again. */
export function isStaleGeneration(error: unknown): boolean {
  return error instanceof NetlinkError && error.errno === ERRNO.ERESTART;
}
