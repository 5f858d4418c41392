import type { PluginRequest } from '@amphipod/cni';
import { linkDel } from '@amphipod/netlink';
import type { PluginHost } from '../lib/host.ts';
import { ownerOf } from '../lib/owner-of.ts';
import { findIfb } from './ifb.ts';

/** Removes this owner's ifb, whatever the configuration says now; what is on the pair goes with the pair. */
export async function del(request: PluginRequest, { rtnl }: PluginHost): Promise<void> {
  const ifb = findIfb(rtnl, ownerOf(request));
  if (ifb !== undefined) await linkDel(rtnl, ifb.ifIndex);
}
