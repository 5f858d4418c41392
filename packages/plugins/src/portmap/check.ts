import { CniError, type PluginRequest } from '@amphipod/cni';
import { formatIp, nftListChains } from '@amphipod/netlink';
import { checkFailure } from '../lib/check-interface.ts';
import type { PluginHost } from '../lib/host.ts';
import { ownerTag } from '../lib/owner.ts';
import { ownerOf } from '../lib/owner-of.ts';
import { readConfig } from './config.ts';
import { entriesFor, podAddresses } from './entries.ts';
import { tables } from './host-ports.ts';
import { listElements } from './owned-elements.ts';

const neededChains = ['prerouting', 'output', 'postrouting', 'dnat'];

/** Looks whether every port of the pod is still led to it. */
export async function check(request: PluginRequest, host: PluginHost): Promise<void> {
  const { prevResult } = request;
  if (prevResult === undefined)
    throw new CniError('invalid-network-config', 'must be called as chained plugin');
  const config = readConfig(request);
  const tag = ownerTag(ownerOf(request));
  for (const pod of podAddresses(prevResult)) {
    const entries = entriesFor(config, pod, tag);
    if (entries.length === 0) continue;
    const { ref } = tables[pod.family];
    const chains = nftListChains(host.nft, ref).map(({ chain }) => chain);
    const missing = neededChains.filter((chain) => !chains.includes(chain));
    if (missing.length > 0)
      throw checkFailure(`nftables chains of ${ref.table} not found: ${missing.join(', ')}`);
    for (const { of, element } of entries) {
      const own = listElements(host.nft, of).filter(({ comment }) => comment === tag);
      const isThere = own.some(
        (present) => same(present.key, element.key) && same(present.data, element.data),
      );
      if (!isThere) {
        throw checkFailure(
          `host port rule of ${formatIp(pod)} not found in ${ref.family} ${ref.table} ${of.set}`,
        );
      }
    }
  }
}

function same(a: readonly unknown[] = [], b: readonly unknown[] = []): boolean {
  const text = (value: unknown) =>
    typeof value === 'object' && value !== null && 'value' in value ? String(value.value) : String(value);
  return a.length === b.length && a.every((value, i) => text(value) === text(b[i]));
}
