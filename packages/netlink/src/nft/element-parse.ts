import { AttributeReader } from '../attributes.ts';
import { malformed } from '../errors.ts';
import { NFT_SET_ELEM_INTERVAL_END, NFTA_SET_ELEM, NFTA_SET_ELEM_LIST } from './constants.ts';
import { readData, readValue } from './data.ts';
import { predecessor } from './element-write.ts';
import type { NftVerdict } from './expression-types.ts';
import type { NftElement, NftMap, NftSet } from './objects.ts';
import { findComment } from './userdata.ts';
import { decodeKey } from './value-types.ts';

const NFGENMSG = 4;

/** An element as the kernel sends it, before its bytes are read as the set's types. */
export interface RawElement {
  key: Buffer;
  keyEnd?: Buffer;
  data?: Buffer | NftVerdict;
  isEnd: boolean;
  timeoutMs?: number;
  expiresMs?: number;
  comment?: string;
}

/** Reads the payload of an NFT_MSG_NEWSETELEM. @throws NetlinkError EPROTO */
export function parseElementList(payload: Buffer): RawElement[] {
  if (payload.length < NFGENMSG) throw malformed(`nftables message of ${payload.length} bytes`);
  const elements: RawElement[] = [];
  const attrs = new AttributeReader(payload, NFGENMSG);
  while (attrs.next()) {
    if (attrs.type !== NFTA_SET_ELEM_LIST.ELEMENTS) continue;
    const list = attrs.nested();
    while (list.next()) {
      const element = parseElement(list.nested());
      if (element !== undefined) elements.push(element);
    }
  }
  return elements;
}

/** Undefined for the catch-all element, which has no key. */
function parseElement(attrs: AttributeReader): RawElement | undefined {
  let key: Buffer | undefined;
  const element: Partial<RawElement> = {};
  let flags = 0;
  while (attrs.next()) {
    if (attrs.type === NFTA_SET_ELEM.KEY) key = readValue(attrs);
    else if (attrs.type === NFTA_SET_ELEM.KEY_END) element.keyEnd = readValue(attrs);
    else if (attrs.type === NFTA_SET_ELEM.DATA) element.data = readData(attrs);
    else if (attrs.type === NFTA_SET_ELEM.FLAGS) flags = attrs.u32be();
    else if (attrs.type === NFTA_SET_ELEM.TIMEOUT) element.timeoutMs = Number(attrs.u64be());
    else if (attrs.type === NFTA_SET_ELEM.EXPIRATION) element.expiresMs = Number(attrs.u64be());
    else if (attrs.type === NFTA_SET_ELEM.USERDATA) {
      const comment = findComment(attrs.bytes());
      if (comment !== undefined) element.comment = comment;
    }
  }
  return key && { ...element, key, isEnd: (flags & NFT_SET_ELEM_INTERVAL_END) !== 0 };
}

/** Reads the bytes as the set's types, and makes one element of the two ends of each range. */
export function joinRanges(set: NftSet | NftMap, raw: readonly RawElement[]): NftElement[] {
  if (!set.hasIntervals || set.key.length > 1)
    return raw.map((element) => typed(set, element, element.keyEnd));
  // An end lies where the next range may start, and comes before that start.
  const sorted = raw.toSorted((a, b) => a.key.compare(b.key) || Number(b.isEnd) - Number(a.isEnd));
  return sorted.flatMap((element, index) => {
    if (element.isEnd) return [];
    const next = sorted[index + 1];
    const last = next?.isEnd ? predecessor(next.key) : Buffer.alloc(element.key.length, 0xff);
    return [typed(set, element, last)];
  });
}

function typed(set: NftSet | NftMap, raw: RawElement, keyEnd: Buffer | undefined): NftElement {
  const { data, timeoutMs, expiresMs, comment } = raw;
  const element: NftElement = { key: decodeKey(set.key, raw.key) };
  if (keyEnd !== undefined && !keyEnd.equals(raw.key)) element.keyEnd = decodeKey(set.key, keyEnd);
  if (Buffer.isBuffer(data)) {
    element.data = set.object === 'map' && set.data !== 'verdict' ? decodeKey(set.data, data) : [data];
  } else if (data !== undefined) element.verdict = data;
  if (timeoutMs !== undefined) element.timeoutMs = timeoutMs;
  if (expiresMs !== undefined) element.expiresMs = expiresMs;
  if (comment !== undefined) element.comment = comment;
  return element;
}
