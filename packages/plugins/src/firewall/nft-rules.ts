import { isDeepStrictEqual } from 'node:util';
import { isCode } from '@amphipod/linux';
import {
  type IpAddress,
  type IpFamily,
  ipToBytes,
  isStaleGeneration,
  type Nft,
  type NftExpression,
  type NftOp,
  type NftRule,
  nftFindChain,
  nftGeneration,
  nftListRules,
  nftTransaction,
} from '@amphipod/netlink';
import {
  type FamilyRules,
  type FirewallRule,
  FORWARD,
  POD_CHAIN,
  podRules,
  SHARED_COMMENT,
} from './rules.ts';

/** Others change the ruleset at the same time, never so often. */
const TRIES = 20;

type TableRef = { family: 'ip' | 'ip6'; table: 'filter' };

function tableOf(family: IpFamily): TableRef {
  return { family: family === 4 ? 'ip' : 'ip6', table: 'filter' };
}

/**
 * Puts a pod's rules, and what pods share where it is missing, into the tables of iptables-nft, all in one transaction. The
 * pod's rules carry `mark`, which iptables does not show.
 */
export function addNftRules(conn: Nft, families: readonly FamilyRules[], mark: string): void {
  for (let tries = 1; ; tries++) {
    const generation = nftGeneration(conn);
    const missing = families.flatMap((rules) => missingOps(conn, rules));
    const own = families.flatMap(({ family, pod }) => pod.map((rule) => addOp(family, rule, mark)));
    try {
      // Nothing rests on what was read when all was there.
      nftTransaction(conn, [...missing, ...own], missing.length > 0 ? { generation } : {});
      return;
    } catch (error) {
      if (tries === TRIES || !(isStaleGeneration(error) || isCode(error, 'ENOENT'))) throw error;
    }
  }
}

function addOp(family: IpFamily, { chain, expressions }: FirewallRule, mark: string): NftOp {
  return { op: 'add', object: 'rule', ...tableOf(family), chain, expressions, mark };
}

/** The steps that make the shared rules of a family complete; none when they are. */
function missingOps(conn: Nft, { family, shared, chains }: FamilyRules): NftOp[] {
  const ref = tableOf(family);
  const present = listShared(conn, family, shared);
  const find = (rule: FirewallRule) => present.find((other) => isSame(other, rule));
  const missing = shared.filter((rule) => find(rule) === undefined);
  if (missing.length === 0) return [];
  const hasForward = nftFindChain(conn, { ...ref, chain: FORWARD }) !== undefined;
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

function listRules(
  conn: Nft,
  family: IpFamily,
  of: { chain: string; containing?: readonly Buffer[] },
): NftRule[] {
  try {
    return nftListRules(conn, { ...tableOf(family), ...of });
  } catch (error) {
    if (isCode(error, 'ENOENT')) return [];
    throw error;
  }
}

function isSame({ chain, expressions }: NftRule, rule: FirewallRule): boolean {
  return chain === rule.chain && isDeepStrictEqual(uncounted(expressions), uncounted(rule.expressions));
}

function uncounted(expressions: readonly NftExpression[]): NftExpression[] {
  return expressions.filter(({ expr }) => expr !== 'counter');
}

/** The rules that are not there; a pod's own may be anybody's. */
export function missingNftRules(conn: Nft, { family, shared, pod }: FamilyRules): FirewallRule[] {
  const present = [...listShared(conn, family, shared), ...listRules(conn, family, { chain: POD_CHAIN })];
  return [...shared, ...pod].filter((rule) => !present.some((other) => isSame(other, rule)));
}

/** Takes out the rules with this mark. False when there are none. */
export function removeNftRules(conn: Nft, mark: string): boolean {
  return removeWhere(conn, [Buffer.from(`${mark}\0`)], (rule) => rule.mark === mark) > 0;
}

/** Takes out rules for these addresses that have no mark: iptables made them, or iptables-restore loaded them again. */
export function removeUnmarkedNftRules(conn: Nft, addresses: readonly IpAddress[]): void {
  if (addresses.length === 0) return;
  const unwanted = addresses.flatMap(podRules);
  const bytes = addresses.map((ip) => ipToBytes(ip));
  removeWhere(
    conn,
    bytes,
    (rule) => rule.mark === undefined && unwanted.some((other) => isSame(rule, other)),
  );
}

/** Takes out the rules with a mark that is unwanted. */
export function removeMarkedNftRules(conn: Nft, isUnwanted: (mark: string | undefined) => boolean): void {
  removeWhere(conn, undefined, ({ mark }) => isUnwanted(mark));
}

/** How many rules were there to remove. */
function removeWhere(
  conn: Nft,
  containing: readonly Buffer[] | undefined,
  isUnwanted: (rule: NftRule) => boolean,
): number {
  for (let tries = 1; ; tries++) {
    const rules = ([4, 6] as const)
      .flatMap((family) => listRules(conn, family, { chain: POD_CHAIN, ...(containing && { containing }) }))
      .filter(isUnwanted);
    try {
      nftTransaction(
        conn,
        rules.map((rule) => ({ op: 'delete', ...rule }) as const),
      );
      return rules.length;
    } catch (error) {
      // Somebody else removed one of them in between.
      if (tries === TRIES || !isCode(error, 'ENOENT')) throw error;
    }
  }
}
