import type { NetlinkRequest, Rtnl } from '@amphipod/netlink';

const BATCH = 100;

/** Makes many changes with few calls into the kernel, in their order. @throws NetlinkError the first refusal of a batch */
export function executeBatched<T>(
  conn: Rtnl,
  items: readonly T[],
  request: (item: T) => NetlinkRequest,
): void {
  for (let at = 0; at < items.length; at += BATCH) {
    conn.executeAll(items.slice(at, at + BATCH).map(request));
  }
}
