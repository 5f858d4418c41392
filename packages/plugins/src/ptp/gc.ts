import type { PluginRequest } from '@amphipod/cni';
import { Attempts } from '../lib/attempts.ts';
import type { PluginHost } from '../lib/host.ts';
import { findIpMasq, removeStaleIpMasq } from '../lib/ip-masq.ts';
import { ipamCall } from '../lib/ipam.ts';
import { removeStaleVeths } from '../lib/remove-veth.ts';

/** Removes the pairs and masquerading of attachments that are no longer valid, and lets IPAM do its own. */
export async function gc(request: PluginRequest, host: PluginHost): Promise<void> {
  const { config, validAttachments: valid = [] } = request;
  const attempts = new Attempts();
  await attempts.run(() => removeStaleVeths(request, host));
  await attempts.run(() => removeStaleIpMasq(host, findIpMasq(request), config.name, valid));
  await attempts.run(() => ipamCall(request, 'GC'));
  attempts.throwIfAny();
}
