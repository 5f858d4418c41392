import { linkDel, linkFind } from '@amphipod/netlink';
import { hasPorts } from './bridge/ensure-bridge.ts';
import { removeUnusedMacSpoofCheckTable } from './bridge/mac-spoof-check.ts';
import { removeUnusedOwnersTable } from './firewall/address-owners.ts';
import { OwnerIndex } from './host-local/owner-index.ts';
import { openPluginHost, type PluginHost } from './lib/host.ts';
import { removeUnusedMasqueradeTable } from './lib/masquerade.ts';
import { removeUnusedHostPortTables } from './portmap/owned-elements.ts';

/**
 * Removes what pods share and DEL leaves for the next one: our nftables tables, host-local's indexes, and the bridges of
 * these names, each only when no pod uses it. For whoever takes the whole thing down. Bridges of others with these names go too.
 */
export async function removeUnused(
  bridges: readonly string[],
  host: PluginHost = openPluginHost(),
): Promise<void> {
  removeUnusedMacSpoofCheckTable(host.nft);
  removeUnusedMasqueradeTable(host.nft);
  removeUnusedHostPortTables(host.nft);
  removeUnusedOwnersTable(host.nft);
  OwnerIndex.removeEmpty();
  for (const name of bridges) {
    const bridge = linkFind(host.rtnl, name);
    if (bridge?.kind === 'bridge' && !hasPorts(host.rtnl, bridge.ifIndex))
      await linkDel(host.rtnl, bridge.ifIndex);
  }
}
