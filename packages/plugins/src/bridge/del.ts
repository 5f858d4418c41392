import type { PluginRequest } from '@amphipod/cni';
import { Attempts } from '../lib/attempts.ts';
import type { PluginHost } from '../lib/host.ts';
import { findIpMasq, removeIpMasq } from '../lib/ip-masq.ts';
import { ipamCall } from '../lib/ipam.ts';
import { ownerOf } from '../lib/owner-of.ts';
import { podAddresses, podMac } from '../lib/prev-result.ts';
import { removeVeth } from '../lib/remove-veth.ts';
import { wantsMacSpoofCheck } from './config.ts';
import { removeMacSpoofCheck } from './mac-spoof-check.ts';

/**
 * Removes what ADD made for this owner, and only that. The order is that of safety: an address is given back when nothing
 * uses it any more.
 */
export async function del(request: PluginRequest, host: PluginHost): Promise<void> {
  const attempts = new Attempts();
  // If this fails the address stays reserved: a pod may be using it still.
  const name = await removeVeth(request, host);
  // With its interface there until now, port and addresses cannot be another pod's.
  if (wantsMacSpoofCheck(request)) {
    const mac = podMac(request);
    const sure = name === undefined || mac === undefined ? undefined : { name, mac };
    await attempts.run(() => removeMacSpoofCheck(host.nft, ownerOf(request), sure));
  }
  const sure = name === undefined ? [] : podAddresses(request);
  await attempts.run(() => removeIpMasq(host, findIpMasq(request), ownerOf(request), sure));
  await attempts.run(() => ipamCall(request, 'DEL'));
  attempts.throwIfAny();
}
