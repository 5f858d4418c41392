import { type IpAddress, parseCidr } from '@amphipod/netlink';
import { addressAt, ordinalsOf } from './block.ts';
import { type StorePlace, storedBlock, storedHandle } from './stored-object.ts';

/** The addresses that a handle holds. */
export async function addressesOf(place: StorePlace, handleId: string): Promise<IpAddress[]> {
  const handle = await storedHandle(place, handleId).get();
  const cidrs = Object.keys(handle?.value.block ?? {}).map(parseCidr);
  const blocks = await Promise.all(cidrs.map((cidr) => storedBlock(place, cidr).get()));
  return blocks.flatMap((stored) => {
    const { value } = stored ?? {};
    return value === undefined ? [] : ordinalsOf(value, handleId).map((ordinal) => addressAt(value, ordinal));
  });
}
