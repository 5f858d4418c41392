import type { PluginRequest } from '@amphipod/cni';
import { formatIp, type IpAddress, nftListChains } from '@amphipod/netlink';
import { checkFailure } from '../lib/check-interface.ts';
import type { PluginHost } from '../lib/host.ts';
import { ownerTag } from '../lib/owner.ts';
import { ownerOf } from '../lib/owner-of.ts';
import { requirePrevResult } from '../lib/prev-result.ts';
import { countConditionalPorts } from './conditions.ts';
import { appliesTo, type PortmapConfig, readConfig } from './config.ts';
import { entriesFor, podCidrs } from './entries.ts';
import { tables } from './host-ports.ts';
import { hasIptablesPorts } from './iptables-change.ts';
import { podChain, portsFor } from './iptables-ports.ts';
import { findElement } from './owned-elements.ts';

const neededChains = ['prerouting', 'output', 'postrouting', 'dnat'];

/** Looks whether every port of the pod is still led to it. */
export async function check(request: PluginRequest, host: PluginHost): Promise<void> {
  requirePrevResult(request, 'must be called as chained plugin');
  const config = readConfig(request);
  const owner = ownerOf(request);
  if (config.mappings.length === 0) return;
  for (const pod of podCidrs(request)) {
    if (config.backend === 'nftables') checkNft(host, config, { pod: pod.ip, tag: ownerTag(owner) });
    else if (!(await hasIptablesPorts(portsFor(config, owner, pod)))) {
      throw checkFailure(
        `host port rules of ${formatIp(pod.ip)} not found in iptables chain ${podChain(owner)}`,
      );
    }
  }
}

function checkNft(
  host: PluginHost,
  config: PortmapConfig,
  { pod, tag }: { pod: IpAddress; tag: string },
): void {
  const entries = entriesFor(config, pod, tag);
  const { ref } = tables[pod.family];
  const chains = nftListChains(host.nft, ref).map(({ chain }) => chain);
  const missing = neededChains.filter((chain) => !chains.includes(chain));
  if (missing.length > 0)
    throw checkFailure(`nftables chains of ${ref.table} not found: ${missing.join(', ')}`);
  for (const { of, element } of entries) {
    const present = findElement(host.nft, of, element.key);
    if (present?.comment !== tag || !same(present.data, element.data)) {
      throw checkFailure(
        `host port rule of ${formatIp(pod)} not found in ${ref.family} ${ref.table} ${of.set}`,
      );
    }
  }
  if (config.conditions[pod.family].length === 0) return;
  const wanted = config.mappings.filter((mapping) => appliesTo(mapping, pod.family)).length;
  if (countConditionalPorts(host.nft, pod.family, tag) < wanted) {
    throw checkFailure(
      `host port rule of ${formatIp(pod)} not found in ${ref.family} ${ref.table} conditional`,
    );
  }
}

function same(a: readonly unknown[] = [], b: readonly unknown[] = []): boolean {
  const text = (value: unknown) =>
    typeof value === 'object' && value !== null && 'value' in value ? String(value.value) : String(value);
  return a.length === b.length && a.every((value, i) => text(value) === text(b[i]));
}
