import type { PluginRequest } from '@amphipod/cni';
import type { IpAddress } from '@amphipod/netlink';
import type { PluginHost } from '../lib/host.ts';
import { ownerTag } from '../lib/owner.ts';
import { ownerOf } from '../lib/owner-of.ts';
import { findAddresses, forgetAddresses, notOthers } from './address-owners.ts';
import { chooseBackend } from './backend.ts';
import { type FirewallConfig, findConfig } from './config.ts';
import { removeZoneSource } from './firewalld.ts';
import { removeIptablesRules } from './iptables-rules.ts';
import { removeNftRules, removeUnmarkedNftRules } from './nft-removal.ts';
import { addressesOf, hostCidr, podRules } from './rules.ts';

/** Takes out what belongs to this owner. What pods share stays. */
export async function del(request: PluginRequest, host: PluginHost): Promise<void> {
  const { nft } = host;
  const tag = ownerTag(ownerOf(request));
  const config = findConfig(request);
  const fromResult = addressesOf(request.prevResult ?? {});
  const backend = await chooseBackend(config);
  if (backend === 'nftables') {
    const isWhole = removeNftRules(host, tag) >= fromResult.flatMap(podRules).length;
    // Rules without a mark are the reference's, which may have added this pod, or were loaded anew by iptables-restore.
    if (!isWhole) removeUnmarkedNftRules(nft, notOthers(nft, tag, fromResult));
    return;
  }
  const own =
    fromResult.length > 0 ? notOthers(nft, tag, fromResult) : findAddresses(nft, (other) => other === tag);
  await removeAddresses(host, own, { ...config, backend });
}

/** Rules and zone entries that do not say whose they are. */
export async function removeAddresses(
  { nft }: PluginHost,
  addresses: readonly IpAddress[],
  { backend, zone }: Pick<FirewallConfig, 'backend' | 'zone'>,
): Promise<void> {
  if (backend === 'nftables') removeUnmarkedNftRules(nft, addresses);
  else if (backend === 'iptables') await removeIptablesRules(addresses);
  else for (const ip of addresses) await removeZoneSource(zone, hostCidr(ip));
  forgetAddresses(nft, addresses);
}
