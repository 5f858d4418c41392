import { rmSync } from 'node:fs';
import { mountInfo, sysctlGet, sysctlSet, unmount } from '@amphipod/linux';
import { removeUnused } from '@amphipod/plugins';

const forwarding = 'net.ipv4.ip_forward';

/** What of the machine a pod network changes, to be put back. */
export interface HostState {
  /** Takes away the bridge and what else plugins leave for the next pod, unless a pod uses it, and puts settings back. */
  restore(bridge: string): Promise<void>;
}

/** Notes the state of the machine before the first change. */
export function rememberHost(): HostState {
  const forwardingBefore = sysctlGet(forwarding);
  return {
    async restore(bridge) {
      await removeUnused([bridge]);
      if (sysctlGet(forwarding) !== forwardingBefore) sysctlSet(forwarding, forwardingBefore);
    },
  };
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
