import { readdirSync, rmdirSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { mountInfo, sysctlGet, sysctlSet, unmount } from '@amphipod/linux';
import { linkDel, type Nft, nftListTables, nftTransaction, openNft, openRtnl } from '@amphipod/netlink';

const forwarding = 'net.ipv4.ip_forward';
/** host-local keeps an index for each of its directories here. */
const indexes = '/run/amphipod/host-local';

/** What of the machine a pod network changes, to be put back. */
export interface HostState {
  /** Takes the bridge away and puts settings back. */
  restore(bridge: string): Promise<void>;
}

/** Notes the state of the machine before the first change. */
export function rememberHost(): HostState {
  const forwardingBefore = sysctlGet(forwarding);
  const indexesBefore = new Set(listIndexes());
  using nft = openNft();
  const tablesBefore = new Set(ownTables(nft).map(tableName));
  return {
    async restore(bridge) {
      using rtnl = openRtnl();
      await linkDel(rtnl, bridge);
      if (sysctlGet(forwarding) !== forwardingBefore) sysctlSet(forwarding, forwardingBefore);
      removeIndexes(listIndexes().filter((name) => !indexesBefore.has(name)));
      using nft = openNft();
      const made = ownTables(nft).filter((table) => !tablesBefore.has(tableName(table)));
      if (made.length === 0) return;
      nftTransaction(
        nft,
        made.map(({ family, table }) => ({ op: 'delete', object: 'table', family, table })),
      );
    },
  };
}

function listIndexes(): string[] {
  try {
    return readdirSync(indexes);
  } catch {
    return [];
  }
}

function removeIndexes(names: readonly string[]): void {
  for (const name of names) rmSync(`${indexes}/${name}`, { recursive: true, force: true });
  try {
    rmdirSync(indexes);
    rmdirSync(dirname(indexes));
  } catch {
    // Somebody else has something in it, or it was not there.
  }
}

// Plugins leave their empty tables for the next pod.
function ownTables(nft: Nft) {
  return nftListTables(nft).filter(({ table }) => table.startsWith('amphipod'));
}

function tableName({ family, table }: { family: string; table: string }): string {
  return `${family} ${table}`;
}

/** Removes a directory with what is mounted in it. */
export function removeDirectory(directory: string): void {
  const inside = mountInfo()
    .map(({ mountPoint }) => mountPoint)
    .filter((path) => path.startsWith(`${directory}/`));
  // The innermost first. Removing files through a mount that stayed would remove those of somebody else.
  for (const path of inside.reverse()) unmount(path);
  rmSync(directory, { recursive: true, force: true });
}
