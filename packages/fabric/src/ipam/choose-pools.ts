import { formatCidr, type IpFamily, overlaps, parseCidr, tryParseCidr } from '@amphipod/netlink';
import { FabricError } from '../errors.ts';
import type { IpPool } from '../resources/ip-pool.ts';
import { type LabelRecord, selects } from '../selector/selects.ts';

/** What an address is for. */
export type PoolUse = 'Workload' | 'Tunnel';

export interface PoolWish {
  family: IpFamily;
  use: PoolUse;
  nodeLabels: LabelRecord;
  /** Labels of the pod's namespace; none when there is no namespace. */
  namespaceLabels: LabelRecord;
  /** Names or networks of pools, in this order; any pool that selects node and namespace unless given. */
  requested: readonly string[];
}

/**
 * The pools that addresses may come from, in this order. Those that are named are taken whatever they select.
 * @throws FabricError `no-pool`, saying why each pool is left out
 */
export function choosePools(pools: readonly IpPool[], wish: PoolWish): IpPool[] {
  const usable = withoutOverlaps(pools).filter((pool) => familyOf(pool) === wish.family);
  if (wish.requested.length > 0) return wish.requested.map((text) => requestedPool(usable, text, wish));
  const reasons = usable.map((pool) => ({ pool, why: whyNot(pool, wish) }));
  const chosen = reasons.filter(({ why }) => why === undefined).map(({ pool }) => pool);
  if (chosen.length > 0) return chosen;
  const told = reasons.map(({ pool, why }) => `${JSON.stringify(pool.metadata.name)} ${why}`).join(', ');
  throw new FabricError(
    'no-pool',
    `choose IPPool for IPv${wish.family}: ${told === '' ? 'there is none' : `none can be used: ${told}`}`,
  );
}

function requestedPool(pools: readonly IpPool[], text: string, wish: PoolWish): IpPool {
  const cidr = tryParseCidr(text);
  const pool = pools.find(({ metadata, spec }) =>
    cidr === undefined ? metadata.name === text : formatCidr(parseCidr(spec.cidr)) === formatCidr(cidr),
  );
  const why = pool === undefined ? `is no IPPool for IPv${wish.family}` : whyUnusable(pool, wish.use);
  if (pool !== undefined && why === undefined) return pool;
  throw new FabricError('no-pool', `choose IPPool: ${JSON.stringify(text)} ${why}`);
}

/** Why a pool gives nothing to this node and namespace by itself. */
function whyNot(pool: IpPool, { use, nodeLabels, namespaceLabels }: PoolWish): string | undefined {
  const { assignmentMode, nodeSelector = '', namespaceSelector = '' } = pool.spec;
  const unusable = whyUnusable(pool, use);
  if (unusable !== undefined) return unusable;
  if (assignmentMode === 'Manual') return 'is for those who ask for it (assignmentMode Manual)';
  if (!selectsNode(pool, nodeLabels)) return `does not select the node (${nodeSelector})`;
  if (!selects(namespaceSelector, namespaceLabels)) {
    return `does not select the namespace (${namespaceSelector})`;
  }
  return undefined;
}

function whyUnusable({ spec, metadata }: IpPool, use: PoolUse): string | undefined {
  if (spec.disabled) return 'is disabled';
  if (metadata.deletionTimestamp !== undefined) return 'is being deleted';
  if (!spec.allowedUses!.includes(use)) return `is not for the use ${use} (${spec.allowedUses!.join(', ')})`;
  return undefined;
}

/** True when a node with these labels may have blocks of the pool. */
export function selectsNode({ spec }: IpPool, nodeLabels: LabelRecord): boolean {
  return selects(spec.nodeSelector ?? '', nodeLabels);
}

/** Two pools that were written at once can overlap, and their blocks with them: the younger one is left alone. */
function withoutOverlaps(pools: readonly IpPool[]): IpPool[] {
  const age = ({ metadata }: IpPool) => `${metadata.creationTimestamp ?? ''} ${metadata.name}`;
  const byAge = pools.toSorted((a, b) => (age(a) < age(b) ? -1 : 1));
  const dropped = new Set<IpPool>();
  for (const [i, pool] of byAge.entries()) {
    const isHidden = byAge
      .slice(0, i)
      .some(
        (older) => !dropped.has(older) && overlaps(parseCidr(older.spec.cidr), parseCidr(pool.spec.cidr)),
      );
    if (isHidden) dropped.add(pool);
  }
  return pools.filter((pool) => !dropped.has(pool));
}

function familyOf({ spec }: IpPool): IpFamily {
  return parseCidr(spec.cidr).ip.family;
}
