import { MessageWriter } from '../attributes.ts';
import { NLM_F } from '../conn.ts';
import { ERRNO, NetlinkError } from '../errors.ts';
import {
  NFT_MSG,
  NFT_SET_ELEM_INTERVAL_END,
  NFTA_LIST_ELEM,
  NFTA_SET_ELEM,
  NFTA_SET_ELEM_LIST,
} from './constants.ts';
import { writeValue } from './data.ts';
import { joinRanges, parseElementList, type RawElement } from './element-parse.ts';
import type { Nft } from './nft.ts';
import type { NftElement, NftMap, NftSet } from './objects.ts';
import { beginMessage } from './op-write.ts';
import { encodeKey, type NftValue } from './value-types.ts';

/**
 * `nft get element FAMILY TABLE SET { KEY }`: the element with this key, in a set with ranges the range that holds it;
 * undefined when there is none. Its cost does not grow with the set. @throws NetlinkError ENOENT when there is no such set
 */
export function nftFindElement(
  conn: Nft,
  of: NftSet | NftMap,
  key: readonly NftValue[],
): NftElement | undefined {
  const bytes = encodeKey(of.key, key);
  const found = getElement(conn, of, bytes, 0);
  if (found === undefined) return undefined;
  // A range of a plain key is two elements to the kernel; one that goes to the last value has no end.
  const hasEnds = of.hasIntervals === true && of.key.length === 1;
  const end = hasEnds ? getElement(conn, of, bytes, NFT_SET_ELEM_INTERVAL_END) : undefined;
  return joinRanges(of, end === undefined ? [found] : [found, end])[0];
}

function getElement(conn: Nft, of: NftSet | NftMap, key: Buffer, flags: number): RawElement | undefined {
  const message = new MessageWriter(256);
  // The kernel sends nothing at all for the missing end of a last range, so the acknowledgement has to close the answer.
  beginMessage(message, NFT_MSG.GETSETELEM, NLM_F.ACK, of.family);
  message.string(NFTA_SET_ELEM_LIST.TABLE, of.table);
  message.string(NFTA_SET_ELEM_LIST.SET, of.set);
  const elementsAt = message.length;
  message.nested(NFTA_SET_ELEM_LIST.ELEMENTS, () => {
    message.nested(NFTA_LIST_ELEM, () => {
      if (flags !== 0) message.u32be(NFTA_SET_ELEM.FLAGS, flags);
      writeValue(message, NFTA_SET_ELEM.KEY, key);
    });
  });
  try {
    const [reply] = conn.execute({ op: `find element of ${of.family} ${of.table} ${of.set}`, message });
    return reply === undefined ? undefined : parseElementList(reply.payload)[0];
  } catch (error) {
    const isMissing = error instanceof NetlinkError && error.errno === ERRNO.ENOENT;
    // The place tells a missing element from a missing table or set.
    if (isMissing && (error.offset ?? elementsAt) >= elementsAt) return undefined;
    throw error;
  }
}
