import { AttributeReader } from '../attributes.ts';
import { malformed } from '../errors.ts';
import {
  NFPROTO,
  NFT_DATA_VERDICT,
  NFT_SET,
  NFT_TABLE_F_DORMANT,
  NFTA_CHAIN,
  NFTA_HOOK,
  NFTA_RULE,
  NFTA_SET,
  NFTA_SET_DESC,
  NFTA_TABLE,
  verdictCodes,
} from './constants.ts';
import { parseExpression } from './expression-parse.ts';
import type { NftExpression } from './expression-types.ts';
import type {
  NftBaseChain,
  NftChain,
  NftFamily,
  NftHook,
  NftMap,
  NftRule,
  NftSet,
  NftTable,
} from './objects.ts';
import { findComment, UDATA_MARK, UDATA_SET } from './userdata.ts';
import { keyTypesOf, type NftValueType } from './value-types.ts';

const NFGENMSG = 4;
// enum nf_inet_hooks and nf_dev_hooks: include/uapi/linux/netfilter.h
// biome-ignore format: tables read best as tables
const inetHooks: NftHook[] = ['prerouting', 'input', 'forward', 'output', 'postrouting', 'ingress'];
const deviceHooks: NftHook[] = ['ingress', 'egress'];

/** The family in struct nfgenmsg, and the attributes behind it. */
function open(payload: Buffer): { family: NftFamily; attrs: AttributeReader } {
  if (payload.length < NFGENMSG) throw malformed(`nftables message of ${payload.length} bytes`);
  const family = (Object.keys(NFPROTO) as NftFamily[]).find((name) => NFPROTO[name] === payload[0]);
  if (family === undefined) throw malformed(`nftables message of family ${payload[0]}`);
  return { family, attrs: new AttributeReader(payload, NFGENMSG) };
}

/** Reads the payload of an NFT_MSG_NEWTABLE. @throws NetlinkError EPROTO */
export function parseTable(payload: Buffer): NftTable {
  const { family, attrs } = open(payload);
  const table: NftTable = { object: 'table', family, table: '' };
  while (attrs.next()) {
    if (attrs.type === NFTA_TABLE.NAME) table.table = attrs.string();
    else if (attrs.type === NFTA_TABLE.HANDLE) table.handle = attrs.u64be();
    else if (attrs.type === NFTA_TABLE.USERDATA) setComment(table, attrs.bytes());
    else if (attrs.type === NFTA_TABLE.FLAGS && (attrs.u32be() & NFT_TABLE_F_DORMANT) !== 0)
      table.isDormant = true;
  }
  return table;
}

function setComment(object: { comment?: string }, userData: Buffer, type?: number): void {
  const comment = findComment(userData, type);
  if (comment !== undefined) object.comment = comment;
}

/** Reads the payload of an NFT_MSG_NEWCHAIN. @throws NetlinkError EPROTO */
export function parseChain(payload: Buffer): NftChain {
  const { family, attrs } = open(payload);
  const chain: NftChain = { object: 'chain', family, table: '', chain: '' };
  let base: NftBaseChain | undefined;
  let type = '';
  let policy: number = verdictCodes.accept;
  while (attrs.next()) {
    if (attrs.type === NFTA_CHAIN.TABLE) chain.table = attrs.string();
    else if (attrs.type === NFTA_CHAIN.NAME) chain.chain = attrs.string();
    else if (attrs.type === NFTA_CHAIN.HANDLE) chain.handle = attrs.u64be();
    else if (attrs.type === NFTA_CHAIN.TYPE) type = attrs.string();
    else if (attrs.type === NFTA_CHAIN.POLICY) policy = attrs.u32be();
    else if (attrs.type === NFTA_CHAIN.USERDATA) setComment(chain, attrs.bytes());
    else if (attrs.type === NFTA_CHAIN.HOOK) base = parseHook(family, attrs.nested());
  }
  if (base !== undefined) {
    base.type = type === 'nat' || type === 'route' ? type : 'filter';
    base.policy = policy === verdictCodes.drop ? 'drop' : 'accept';
    chain.base = base;
  }
  return chain;
}

