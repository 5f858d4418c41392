// Rules in the form that iptables-nft writes, lists and edits, for tables that it manages: matches of iptables as the kernel's
// nft_compat takes them, and comparisons with the very operands that iptables-nft uses.
import type { NftExpression, NftExpressionOf } from './expression-types.ts';
import { meta } from './selectors.ts';

/** struct xt_comment_info: include/uapi/linux/netfilter/xt_comment.h. */
const COMMENT_BYTES = 256;
/** struct xt_conntrack_mtinfo3 with its padding: include/uapi/linux/netfilter/xt_conntrack.h. */
const CONNTRACK_BYTES = 168;
const CONNTRACK_MATCH_FLAGS_AT = 146;
const CONNTRACK_STATE_MASK_AT = 150;
const XT_CONNTRACK_STATE = 1;

/** `-m comment --comment "…"`. @throws RangeError for more than 255 bytes */
export function comment(text: string): NftExpressionOf<'xt-match'> {
  const info = Buffer.alloc(COMMENT_BYTES);
  if (Buffer.byteLength(text) >= COMMENT_BYTES || text.includes('\0')) {
    throw new RangeError(`write iptables comment: more than ${COMMENT_BYTES - 1} bytes`);
  }
  info.write(text);
  return { expr: 'xt-match', name: 'comment', revision: 0, info };
}

/** `-m conntrack --ctstate …`: true when one of the bits (`ctStates`) is set. */
export function ctState(bits: number): NftExpressionOf<'xt-match'> {
  const info = Buffer.alloc(CONNTRACK_BYTES);
  info.writeUInt16LE(XT_CONNTRACK_STATE, CONNTRACK_MATCH_FLAGS_AT);
  info.writeUInt16LE(bits, CONNTRACK_STATE_MASK_AT);
  return { expr: 'xt-match', name: 'conntrack', revision: 3, info };
}

/** `-i NAME`, `! -i NAME`. */
export function inInterface(name: string, op: '==' | '!=' = '=='): NftExpression[] {
  return [meta.iifname.load(0), { expr: 'cmp', register: 0, op, data: Buffer.from(`${name}\0`) }];
}

/** `-o NAME`, `! -o NAME`. */
export function outInterface(name: string, op: '==' | '!=' = '=='): NftExpression[] {
  return [meta.oifname.load(0), { expr: 'cmp', register: 0, op, data: Buffer.from(`${name}\0`) }];
}
