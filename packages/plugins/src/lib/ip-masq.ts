import { isJsonObject, type PluginRequest } from '@amphipod/cni';
import type { UndoStack } from '@amphipod/linux';
import { type Cidr, formatCidr, type Nft, nftFindChain } from '@amphipod/netlink';
import { checkFailure } from './check-interface.ts';
import type { PluginHost } from './host.ts';
import { hasLegacyTable, iptablesChainName } from './iptables.ts';
import {
  addIptablesMasquerade,
  hasIptablesMasquerade,
  removeIptablesMasquerade,
  removeStaleIptablesMasquerade,
} from './iptables-masquerade.ts';
import { addMasquerade, hasMasquerade, removeMasquerade, removeStaleMasquerade } from './masquerade.ts';
import type { Owner } from './owner.ts';
import { type KeyReader, keyFinder } from './read-keys.ts';

/** What `ipMasq` and `ipMasqBackend` ask for. The functions below do nothing where it is undefined: no masquerading. */
export interface IpMasq {
  backend: 'nftables' | 'iptables';
  /** Named in the configuration. Else a pod may have been added by the reference, whose default is iptables. */
  isExplicit: boolean;
}

/** Reads the keys for ADD and CHECK. @throws CniError invalid-network-config */
export function readIpMasq(keys: KeyReader): IpMasq | undefined {
  const backend = keys.string('ipMasqBackend') || undefined;
  const isWanted = keys.boolean('ipMasq') ?? false;
  if (backend !== undefined && backend !== 'nftables' && backend !== 'iptables') {
    return keys.refuse('ipMasqBackend', `unknown ipmasq backend ${JSON.stringify(backend)}`);
  }
  return isWanted ? { backend: backend ?? 'nftables', isExplicit: backend !== undefined } : undefined;
}

/** The same for DEL and GC: never fails, and takes a value that ADD refuses for none. */
export function findIpMasq({ config }: Pick<PluginRequest, 'config'>): IpMasq | undefined {
  if (!isJsonObject(config)) return undefined;
  const find = keyFinder(config);
  if (find('ipMasq') !== true) return undefined;
  const backend = find('ipMasqBackend');
  const isExplicit = backend === 'nftables' || backend === 'iptables';
  return { backend: isExplicit ? backend : 'nftables', isExplicit };
}

/** Gives what a pod sends out of its networks the address of the machine; `undo` takes that back. */
export async function addIpMasq(
  host: PluginHost,
  masq: IpMasq | undefined,
  { owner, addresses, undo }: { owner: Owner; addresses: readonly Cidr[]; undo: UndoStack },
): Promise<void> {
  if (masq === undefined || addresses.length === 0) return;
  undo.defer('remove masquerading', () => removeIpMasq(host, masq, owner, []));
  if (masq.backend === 'iptables') await addIptablesMasquerade(owner, addresses);
  else addMasquerade(host.nft, owner, addresses);
}

/**
 * Takes an owner's masquerading away. With `sure` addresses (nobody else can have them) only those are looked at, else all
 * is searched for the owner. What is not there is no error.
 */
export async function removeIpMasq(
  { nft }: PluginHost,
  masq: IpMasq | undefined,
  owner: Owner,
  sure: readonly Cidr[],
): Promise<void> {
  if (masq === undefined) return;
  if (masq.backend === 'nftables') {
    if (removeMasquerade(nft, owner, sure) || masq.isExplicit || !hasReferenceChain(nft, owner)) return;
  }
  await removeIptablesMasquerade(owner, sure);
}

/** Whether a pod has masquerading that the reference may have made with iptables. Starts no process. */
function hasReferenceChain(conn: Nft, { network, containerID }: Owner): boolean {
  const chain = iptablesChainName(network, containerID);
  return ([4, 6] as const).some(
    (family) =>
      nftFindChain(conn, { family: family === 4 ? 'ip' : 'ip6', table: 'nat', chain }) !== undefined ||
      // Its chains are only seen by starting a process.
      hasLegacyTable({ family, table: 'nat' }),
  );
}

/** @throws CniError plugin-specific when the masquerading of one of the addresses is not there */
export async function checkIpMasq(
  { nft }: PluginHost,
  masq: IpMasq | undefined,
  owner: Owner,
  addresses: readonly Cidr[],
): Promise<void> {
  if (masq === undefined) return;
  for (const address of addresses) {
    const isThere =
      masq.backend === 'iptables'
        ? await hasIptablesMasquerade(owner, address)
        : hasMasquerade(nft, owner, address);
    if (!isThere) throw checkFailure(`masquerade rule for ${formatCidr(address)} not found`);
  }
}

/** Takes out what belongs to the network and to none of the valid attachments. */
export async function removeStaleIpMasq(
  { nft }: PluginHost,
  masq: IpMasq | undefined,
  network: string,
  valid: readonly { containerID: string; ifName: string }[],
): Promise<void> {
  if (masq === undefined) return;
  removeStaleMasquerade(nft, network, valid);
  if (masq.backend === 'iptables') await removeStaleIptablesMasquerade(network, valid);
}
