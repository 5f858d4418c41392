import { hasLegacyTable } from '../lib/iptables.ts';
import type { FirewallBackend, FirewallConfig } from './config.ts';
import { isFirewalldRunning } from './firewalld.ts';

/** The backend that a configuration asks for, or that fits the machine. */
export async function chooseBackend({ backend }: Pick<FirewallConfig, 'backend'>): Promise<FirewallBackend> {
  if (backend === 'firewalld' || backend === 'iptables') return backend;
  if (backend === undefined && (await isFirewalldRunning())) return 'firewalld';
  // What drops is in legacy iptables then, which nftables does not reach.
  const isLegacy = ([4, 6] as const).some((family) => hasLegacyTable({ family, table: 'filter' }));
  return isLegacy ? 'iptables' : 'nftables';
}
