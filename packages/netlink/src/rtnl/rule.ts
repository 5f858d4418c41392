import { AttributeReader, MessageWriter } from '../attributes.ts';
import { NLM_F } from '../conn.ts';
import { ERRNO, malformed, NetlinkError } from '../errors.ts';
import { type Cidr, type IpFamily, ipToBytes, networkOf } from '../ip.ts';
import { familyNumbers } from './address.ts';
import { AF, FRA, RTM } from './constants.ts';
import type { Rtnl } from './rtnl.ts';

/** struct fib_rule_hdr: include/uapi/linux/fib_rules.h */
const FIB_RULE_HDR = 12;
// FR_ACT_*
const actions = { table: 1, blackhole: 6, unreachable: 7, prohibit: 8 } as const;

export type RuleAction = keyof typeof actions;

/** A policy routing rule: which packets look into which routing table. */
export interface RuleSpec {
  family: IpFamily;
  /** Lower comes first; the kernel picks one unless given. */
  priority?: number;
  src?: Cidr;
  dst?: Cidr;
  iifName?: string;
  oifName?: string;
  mark?: number;
  /** Bits of the mark that count; all unless given. */
  markMask?: number;
  table?: number;
  /** `table` (look into it) unless given. */
  action?: RuleAction;
}

export type Rule = RuleSpec & { priority: number; table: number };

/** `ip rule add [from …] [to …] [iif …] [fwmark …] [priority …] table …`. @throws NetlinkError EEXIST */
export function ruleAdd(conn: Rtnl, rule: RuleSpec): void {
  const message = new MessageWriter(128).message(
    RTM.NEWRULE,
    NLM_F.REQUEST | NLM_F.ACK | NLM_F.CREATE | NLM_F.EXCL,
  );
  writeRule(message, rule, actions[rule.action ?? 'table']);
  conn.execute({ op: `add rule ${rule.priority ?? ''}`.trimEnd(), message });
}

/** `ip rule del …`: the first rule that has all that is given; false when there is none. @throws NetlinkError */
export function ruleDel(conn: Rtnl, rule: RuleSpec): boolean {
  const message = new MessageWriter(128).message(RTM.DELRULE, NLM_F.REQUEST | NLM_F.ACK);
  writeRule(message, rule, rule.action === undefined ? 0 : actions[rule.action]);
  try {
    conn.execute({ op: `delete rule ${rule.priority ?? ''}`.trimEnd(), message });
    return true;
  } catch (error) {
    if (error instanceof NetlinkError && error.errno === ERRNO.ENOENT) return false;
    throw error;
  }
}

function writeRule(message: MessageWriter, rule: RuleSpec, action: number): void {
  const table = rule.table ?? 0;
  const header = message.header(FIB_RULE_HDR);
  header[0] = familyNumbers[rule.family];
  header[1] = rule.dst?.prefix ?? 0;
  header[2] = rule.src?.prefix ?? 0;
  header[4] = table < 256 ? table : 0;
  header[7] = action;
  if (table >= 256) message.u32(FRA.TABLE, table);
  if (rule.dst !== undefined) message.bytesOf(FRA.DST, ipToBytes(networkOf(rule.dst).ip));
  if (rule.src !== undefined) message.bytesOf(FRA.SRC, ipToBytes(networkOf(rule.src).ip));
  if (rule.priority !== undefined) message.u32(FRA.PRIORITY, rule.priority);
  if (rule.iifName !== undefined) message.string(FRA.IIFNAME, rule.iifName);
  if (rule.oifName !== undefined) message.string(FRA.OIFNAME, rule.oifName);
  if (rule.mark !== undefined) message.u32(FRA.FWMARK, rule.mark);
  if (rule.markMask !== undefined) message.u32(FRA.FWMASK, rule.markMask);
}

/** `ip [-4|-6] rule show`, in the order in which the kernel looks at them. @throws NetlinkError */
export function ruleList(conn: Rtnl, family?: IpFamily): Rule[] {
  const message = new MessageWriter(32).message(RTM.GETRULE, NLM_F.REQUEST | NLM_F.DUMP);
  message.header(FIB_RULE_HDR)[0] = family === undefined ? AF.UNSPEC : familyNumbers[family];
  return conn
    .execute({ op: 'list rules', message })
    .filter((reply) => reply.type === RTM.NEWRULE)
    .map((reply) => parseRuleMessage(reply.payload))
    .filter((rule) => rule !== undefined);
}

/** Reads the payload of an RTM_NEWRULE; undefined for other families and for `goto` rules. @throws NetlinkError EPROTO */
export function parseRuleMessage(payload: Buffer): Rule | undefined {
  if (payload.length < FIB_RULE_HDR) throw malformed(`rule message of ${payload.length} bytes`);
  if (payload[0] !== AF.INET && payload[0] !== AF.INET6) return undefined;
  const action = (Object.keys(actions) as RuleAction[]).find((name) => actions[name] === payload[7]);
  if (action === undefined) return undefined;
  const size = payload[0] === AF.INET ? 4 : 16;
  const rule: Rule = { family: size === 4 ? 4 : 6, priority: 0, table: payload[4]!, action };
  const attrs = new AttributeReader(payload, FIB_RULE_HDR);
  while (attrs.next()) {
    if (attrs.type === FRA.PRIORITY) rule.priority = attrs.u32();
    else if (attrs.type === FRA.TABLE) rule.table = attrs.u32();
    else if (attrs.type === FRA.DST) rule.dst = { ip: attrs.ip(size), prefix: payload[1]! };
    else if (attrs.type === FRA.SRC) rule.src = { ip: attrs.ip(size), prefix: payload[2]! };
    else if (attrs.type === FRA.IIFNAME) rule.iifName = attrs.string();
    else if (attrs.type === FRA.OIFNAME) rule.oifName = attrs.string();
    else if (attrs.type === FRA.FWMARK) rule.mark = attrs.u32();
    else if (attrs.type === FRA.FWMASK) rule.markMask = attrs.u32();
  }
  return rule;
}
