import { setTimeout as sleep } from 'node:timers/promises';
import { CniError } from '@amphipod/cni';
import { isCode } from '@amphipod/linux';
import { linkGet, linkSet, type Rtnl } from '@amphipod/netlink';

const ATTEMPTS = 20;
const WAIT_MS = 100;

/**
 * Sees to it that an interface of a virtual function has a hardware address, which its physical function has been told before.
 * Some drivers take that over when the interface comes up (igbvf), some by a reset of their own (iavf), others want it set
 * (mlx5). Leaves the interface up. @throws CniError after 2 s
 */
export async function settleMac(rtnl: Rtnl, ifIndex: number, mac: string): Promise<void> {
  let refusal: unknown;
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    if (attempt > 0) await sleep(WAIT_MS);
    linkSet(rtnl, ifIndex, { up: true });
    if (linkGet(rtnl, ifIndex).mac === mac) return;
    linkSet(rtnl, ifIndex, { up: false });
    if (linkGet(rtnl, ifIndex).mac === mac) continue;
    try {
      linkSet(rtnl, ifIndex, { mac });
    } catch (error) {
      // The function has not heard of it yet.
      if (!isCode(error, 'EADDRNOTAVAIL', 'EBUSY', 'EPERM', 'EAGAIN')) throw error;
      refusal = error;
    }
  }
  const { name, mac: now } = linkGet(rtnl, ifIndex);
  throw new CniError('internal', `failed to set hardware address of ${name}: it is ${now}, want ${mac}`, {
    cause: refusal,
  });
}
