import type { PluginRequest } from '@amphipod/cni';
import { type IpFamily, nftFindChain } from '@amphipod/netlink';
import { Attempts } from '../lib/attempts.ts';
import type { PluginHost } from '../lib/host.ts';
import { hasLegacyTable } from '../lib/iptables.ts';
import { ownerTag } from '../lib/owner.ts';
import { ownerOf } from '../lib/owner-of.ts';
import { removeConditionalPorts } from './conditions.ts';
import { findConfig, hasMappings, type PortmapConfig } from './config.ts';
import { entriesFor, podCidrs } from './entries.ts';
import { flushUdp } from './flush-udp.ts';
import type { Entry } from './host-ports.ts';
import { removeIptablesPorts } from './iptables-change.ts';
import { podChain, portsFor } from './iptables-ports.ts';
import { removeEntries, removeWhere } from './owned-elements.ts';

/** Takes this owner's ports out. Without mappings nothing was put in; with ones that ADD refuses all is searched. */
export async function del(request: PluginRequest, host: PluginHost): Promise<void> {
  if (!hasMappings(request)) return;
  const config = findConfig(request);
  const attempts = new Attempts();
  await attempts.run(async () => {
    const isDone = config.backend === 'nftables' && removeNftPorts(request, host, config);
    if (!isDone) await removeIptablesPorts(ownerOf(request), familiesOf(request, config));
  });
  await attempts.run(() => flushUdp(host.nft, config.mappings));
  attempts.throwIfAny();
}

/** False when the ports may be in iptables. */
function removeNftPorts(request: PluginRequest, { nft }: PluginHost, config: PortmapConfig): boolean {
  const owner = ownerOf(request);
  const tag = ownerTag(owner);
  const isOwn = (comment: string | undefined) => comment === tag;
  const entries = entriesOf(request, config, tag);
  const removed = removeEntries(nft, entries, tag);
  const isWhole = removed > 0 && removed === entries.length;
  const isFound = isWhole || removeWhere(nft, isOwn) || removed > 0;
  if (config.conditions[4].length + config.conditions[6].length > 0) removeConditionalPorts(nft, isOwn);
  if (isFound || config.isExplicit) return true;
  // The reference may have added this pod. Its chain is looked for without starting a process, where that can be.
  const chain = podChain(owner);
  return !([4, 6] as const).some(
    (family) =>
      nftFindChain(nft, { family: family === 4 ? 'ip' : 'ip6', table: 'nat', chain }) !== undefined ||
      hasLegacyTable({ family, table: 'nat' }),
  );
}

/** What ADD put in; nothing where it would have refused. */
function entriesOf(request: PluginRequest, config: PortmapConfig, tag: string): Entry[] {
  try {
    return podCidrs(request).flatMap(({ ip }) => entriesFor(config, ip, tag));
  } catch {
    return [];
  }
}

/** Those of the result, with the rules that ADD made; without a result both. */
function familiesOf(request: PluginRequest, config: PortmapConfig) {
  const both: { family: IpFamily }[] = [{ family: 4 }, { family: 6 }];
  try {
    const pods = podCidrs(request);
    return pods.length === 0 ? both : pods.map((pod) => portsFor(config, ownerOf(request), pod));
  } catch {
    return both;
  }
}
