import { isCode } from '@amphipod/linux';
import { linkDelAltName, linkSet, type Rtnl } from '@amphipod/netlink';

/**
 * Gives a link that is down its name, also when it has that as an alternative one: udev gives the proper name so to an interface
 * that came back to the host while its name was taken, or up. @throws NetlinkError EEXIST when another link has the name
 */
export function renameLink(rtnl: Rtnl, ifIndex: number, name: string): void {
  try {
    linkSet(rtnl, ifIndex, { name });
  } catch (error) {
    if (!isCode(error, 'EEXIST')) throw error;
    try {
      linkDelAltName(rtnl, ifIndex, name);
    } catch {
      // It is another link's.
      throw error;
    }
    linkSet(rtnl, ifIndex, { name });
  }
}
