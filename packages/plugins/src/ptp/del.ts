import type { PluginRequest } from '@amphipod/cni';
import { Attempts } from '../lib/attempts.ts';
import type { PluginHost } from '../lib/host.ts';
import { findIpMasq, removeIpMasq } from '../lib/ip-masq.ts';
import { ipamCall } from '../lib/ipam.ts';
import { ownerOf } from '../lib/owner-of.ts';
import { podAddresses } from '../lib/prev-result.ts';
import { removeVeth } from '../lib/remove-veth.ts';

/** Removes what ADD made for this owner, and only that; an address is given back when nothing uses it any more. */
export async function del(request: PluginRequest, host: PluginHost): Promise<void> {
  const attempts = new Attempts();
  // If this fails the address stays reserved: a pod may be using it still.
  const name = await removeVeth(request, host);
  // With its interface there until now, the addresses cannot be another pod's.
  const sure = name === undefined ? [] : podAddresses(request);
  await attempts.run(() => removeIpMasq(host, findIpMasq(request), ownerOf(request), sure));
  await attempts.run(() => ipamCall(request, 'DEL'));
  attempts.throwIfAny();
}
