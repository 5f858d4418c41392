import { attributeAt } from './block.ts';
import { observe } from './observe.ts';
import type { StorePlace } from './stored-object.ts';

/**
 * Handles of a network (`NETWORK.CONTAINER`) that hold addresses for this node. Names with a further dot are left out: they can be
 * another network's, whose name begins alike.
 */
export async function listNodeHandles(place: StorePlace, network: string, node: string): Promise<string[]> {
  const prefix = `${network}.`;
  const { blocks } = await observe(place);
  const found = new Set<string>();
  for (const { value } of blocks.values()) {
    for (const ordinal of value.allocations.keys()) {
      const { handle_id: handleId, secondary } = attributeAt(value, ordinal) ?? {};
      if (handleId === undefined || secondary?.node !== node || !handleId.startsWith(prefix)) continue;
      if (!handleId.slice(prefix.length).includes('.')) found.add(handleId);
    }
  }
  return [...found];
}
