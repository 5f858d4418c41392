import type { PluginRequest } from '@amphipod/cni';
import { linkDel, linkList } from '@amphipod/netlink';
import { Attempts } from '../lib/attempts.ts';
import type { PluginHost } from '../lib/host.ts';
import { findIpMasq, removeStaleIpMasq } from '../lib/ip-masq.ts';
import { ipamCall } from '../lib/ipam.ts';
import { isStaleTag } from '../lib/owner.ts';

/** Removes the pairs and masquerading of attachments that are no longer valid, and lets IPAM do its own. */
export async function gc(request: PluginRequest, host: PluginHost): Promise<void> {
  const { config, validAttachments: valid = [] } = request;
  const attempts = new Attempts();
  await attempts.run(async () => {
    for (const { alias, ifIndex } of linkList(host.rtnl, { kind: 'veth' })) {
      if (isStaleTag(alias, config.name, valid)) await linkDel(host.rtnl, ifIndex);
    }
  });
  await attempts.run(() => removeStaleIpMasq(host, findIpMasq(request), config.name, valid));
  await attempts.run(() => ipamCall(request, 'GC'));
  attempts.throwIfAny();
}
