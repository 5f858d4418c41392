import type { Link } from '@amphipod/netlink';

/** Settings of a link, with the names that `linkSet` has for them. */
export interface LinkSettings {
  mac?: string;
  mtu?: number;
  promisc?: boolean;
  allMulti?: boolean;
  txQueueLength?: number;
}

/** What the link has of the settings that are given. */
export function settingsOf(link: Link, wanted: LinkSettings): LinkSettings {
  return {
    ...(wanted.mac !== undefined && { mac: link.mac }),
    ...(wanted.mtu !== undefined && { mtu: link.mtu }),
    ...(wanted.promisc !== undefined && { promisc: link.flags.promisc }),
    ...(wanted.allMulti !== undefined && { allMulti: link.flags.allMulti }),
    ...(wanted.txQueueLength !== undefined && { txQueueLength: link.txQueueLength }),
  };
}
