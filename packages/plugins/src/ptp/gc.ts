import type { PluginRequest } from '@amphipod/cni';
import { Attempts } from '../lib/attempts.ts';
import type { PluginHost } from '../lib/host.ts';
import { ipamCall } from '../lib/ipam.ts';
import { removeStaleMasquerade } from '../lib/masquerade.ts';
import { removeStaleVeths } from '../lib/remove-veth.ts';
import { wantsMasquerade } from './config.ts';

/** Removes the pairs and masquerading of attachments that are no longer valid, and lets IPAM do its own. */
export async function gc(request: PluginRequest, host: PluginHost): Promise<void> {
  const { config, validAttachments: valid = [] } = request;
  const attempts = new Attempts();
  await attempts.run(() => removeStaleVeths(request, host));
  if (wantsMasquerade(request)) {
    await attempts.run(() => removeStaleMasquerade(host.nft, config.name, valid));
  }
  await attempts.run(() => ipamCall(request, 'GC'));
  attempts.throwIfAny();
}
