import type { MessageWriter } from '../attributes.ts';
import { NFT_SET_ELEM_INTERVAL_END, NFTA_LIST_ELEM, NFTA_SET_ELEM } from './constants.ts';
import { writeValue, writeVerdict } from './data.ts';
import type { NftElement, NftMap, NftSet } from './objects.ts';
import { commentItem, encodeUserData } from './userdata.ts';
import { encodeKey } from './value-types.ts';

/** An element as the kernel takes it: the end of a range is an element of its own unless the key is a concatenation. */
export interface KernelElement {
  key: Buffer;
  keyEnd?: Buffer;
  isEnd?: boolean;
  element: NftElement;
}

/** Turns elements into the kernel's. @throws RangeError for values that do not fit the set's types */
export function kernelElements(set: NftSet | NftMap, elements: readonly NftElement[]): KernelElement[] {
  return elements.flatMap((element): KernelElement[] => {
    const key = encodeKey(set.key, element.key);
    const keyEnd = element.keyEnd === undefined ? undefined : encodeKey(set.key, element.keyEnd);
    if (keyEnd !== undefined && !set.hasIntervals) {
      throw new RangeError(`write nftables element: set ${JSON.stringify(set.set)} holds no ranges`);
    }
    if (!set.hasIntervals) return [{ key, element }];
    if (set.key.length > 1) return [{ key, element, keyEnd: keyEnd ?? key }];
    const past = successor(keyEnd ?? key);
    return past === undefined
      ? [{ key, element }]
      : [
          { key, element },
          { key: past, element, isEnd: true },
        ];
  });
}

/** The number that follows, seen as big-endian as the kernel does; undefined after the last one. */
function successor(key: Buffer): Buffer | undefined {
  const next = Buffer.from(key);
  for (let at = next.length - 1; at >= 0; at--) {
    next[at] = (next[at]! + 1) & 0xff;
    if (next[at] !== 0) return next;
  }
  return undefined;
}

/** The number before, for reading ranges back. */
export function predecessor(key: Buffer): Buffer {
  const previous = Buffer.from(key);
  for (let at = previous.length - 1; at >= 0; at--) {
    previous[at] = (previous[at]! - 1) & 0xff;
    if (previous[at] !== 0xff) break;
  }
  return previous;
}

/** Appends one element to a list. */
export function writeElement(writer: MessageWriter, set: NftSet | NftMap, kernel: KernelElement): void {
  const { element, key, keyEnd, isEnd } = kernel;
  writer.nested(NFTA_LIST_ELEM, () => {
    if (isEnd) writer.u32be(NFTA_SET_ELEM.FLAGS, NFT_SET_ELEM_INTERVAL_END);
    writeValue(writer, NFTA_SET_ELEM.KEY, key);
    if (isEnd) return;
    if (keyEnd !== undefined) writeValue(writer, NFTA_SET_ELEM.KEY_END, keyEnd);
    writeElementData(writer, set, element);
    if (element.timeoutMs !== undefined) writer.u64be(NFTA_SET_ELEM.TIMEOUT, BigInt(element.timeoutMs));
    if (element.comment !== undefined) {
      writer.bytesOf(NFTA_SET_ELEM.USERDATA, encodeUserData([commentItem(element.comment)]));
    }
  });
}

function writeElementData(writer: MessageWriter, set: NftSet | NftMap, element: NftElement): void {
  if (set.object !== 'map') return;
  if (set.data === 'verdict') {
    if (element.verdict !== undefined) writeVerdict(writer, NFTA_SET_ELEM.DATA, element.verdict);
  } else if (element.data !== undefined) {
    writeValue(writer, NFTA_SET_ELEM.DATA, encodeKey(set.data, element.data));
  }
}
