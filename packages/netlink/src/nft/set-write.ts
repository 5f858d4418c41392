import type { MessageWriter } from '../attributes.ts';
import {
  NFT_DATA_VERDICT,
  NFT_SET,
  NFTA_LIST_ELEM,
  NFTA_SET,
  NFTA_SET_DESC,
  NFTA_SET_FIELD_LEN,
} from './constants.ts';
import type { NftMap, NftSet } from './objects.ts';
import { commentItem, encodeUserData, UDATA_SET } from './userdata.ts';
import { keyBytes, keyTypeId, type NftValueType, valueTypes } from './value-types.ts';

/** How libnftables counts byte orders: enum byteorder. */
const byteOrders = { host: 1, big: 2 } as const;
/** Only names a set within its transaction; the kernel wants one, rules here refer to sets by name. */
const SET_ID = 1;

/** The attributes of a new set or map. */
export function writeSet(writer: MessageWriter, set: NftSet | NftMap): void {
  writer.string(NFTA_SET.TABLE, set.table);
  writer.string(NFTA_SET.NAME, set.set);
  writer.u32be(NFTA_SET.FLAGS, setFlags(set));
  writer.u32be(NFTA_SET.KEY_TYPE, keyTypeId(set.key));
  writer.u32be(NFTA_SET.KEY_LEN, keyBytes(set.key));
  if (set.object === 'map') writeDataType(writer, set.data);
  writer.u32be(NFTA_SET.ID, SET_ID);
  if (set.timeoutMs !== undefined) writer.u64be(NFTA_SET.TIMEOUT, BigInt(set.timeoutMs));
  writeDescription(writer, set);
  writer.bytesOf(NFTA_SET.USERDATA, userData(set));
}

function setFlags(set: NftSet | NftMap): number {
  let flags = 0;
  if (set.isConstant) flags |= NFT_SET.CONSTANT;
  if (set.hasIntervals) flags |= NFT_SET.INTERVAL;
  if (set.object === 'map') flags |= NFT_SET.MAP;
  if (set.hasTimeouts || set.timeoutMs !== undefined) flags |= NFT_SET.TIMEOUT;
  if (set.isDynamic) flags |= NFT_SET.EVAL;
  if (set.key.length > 1) flags |= NFT_SET.CONCAT;
  return flags;
}

function writeDataType(writer: MessageWriter, data: NftMap['data']): void {
  if (data === 'verdict') {
    writer.u32be(NFTA_SET.DATA_TYPE, NFT_DATA_VERDICT);
    return;
  }
  writer.u32be(NFTA_SET.DATA_TYPE, keyTypeId(data));
  writer.u32be(NFTA_SET.DATA_LEN, keyBytes(data));
}

function writeDescription(writer: MessageWriter, { size, key }: NftSet | NftMap): void {
  if (size === undefined && key.length === 1) return;
  writer.nested(NFTA_SET.DESC, () => {
    if (size !== undefined) writer.u32be(NFTA_SET_DESC.SIZE, size);
    if (key.length > 1) {
      writer.nested(NFTA_SET_DESC.CONCAT, () => {
        for (const type of key) {
          writer.nested(NFTA_LIST_ELEM, () => writer.u32be(NFTA_SET_FIELD_LEN, valueTypes[type].bytes));
        }
      });
    }
  });
}

function userData(set: NftSet | NftMap): Buffer {
  const items = [{ type: UDATA_SET.KEY_BYTE_ORDER as number, value: byteOrder(set.key) }];
  if (set.object === 'map' && set.data !== 'verdict') {
    items.push({ type: UDATA_SET.DATA_BYTE_ORDER, value: byteOrder(set.data) });
  }
  if (set.comment !== undefined) items.push(commentItem(set.comment, UDATA_SET.COMMENT));
  return encodeUserData(items);
}

function byteOrder(types: readonly NftValueType[]): Buffer {
  const bytes = Buffer.alloc(4);
  // nft keeps none for concatenations: each part has its own.
  bytes.writeUInt32LE(types.length === 1 ? byteOrders[valueTypes[types[0]!].order] : 0);
  return bytes;
}
