import { CniError, isAtLeast } from '@amphipod/cni';
import type { IpFamily } from '@amphipod/netlink';

/** Results before 0.3.0 have room for one address of each family. @throws CniError invalid-network-config */
export function refuseManyAddresses(families: readonly IpFamily[], cniVersion: string): void {
  if (isAtLeast(cniVersion, '0.3.0') || new Set(families).size === families.length) return;
  throw new CniError(
    'invalid-network-config',
    `CNI version ${cniVersion} does not support more than 1 address per family`,
  );
}
