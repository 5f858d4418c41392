import type { Nft, Rtnl } from '@amphipod/netlink';
import { addMended, type Mended, totalMended } from './mended.ts';
import { syncDevice } from './sync-devices.ts';
import { syncRoutes } from './sync-routes.ts';
import { syncRules, type WrittenRules } from './sync-rules.ts';
import type { WantedState } from './wanted-state.ts';

/** Connections into the network namespace of the node, and what is known of it. */
export interface KernelView {
  rtnl: Rtnl;
  nft: Nft;
  /** Set by {@link syncKernel}. */
  writtenRules?: WrittenRules;
  /** Interface indexes of our devices as of the last {@link syncKernel}. */
  deviceIndexes?: readonly number[];
  /** What the last {@link syncKernel} has mended. */
  lastMended?: Partial<Mended>;
}

/**
 * Makes the kernel as it is wanted: finds the differences, whoever made them, and mends those only. New entries come before
 * the routes that need them, old ones go after.
 * @returns the number of differences mended; 0 says that everything was right
 */
export async function syncKernel(view: KernelView, state: WantedState): Promise<number> {
  const { rtnl, nft } = view;
  const rules = syncRules(nft, state, view.writtenRules);
  view.writtenRules = rules.written;
  const mended: Partial<Mended> = { rules: rules.mended };
  view.lastMended = mended;
  const indexes: number[] = [];
  const removals: (() => void)[] = [];
  for (const device of state.devices) {
    const done = await syncDevice(rtnl, device);
    indexes.push(done.ifIndex);
    removals.push(...done.removals);
    addMended(mended, done.mended);
  }
  view.deviceIndexes = indexes;
  addMended(mended, { route: syncRoutes(rtnl, state.routes, indexes) });
  for (const remove of removals) remove();
  return totalMended(mended);
}
