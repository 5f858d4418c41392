import type { MessageWriter } from '../attributes.ts';
import { NLM_F } from '../conn.ts';
import {
  NFNL_SUBSYS,
  NFPROTO,
  NFT_MSG,
  NFT_TABLE_F_DORMANT,
  NFTA_CHAIN,
  NFTA_HOOK,
  NFTA_RULE,
  NFTA_SET,
  NFTA_SET_ELEM_LIST,
  NFTA_TABLE,
  verdictCodes,
} from './constants.ts';
import { kernelElements, writeElement } from './element-write.ts';
import { writeExpression } from './expression-write.ts';
import type {
  NftBaseChain,
  NftChain,
  NftElements,
  NftFamily,
  NftOp,
  NftRuleSpec,
  NftTable,
} from './objects.ts';
import { writeSet } from './set-write.ts';
import { commentItem, encodeUserData, UDATA_MARK } from './userdata.ts';

/** Elements of one message; the list's length is a 16-bit number. */
const ELEMENT_LIST_BYTES = 48 * 1024;

// enum nf_inet_hooks and nf_dev_hooks: include/uapi/linux/netfilter.h
const inetHooks = { prerouting: 0, input: 1, forward: 2, output: 3, postrouting: 4, ingress: 5, egress: 1 };

/** Ends the message begun last and gives it its number. */
export type FinishMessage = () => void;

/** Appends the message or messages for one step of a transaction. */
export function writeOp(writer: MessageWriter, op: NftOp, finish: FinishMessage): void {
  const scope: Scope = { writer, finish, op: op.op };
  switch (op.object) {
    case 'table':
      writeTableOp(scope, op);
      break;
    case 'chain':
      writeChainOp(scope, op);
      break;
    case 'rule':
      writeRuleOp(scope, op);
      break;
    case 'set':
    case 'map':
      writeSetOp(scope, op);
      break;
    case 'elements':
      writeElementsOp(scope, op);
      break;
  }
}

/** `add rule ip amphipod postrouting`, for errors. */
export function describeOp(op: NftOp): string {
  if (op.object === 'elements') return `${op.op} element ${op.of.family} ${op.of.table} ${op.of.set}`;
  const name = 'set' in op ? ` ${op.set}` : 'chain' in op ? ` ${op.chain}` : '';
  const handle = op.object === 'rule' && op.handle !== undefined ? ` handle ${op.handle}` : '';
  return `${op.op} ${op.object} ${op.family} ${op.table}${name}${handle}`;
}

interface Scope {
  writer: MessageWriter;
  finish: FinishMessage;
  op: NftOp['op'];
}

/** struct nfgenmsg behind the message header. */
export function beginMessage(writer: MessageWriter, type: number, flags: number, family: NftFamily): void {
  writer.message((NFNL_SUBSYS.NFTABLES << 8) | type, NLM_F.REQUEST | flags);
  writer.header(4)[0] = NFPROTO[family];
}

function createFlags(op: NftOp['op']): number {
  return op === 'create' ? NLM_F.CREATE | NLM_F.EXCL : NLM_F.CREATE;
}

function writeComment(writer: MessageWriter, type: number, comment: string | undefined): void {
  if (comment !== undefined) writer.bytesOf(type, encodeUserData([commentItem(comment)]));
}

type TableOp = Extract<NftOp, { object: 'table' }>;

function writeTableOp({ writer, finish, op }: Scope, table: TableOp): void {
  if (op === 'flush') {
    beginMessage(writer, NFT_MSG.DELRULE, 0, table.family);
    writer.string(NFTA_RULE.TABLE, table.table);
    finish();
    return;
  }
  // Adding first makes the deletion succeed on kernels that know no NFT_MSG_DESTROYTABLE.
  if (op !== 'delete') {
    const { isDormant, comment }: Partial<NftTable> = table;
    beginMessage(writer, NFT_MSG.NEWTABLE, createFlags(op), table.family);
    writer.string(NFTA_TABLE.NAME, table.table);
    if (op !== 'destroy') writer.u32be(NFTA_TABLE.FLAGS, isDormant ? NFT_TABLE_F_DORMANT : 0);
    writeComment(writer, NFTA_TABLE.USERDATA, comment);
    finish();
  }
  if (op === 'delete' || op === 'destroy') {
    beginMessage(writer, NFT_MSG.DELTABLE, 0, table.family);
    writer.string(NFTA_TABLE.NAME, table.table);
    finish();
  }
}

type ChainOp = Extract<NftOp, { object: 'chain' }>;

function writeChainOp({ writer, finish, op }: Scope, chain: ChainOp): void {
  const begin = (type: number, flags: number) => {
    beginMessage(writer, type, flags, chain.family);
    const isRules = type === NFT_MSG.DELRULE;
    writer.string(isRules ? NFTA_RULE.TABLE : NFTA_CHAIN.TABLE, chain.table);
    writer.string(isRules ? NFTA_RULE.CHAIN : NFTA_CHAIN.NAME, chain.chain);
  };
  if (op === 'flush') begin(NFT_MSG.DELRULE, 0);
  else if (op !== 'delete') {
    const { base, comment }: Partial<NftChain> = chain;
    begin(NFT_MSG.NEWCHAIN, createFlags(op));
    if (base !== undefined) writeBaseChain(writer, base, chain.family);
    writeComment(writer, NFTA_CHAIN.USERDATA, comment);
  }
  if (op === 'destroy') finish();
  if (op === 'delete' || op === 'destroy') begin(NFT_MSG.DELCHAIN, 0);
  finish();
}

