import { type Cidr, formatCidr, overlaps, parseCidr } from '@amphipod/netlink';
import { type IpPool, withPoolDefaults } from './ip-pool.ts';
import { type Place, placeOf, refusal } from './place.ts';

/** What a pool must agree with. */
export interface PoolSurroundings {
  /** The pool before the change. */
  old: IpPool | undefined;
  pools: readonly IpPool[];
  /** Blocks that are there. */
  blocks: readonly Cidr[];
}

/** Checks what cannot be seen in the pool alone. @throws FabricError `invalid-resource` */
export function checkPool(pool: IpPool, { old, pools, blocks }: PoolSurroundings): void {
  const { name } = pool.metadata;
  const place: Place = { what: `write IPPool ${JSON.stringify(name)}`, path: 'spec', isStrict: true };
  const [now, before] = [withPoolDefaults(pool), old && withPoolDefaults(old)].map((one) => one?.spec);
  const cidr = parseCidr(now!.cidr);
  const at = (key: string) => placeOf(place, key);
  if (before !== undefined) {
    if (before.cidr !== now!.cidr) {
      throw refusal(at('cidr'), now!.cidr, `cannot be changed, it was ${before.cidr}: make another pool`);
    }
    if (before.blockSize !== now!.blockSize) {
      throw refusal(
        at('blockSize'),
        now!.blockSize,
        `cannot be changed, it was ${before.blockSize}: make another pool`,
      );
    }
    const wasBalanced = before.allowedUses.includes('LoadBalancer');
    if (wasBalanced && !now!.allowedUses.includes('LoadBalancer')) {
      throw refusal(at('allowedUses'), now!.allowedUses, 'cannot be changed from LoadBalancer');
    }
    return;
  }
  const other = pools.find((one) => one.metadata.name !== name && overlaps(parseCidr(one.spec.cidr), cidr));
  if (other !== undefined) {
    throw refusal(
      at('cidr'),
      now!.cidr,
      `overlaps ${other.spec.cidr} of IPPool ${JSON.stringify(other.metadata.name)}`,
    );
  }
  const block = blocks.find((one) => overlaps(one, cidr) && one.prefix !== now!.blockSize);
  if (block !== undefined) {
    throw refusal(at('blockSize'), now!.blockSize, `there is a block of another size, ${formatCidr(block)}`);
  }
}
