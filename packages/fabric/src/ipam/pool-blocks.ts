import {
  broadcastOf,
  type Cidr,
  cidrOf,
  compareIp,
  contains,
  type IpAddress,
  ipBits,
  ipPlus,
  networkOf,
  parseCidr,
} from '@amphipod/netlink';
import type { IpPool } from '../resources/ip-pool.ts';

const FNV_OFFSET = 0x811c9dc5;
const FNV_PRIME = 0x01000193;

/** The block of a pool that has this address. */
export function blockOf(pool: IpPool, ip: IpAddress): Cidr {
  return networkOf(cidrOf(ip, pool.spec.blockSize!));
}

/** True when the address, or the whole block, is of the pool. */
export function isInPool(pool: IpPool, inner: IpAddress | Cidr): boolean {
  return contains(parseCidr(pool.spec.cidr), inner);
}

/**
 * All blocks of a pool, each once, from a place that follows from the node's name: nodes that start together seldom want the
 * same block, and a node wants the same ones again.
 * @param skippedAt a range around a block that is passed over in one step
 */
export function* blocksOf(
  pool: IpPool,
  node: string,
  skippedAt: (block: Cidr) => Cidr | undefined,
): Generator<Cidr, void> {
  const { ip, prefix } = parseCidr(pool.spec.cidr);
  const blockSize = pool.spec.blockSize!;
  const count = 1n << BigInt(blockSize - prefix);
  const step = 1n << BigInt(ipBits(ip.family) - blockSize);
  const first = BigInt(hash(node)) % count;
  for (let i = 0n; i < count; ) {
    const at = (first + i) % count;
    const block = cidrOf(ipPlus(ip, at * step)!, blockSize);
    const skipped = skippedAt(block);
    if (skipped === undefined) yield block;
    const after = skipped === undefined ? at + 1n : (broadcastOf(skipped).value - ip.value) / step + 1n;
    i += (after < count ? after : count) - at;
  }
}

/** Blocks of the pool in the order of {@link blocksOf}. */
export function inOrderOf(pool: IpPool, node: string, blocks: readonly Cidr[]): Cidr[] {
  const [first] = blocksOf(pool, node, () => undefined);
  const isBefore = (block: Cidr) => compareIp(block.ip, first!.ip) < 0;
  return blocks
    .filter((block) => isInPool(pool, block))
    .toSorted((a, b) => Number(isBefore(a)) - Number(isBefore(b)) || compareIp(a.ip, b.ip));
}

/** FNV-1, 32 bits. */
function hash(text: string): number {
  let value = FNV_OFFSET;
  for (const byte of Buffer.from(text)) value = (Math.imul(value, FNV_PRIME) ^ byte) >>> 0;
  return value;
}