function writeBaseChain(writer: MessageWriter, base: NftBaseChain, family: NftFamily): void {
  const hook = family === 'netdev' && base.hook === 'ingress' ? 0 : inetHooks[base.hook];
  writer.nested(NFTA_CHAIN.HOOK, () => {
    writer.u32be(NFTA_HOOK.HOOKNUM, hook);
    writer.u32be(NFTA_HOOK.PRIORITY, base.priority);
    if (base.device !== undefined) writer.string(NFTA_HOOK.DEV, base.device);
  });
  writer.u32be(NFTA_CHAIN.POLICY, verdictCodes[base.policy ?? 'accept']);
  writer.string(NFTA_CHAIN.TYPE, base.type);
}

type RuleOp = Extract<NftOp, { object: 'rule' }>;

function writeRuleOp({ writer, finish, op }: Scope, rule: RuleOp): void {
  const flags = { add: NLM_F.CREATE | NLM_F.APPEND, insert: NLM_F.CREATE, replace: NLM_F.REPLACE };
  const isNew = op === 'add' || op === 'insert' || op === 'replace';
  const removal = op === 'destroy' ? NFT_MSG.DESTROYRULE : NFT_MSG.DELRULE;
  beginMessage(writer, isNew ? NFT_MSG.NEWRULE : removal, isNew ? flags[op] : 0, rule.family);
  writer.string(NFTA_RULE.TABLE, rule.table);
  writer.string(NFTA_RULE.CHAIN, rule.chain);
  if (!isNew || op === 'replace') writer.u64be(NFTA_RULE.HANDLE, rule.handle!);
  if (isNew) writeRule(writer, rule as NftRuleSpec);
  finish();
}

function writeRule(writer: MessageWriter, rule: NftRuleSpec): void {
  writer.nested(NFTA_RULE.EXPRESSIONS, () => {
    for (const item of rule.expressions) {
      if ('expr' in item) writeExpression(writer, item);
      else for (const expression of item) writeExpression(writer, expression);
    }
  });
  if (rule.position !== undefined) writer.u64be(NFTA_RULE.POSITION, rule.position);
  const userData = [
    ...(rule.comment === undefined ? [] : [commentItem(rule.comment)]),
    ...(rule.mark === undefined ? [] : [commentItem(rule.mark, UDATA_MARK)]),
  ];
  if (userData.length > 0) writer.bytesOf(NFTA_RULE.USERDATA, encodeUserData(userData));
}

/** include/uapi/linux/netlink.h: do not delete recursively. */
const NLM_F_NONREC = 0x100;

type SetOp = Extract<NftOp, { object: 'set' | 'map' }>;

function writeSetOp({ writer, finish, op }: Scope, set: SetOp): void {
  if (op === 'flush') {
    beginMessage(writer, NFT_MSG.DELSETELEM, 0, set.family);
    writer.string(NFTA_SET_ELEM_LIST.TABLE, set.table);
    writer.string(NFTA_SET_ELEM_LIST.SET, set.set);
  } else if (op === 'delete' || op === 'destroy') {
    const flags = 'onlyIfEmpty' in set && set.onlyIfEmpty ? NLM_F_NONREC : 0;
    beginMessage(writer, op === 'delete' ? NFT_MSG.DELSET : NFT_MSG.DESTROYSET, flags, set.family);
    writer.string(NFTA_SET.TABLE, set.table);
    writer.string(NFTA_SET.NAME, set.set);
  } else if ('key' in set) {
    beginMessage(writer, NFT_MSG.NEWSET, createFlags(op), set.family);
    writeSet(writer, set);
  }
  finish();
}

function writeElementsOp({ writer, finish, op }: Scope, { of, elements }: NftElements): void {
  const type = { delete: NFT_MSG.DELSETELEM, destroy: NFT_MSG.DESTROYSETELEM, other: NFT_MSG.NEWSETELEM };
  const isRemoval = op === 'delete' || op === 'destroy';
  const pending = kernelElements(of, elements);
  for (let index = 0; index < pending.length; ) {
    beginMessage(writer, type[isRemoval ? op : 'other'], isRemoval ? 0 : createFlags(op), of.family);
    writer.string(NFTA_SET_ELEM_LIST.TABLE, of.table);
    writer.string(NFTA_SET_ELEM_LIST.SET, of.set);
    const start = writer.length;
    writer.nested(NFTA_SET_ELEM_LIST.ELEMENTS, () => {
      // The two ends of a range may go in two messages, they are one transaction all the same.
      for (; index < pending.length && writer.length - start < ELEMENT_LIST_BYTES; index++) {
        writeElement(writer, of, pending[index]!);
      }
    });
    finish();
  }
}
