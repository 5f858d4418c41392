import { isCode, sysctlGet, sysctlSet } from '@amphipod/linux';
import type { Cidr, IpFamily } from '@amphipod/netlink';

const forwardingKeys: Record<IpFamily, string> = {
  4: 'net/ipv4/ip_forward',
  6: 'net/ipv6/conf/all/forwarding',
};

/** Sets a kernel setting of the thread's namespace, unless it has the value already. */
export function ensureSysctl(key: string, value: string): void {
  if (sysctlGet(key) !== value) sysctlSet(key, value);
}

/** For settings that are welcome but not there on every machine, IPv6's above all. */
export function trySysctl(key: string, value: string): void {
  try {
    sysctlSet(key, value);
  } catch (error) {
    if (!isCode(error, 'ENOENT', 'EACCES', 'EROFS', 'EPERM', 'EINVAL')) throw error;
  }
}

/** Lets the machine forward packets of the families of these addresses. */
export function enableForwarding(cidrs: readonly Cidr[]): void {
  for (const family of new Set(cidrs.map(({ ip }) => ip.family))) ensureSysctl(forwardingKeys[family], '1');
}
