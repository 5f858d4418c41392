import type { PluginRequest } from '@amphipod/cni';
import { Attempts } from '../lib/attempts.ts';
import type { PluginHost } from '../lib/host.ts';
import { ipamCall } from '../lib/ipam.ts';
import { removeMasquerade } from '../lib/masquerade.ts';
import { ownerOf } from '../lib/owner-of.ts';
import { podAddresses } from '../lib/prev-result.ts';
import { removeVeth } from '../lib/remove-veth.ts';
import { wantsMasquerade } from './config.ts';

/** Removes what ADD made for this owner, and only that; an address is given back when nothing uses it any more. */
export async function del(request: PluginRequest, host: PluginHost): Promise<void> {
  const attempts = new Attempts();
  // If this fails the address stays reserved: a pod may be using it still.
  const name = await removeVeth(request, host);
  if (wantsMasquerade(request)) {
    // With its interface there until now, the addresses cannot be another pod's.
    const sure = name === undefined ? [] : podAddresses(request);
    await attempts.run(() => removeMasquerade(host.nft, ownerOf(request), sure));
  }
  await attempts.run(() => ipamCall(request, 'DEL'));
  attempts.throwIfAny();
}
