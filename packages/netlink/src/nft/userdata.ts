/**
 * The user data of nftables objects, which the kernel keeps unread: type, length and value of one byte, one byte and
 * that many bytes, as libnftnl writes it, so that `nft` shows our comments and we see those of `nft`.
 */
export const UDATA = { COMMENT: 0 } as const;
/** Ours, in rules: far from the numbers of libnftnl, whose readers pass over it. */
export const UDATA_MARK = 0xa0;
/** For sets the numbers differ. */
export const UDATA_SET = { KEY_BYTE_ORDER: 0, DATA_BYTE_ORDER: 1, COMMENT: 7 } as const;

const COMMENT_BYTES = 128;

export interface UserDataItem {
  type: number;
  value: Buffer;
}

/** A comment as an item: at most 127 bytes, as `nft` takes them. @throws RangeError */
export function commentItem(comment: string, type: number = UDATA.COMMENT): UserDataItem {
  const value = Buffer.from(`${comment}\0`);
  if (value.length > COMMENT_BYTES || comment.includes('\0')) {
    throw new RangeError(`write nftables comment: ${value.length - 1} bytes exceed ${COMMENT_BYTES - 1}`);
  }
  return { type, value };
}

export function encodeUserData(items: readonly UserDataItem[]): Buffer {
  return Buffer.concat(items.flatMap(({ type, value }) => [Buffer.from([type, value.length]), value]));
}

/** The comment in user data that anybody wrote; undefined when there is none or the data is something else. */
export function findComment(userData: Buffer, type: number = UDATA.COMMENT): string | undefined {
  for (let at = 0; at + 2 <= userData.length; ) {
    const end = at + 2 + userData[at + 1]!;
    if (end > userData.length) return undefined;
    if (userData[at] === type) return userData.toString('utf8', at + 2, end).replace(/\0+$/, '');
    at = end;
  }
  return undefined;
}