function parseHook(family: NftFamily, attrs: AttributeReader): NftBaseChain {
  const base: NftBaseChain = { type: 'filter', hook: 'prerouting', priority: 0 };
  while (attrs.next()) {
    if (attrs.type === NFTA_HOOK.PRIORITY) base.priority = attrs.u32be() | 0;
    else if (attrs.type === NFTA_HOOK.DEV) base.device = attrs.string();
    else if (attrs.type === NFTA_HOOK.HOOKNUM) {
      const number = attrs.u32be();
      const hook = (family === 'netdev' ? deviceHooks : inetHooks)[number];
      if (hook === undefined) throw malformed(`nftables hook ${number}`);
      base.hook = hook;
    }
  }
  return base;
}

/** Reads the payload of an NFT_MSG_NEWRULE. @throws NetlinkError EPROTO */
export function parseRule(payload: Buffer): NftRule {
  const { family, attrs } = open(payload);
  const rule: NftRule = { object: 'rule', family, table: '', chain: '', expressions: [], handle: 0n };
  while (attrs.next()) {
    if (attrs.type === NFTA_RULE.TABLE) rule.table = attrs.string();
    else if (attrs.type === NFTA_RULE.CHAIN) rule.chain = attrs.string();
    else if (attrs.type === NFTA_RULE.HANDLE) rule.handle = attrs.u64be();
    else if (attrs.type === NFTA_RULE.USERDATA) {
      setComment(rule, attrs.bytes());
      const mark = findComment(attrs.bytes(), UDATA_MARK);
      if (mark !== undefined) rule.mark = mark;
    } else if (attrs.type === NFTA_RULE.EXPRESSIONS) rule.expressions = parseExpressions(attrs.nested());
  }
  return rule;
}

function parseExpressions(list: AttributeReader): NftExpression[] {
  const expressions: NftExpression[] = [];
  while (list.next()) expressions.push(parseExpression(list.nested()));
  return expressions;
}

/** Reads the payload of an NFT_MSG_NEWSET; undefined for one with a type unknown here. @throws NetlinkError EPROTO */
export function parseSet(payload: Buffer): NftSet | NftMap | undefined {
  const { family, attrs } = open(payload);
  const set = { family, table: '', set: '' } as NftSet;
  let flags = 0;
  let key: NftValueType[] | undefined;
  let dataType = 0;
  while (attrs.next()) {
    if (attrs.type === NFTA_SET.TABLE) set.table = attrs.string();
    else if (attrs.type === NFTA_SET.NAME) set.set = attrs.string();
    else if (attrs.type === NFTA_SET.HANDLE) set.handle = attrs.u64be();
    else if (attrs.type === NFTA_SET.FLAGS) flags = attrs.u32be();
    else if (attrs.type === NFTA_SET.KEY_TYPE) key = keyTypesOf(attrs.u32be());
    else if (attrs.type === NFTA_SET.DATA_TYPE) dataType = attrs.u32be();
    else if (attrs.type === NFTA_SET.TIMEOUT) set.timeoutMs = Number(attrs.u64be());
    else if (attrs.type === NFTA_SET.USERDATA) setComment(set, attrs.bytes(), UDATA_SET.COMMENT);
    else if (attrs.type === NFTA_SET.DESC) readSize(set, attrs.nested());
  }
  const data = dataType === NFT_DATA_VERDICT ? ('verdict' as const) : keyTypesOf(dataType);
  const isMap = (flags & NFT_SET.MAP) !== 0;
  if (key === undefined || (isMap && data === undefined)) return undefined;
  const common = { ...set, key, ...flagProperties(flags) };
  return isMap ? { ...common, object: 'map', data: data! } : { ...common, object: 'set' };
}

function readSize(set: NftSet, description: AttributeReader): void {
  while (description.next()) if (description.type === NFTA_SET_DESC.SIZE) set.size = description.u32be();
}

function flagProperties(flags: number): Partial<NftSet> {
  return {
    ...(flags & NFT_SET.INTERVAL ? { hasIntervals: true } : {}),
    ...(flags & NFT_SET.EVAL ? { isDynamic: true } : {}),
    ...(flags & NFT_SET.TIMEOUT ? { hasTimeouts: true } : {}),
    ...(flags & NFT_SET.CONSTANT ? { isConstant: true } : {}),
  };
}
