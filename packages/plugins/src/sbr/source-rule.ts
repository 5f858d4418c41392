import { type Cidr, ipBits, type Rule } from '@amphipod/netlink';

/** The reference's. */
export const FIRST_TABLE = 100;

/** A rule for one source address. */
export type SourceRule = Rule & { src: Cidr };

/** True for rules such as ADD makes: `from IP lookup TABLE`, for the table that the configuration names or one from 100 on. */
export function isSourceRule(rule: Rule, table: number | undefined): rule is SourceRule {
  const { src, dst, iifName, oifName, mark, action } = rule;
  const isPlain = [dst, iifName, oifName, mark].every((condition) => condition === undefined);
  return (
    src?.prefix === ipBits(rule.family) &&
    isPlain &&
    action === 'table' &&
    (table === undefined ? rule.table >= FIRST_TABLE : rule.table === table)
  );
}
