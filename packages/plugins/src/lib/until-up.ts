import { setTimeout as sleep } from 'node:timers/promises';
import { CniError } from '@amphipod/cni';
import { type Link, linkGet, type Rtnl } from '@amphipod/netlink';

/** Steps of the wait: the kernel needs a moment, mostly far less than the first. */
const WAITS_MS = [0, 1, 2, 5, 10, 50, 500, 1000, 1000];

/**
 * Waits until a link's operstate is up; before that, what is sent through it is lost.
 * @throws CniError `what` in error state
 */
export async function untilUp(rtnl: Rtnl, { ifIndex }: Pick<Link, 'ifIndex'>, what: string): Promise<void> {
  let state = '';
  for (const waitMs of WAITS_MS) {
    if (waitMs > 0) await sleep(waitMs);
    state = linkGet(rtnl, ifIndex).operState;
    if (state === 'up') return;
  }
  throw new CniError('internal', `${what} in error state: ${state}`);
}
