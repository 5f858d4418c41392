import { type Cidr, contains, formatCidr, type IpAddress, parseCidr } from '@amphipod/netlink';
import { blocksPrefix, type IpamBlock, parseBlockKey } from '../resources/ipam-block.ts';
import { addressAt, attributeAt, giveBack, isEmpty, ordinalOf, ordinalsOf } from './block.ts';
import { HandleCounter } from './handle-counter.ts';
import { readConfig } from './situation.ts';
import { callOf, racing, type StorePlace, storedBlock, storedHandle } from './stored-object.ts';

export interface ReleasePlace extends StorePlace {
  nowMs: number;
}

/**
 * Gives back all that a handle holds. Doing it again does nothing, and what another handle has taken since stays.
 * @returns the addresses that were given back
 */
export async function releaseHandle(place: ReleasePlace, handleId: string): Promise<IpAddress[]> {
  const object = storedHandle(place, handleId);
  const released: IpAddress[] = [];
  await racing('release handle', place, async () => {
    const handle = await object.get();
    if (handle === undefined) return;
    const cooldownSeconds = await cooldown(place);
    for (const text of Object.keys(handle.value.block)) {
      const choose = (block: IpamBlock) => ordinalsOf(block, handleId);
      released.push(...(await releaseFromBlock(place, parseCidr(text), { choose, cooldownSeconds })));
    }
    // Fails when somebody took an address for this handle at this moment: then all of it again.
    await object.delete(handle);
  });
  return released;
}

export interface ReleaseIpsOptions {
  /** Only what this handle holds. */
  handleId: string;
}

/** Gives back single addresses, those of them that the handle holds. */
export async function releaseIps(
  place: ReleasePlace,
  ips: readonly IpAddress[],
  { handleId }: ReleaseIpsOptions,
): Promise<IpAddress[]> {
  if (ips.length === 0) return [];
  const [blocks, cooldownSeconds] = await Promise.all([blocksOfIps(place, ips), cooldown(place)]);
  const handle = new HandleCounter(place, handleId);
  const released: IpAddress[] = [];
  for (const cidr of blocks) {
    const choose = (block: IpamBlock) =>
      ips
        .map((ip) => ordinalOf(block, ip))
        .filter((ordinal) => ordinal !== undefined)
        .filter((ordinal) => attributeAt(block, ordinal)?.handle_id === handleId);
    const given = await releaseFromBlock(place, cidr, { choose, cooldownSeconds });
    await handle.add(cidr, -given.length);
    released.push(...given);
  }
  return released;
}

async function cooldown(place: StorePlace): Promise<number> {
  return (await readConfig(place)).ipCooldownSeconds;
}

/** The blocks that these addresses are of. */
async function blocksOfIps({ store, signal }: StorePlace, ips: readonly IpAddress[]): Promise<Cidr[]> {
  const families = [...new Set(ips.map(({ family }) => family))];
  const lists = await Promise.all(families.map((family) => store.list(blocksPrefix(family), callOf(signal))));
  const cidrs = lists.flatMap(({ entries }) => entries.flatMap(({ key }) => parseBlockKey(key) ?? []));
  return cidrs.filter((cidr) => ips.some((ip) => contains(cidr, ip)));
}

interface ReleaseChoice {
  choose(block: IpamBlock): readonly number[];
  cooldownSeconds: number;
}

/** Gives back addresses of one block; a block of nobody that is empty then is deleted. */
export async function releaseFromBlock(
  place: ReleasePlace,
  cidr: Cidr,
  { choose, cooldownSeconds }: ReleaseChoice,
): Promise<IpAddress[]> {
  const object = storedBlock(place, cidr);
  return await racing(`release addresses of block ${formatCidr(cidr)}`, place, async () => {
    const stored = await object.get();
    const ordinals = stored === undefined ? [] : choose(stored.value);
    if (stored === undefined || ordinals.length === 0) return [];
    const block = giveBack(stored.value, ordinals, { nowMs: place.nowMs, cooldownSeconds });
    if (block.affinity === null && isEmpty(block)) await object.delete(stored);
    else await object.replace(stored, block);
    return ordinals.map((ordinal) => addressAt(block, ordinal));
  });
}
