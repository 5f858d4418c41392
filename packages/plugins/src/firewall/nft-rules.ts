import { isDeepStrictEqual } from 'node:util';
import { isCode } from '@amphipod/linux';
import {
  type IpFamily,
  isStaleGeneration,
  type Nft,
  type NftExpression,
  type NftOp,
  type NftRule,
  type NftRuleRef,
  nftFindChain,
  nftFindRule,
  nftGeneration,
  nftListRules,
  nftTransaction,
} from '@amphipod/netlink';
import type { PluginHost } from '../lib/host.ts';
import { ifThere } from '../lib/if-there.ts';
import { type FamilyRules, type FirewallRule, FORWARD, SHARED_COMMENT } from './rules.ts';

/** Others change the ruleset at the same time, never so often. */
const TRIES = 20;

type TableRef = { family: 'ip' | 'ip6'; table: 'filter' };

export function tableOf(family: IpFamily): TableRef {
  return { family: family === 4 ? 'ip' : 'ip6', table: 'filter' };
}

/**
 * Puts a pod's rules, and what pods share where it is missing, into the tables of iptables-nft, all in one transaction. The
 * pod's rules carry `mark`, which iptables does not show. The cost does not grow with the number of pods: where rules are is
 * remembered, and one look at each tells whether it is there still.
 */
export function addNftRules(host: PluginHost, families: readonly FamilyRules[], mark: string): void {
  const { nft: conn } = host;
  const own = families.flatMap(({ family, pod }) => pod.map((rule) => addOp(family, rule, mark)));
  const incomplete = families.filter((rules) => !areSharedThere(host, rules));
  for (let tries = 1; ; tries++) {
    const generation = incomplete.length > 0 ? nftGeneration(conn) : undefined;
    const missing = incomplete.flatMap((rules) => missingOps(host, rules));
    // Nothing rests on what was read when all was there.
    const options = { wantsRules: true, ...(missing.length > 0 && { generation: generation! }) };
    try {
      const made = nftTransaction(conn, [...missing, ...own], options);
      for (const rules of incomplete) rememberShared(host, rules, made);
      const marked = made.filter((rule) => rule.mark === mark).map(refOf);
      host.memory.firewallRules.set(mark, [...(host.memory.firewallRules.get(mark) ?? []), ...marked]);
      return;
    } catch (error) {
      if (tries === TRIES || !(isStaleGeneration(error) || isCode(error, 'ENOENT'))) throw error;
    }
  }
}

function addOp(family: IpFamily, { chain, expressions }: FirewallRule, mark: string): NftOp {
  return { op: 'add', object: 'rule', ...tableOf(family), chain, expressions, mark };
}

function refOf({ object, family, table, chain, handle }: NftRule): NftRuleRef {
  return { object, family, table, chain, handle };
}

/** By memory alone; false also when nothing is known. */
function areSharedThere({ nft, memory }: PluginHost, { family, shared }: FamilyRules): boolean {
  return shared.every((rule) => {
    const ref = memory.firewallRules.get(sharedKey(family, rule))?.[0];
    const found = ref && nftFindRule(nft, ref);
    return found !== undefined && isSameRule(found, rule);
  });
}

function rememberShared({ memory }: PluginHost, { family, shared }: FamilyRules, found: NftRule[]): void {
  const inFamily = found.filter((rule) => rule.family === tableOf(family).family && rule.mark === undefined);
  for (const rule of shared) {
    const present = inFamily.find((other) => isSameRule(other, rule));
    if (present !== undefined) memory.firewallRules.set(sharedKey(family, rule), [refOf(present)]);
  }
}

function sharedKey(family: IpFamily, { chain, text }: FirewallRule): string {
  return `${tableOf(family).family} ${chain} ${text}`;
}

/** The steps that make the shared rules of a family complete; none when they are. */
function missingOps(host: PluginHost, rules: FamilyRules): NftOp[] {
  const { family, shared, chains } = rules;
  const ref = tableOf(family);
  const present = listShared(host.nft, family, shared);
  rememberShared(host, rules, present);
  const find = (rule: FirewallRule) => present.find((other) => isSameRule(other, rule));
  const missing = shared.filter((rule) => find(rule) === undefined);
  if (missing.length === 0) return [];
  const hasForward = nftFindChain(host.nft, { ...ref, chain: FORWARD }) !== undefined;
  return [
    { op: 'add', object: 'table', ...ref },
    // An existing one is left as it is, its policy above all.
    ...(hasForward ? [] : [forwardChain(ref)]),
    ...chains.map((chain): NftOp => ({ op: 'add', object: 'chain', ...ref, chain })),
    ...missing.map(({ chain, expressions, place, behind }): NftOp => {
      const position = behind && find(behind)?.handle;
      const op = place === 'start' && position === undefined ? 'insert' : 'add';
      return { op, object: 'rule', ...ref, chain, expressions, ...(position !== undefined && { position }) };
    }),
  ];
}

function forwardChain(ref: TableRef): NftOp {
  const base = { type: 'filter', hook: 'forward', priority: 0 } as const;
  return { op: 'add', object: 'chain', ...ref, chain: FORWARD, base };
}

function listShared(conn: Nft, family: IpFamily, shared: readonly FirewallRule[]): NftRule[] {
  const containing = [Buffer.from(SHARED_COMMENT)];
  const chains = new Set(shared.map(({ chain }) => chain));
  return [...chains].flatMap((chain) => listRules(conn, family, { chain, containing }));
}

/** The rules of a chain; none when it is not there. */
export function listRules(
  conn: Nft,
  family: IpFamily,
  of: { chain: string; containing?: readonly Buffer[] },
): NftRule[] {
  return ifThere(() => nftListRules(conn, { ...tableOf(family), ...of }), []);
}

/** Whether a rule in the kernel says the same, whatever it has counted. */
export function isSameRule({ chain, expressions }: NftRule, rule: FirewallRule): boolean {
  return chain === rule.chain && isDeepStrictEqual(uncounted(expressions), uncounted(rule.expressions));
}

function uncounted(expressions: readonly NftExpression[]): NftExpression[] {
  return expressions.filter(({ expr }) => expr !== 'counter');
}

/** The rules that are not there; a pod's own may be anybody's. */
export function missingNftRules(conn: Nft, { family, shared, pod }: FamilyRules): FirewallRule[] {
  const present = [
    ...listShared(conn, family, shared),
    ...pod.flatMap(({ chain, bytes }) => listRules(conn, family, { chain, containing: [bytes] })),
  ];
  return [...shared, ...pod].filter((rule) => !present.some((other) => isSameRule(other, rule)));
}
